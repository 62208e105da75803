"""Flags on weights, rates, frozen parts and warm starts, from training to evaluation and resuming."""

import json

import pytest
import torch
from commands import SMALL, STUDY, refused, umbel

from umbel.engine import load_checkpoint, resolve


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The folder of a training without any of them."""
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("first") / "run"
    assert main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


def weights(folder, part="model.encoder"):
    saved = load_checkpoint(resolve(folder)).weights
    return {name: tensor for name, tensor in saved.items() if name.startswith(part)}


def test_a_frozen_encoder_of_an_earlier_run_is_kept_and_evaluated_and_resumed(capsys, first, tmp_path):
    flags = ["--start-from", first, "--freeze", "encoder", "--rates", "heads=2", "--class-weights", "balanced"]
    flags += ["--task-weights", "digit=2,loops=0.5"]
    out = tmp_path / "second"
    status, said, err = umbel(capsys, "train", *SMALL, *flags, "--out", out, "--json")
    assert status == 0, err
    assert "14 of 14 tensors of the encoder, heads.digit, heads.loops" in " ".join(err.split())
    made = json.loads(said)
    for name, tensor in weights(first).items():
        assert torch.equal(weights(out)[name], tensor), name
    kept = load_checkpoint(resolve(out)).settings
    assert kept["teaching"] == {"start_from": str(first), "freeze": "encoder", "rates": "heads=2"}
    assert kept["descent"]["task_weights"] == "digit=2,loops=0.5"
    assert kept["data"]["class_weights"] == "balanced"
    assert json.loads(umbel(capsys, "evaluate", out, "--json")[1])["metrics"] == made["metrics"]
    again = json.loads(umbel(capsys, "train", *SMALL, *flags, "--out", out, "--resume", "--json")[1])
    assert again["metrics"] == made["metrics"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--task-weights", "digit=10"],
        ["--class-weights", "digit=9/1/1/1/1/1/1/1/1/1"],
        ["--rates", "encoder=0.1"],
        ["--freeze", "encoder.stages.0"],
    ],
)
def test_each_flag_changes_what_is_learnt(capsys, first, tmp_path, flags):
    status, _, err = umbel(capsys, "train", *SMALL, *flags, "--out", tmp_path / "run", "--json")
    assert (status, err) == (0, "")
    assert any(not torch.equal(weights(tmp_path / "run")[name], tensor) for name, tensor in weights(first).items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task-weights", "digt=2"], "did you mean 'digit'"),
        (["--task-weights", "digit=2", "--descent", "pcgrad"], "--task-weights is for --descent equal"),
        (["--class-weights", "digit=1/2"], "10 classes"),
        (["--rates", "heads.digt=2"], "did you mean 'heads.digit'"),
        (["--freeze", "encoder", "--descent", "pcgrad"], "no trainable shared parameters"),
        (["--start-from", "nowhere"], "nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line_before_a_folder_is_made(capsys, tmp_path, flags, message):
    assert message in refused(capsys, "train", *SMALL, *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_comparison_starts_all_its_networks_alike(capsys, first, tmp_path):
    flags = ["--start-from", first, "--rates", "encoder=0", "--class-weights", "balanced", "--out", tmp_path / "study"]
    study = [*STUDY, "--seeds", "1", "--tuning-trials", "0"]
    status, _, err = umbel(capsys, "run", "compare", *study, *flags, "--json")
    assert status == 0, err
    assert err.count("starts from") == 3, "each kind of network is told once"
    runs = [path.parent.parent for path in (tmp_path / "study").glob("**/checkpoints/best-*")]
    assert len(runs) == 4  # two references, two joint networks
    before = {name: tensor for name, tensor in weights(first).items() if name.endswith("weight")}
    for run in runs:
        for name, tensor in before.items():
            assert torch.equal(weights(run)[name], tensor), (run, name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--freeze", "encoder"], "leaves nothing that the tasks could compete for"),
        (["--rates", "heads.digit=2"], "treats all its networks alike"),
    ],
)
def test_a_comparison_refuses_what_would_distort_it(capsys, tmp_path, flags, message):
    assert message in refused(capsys, "run", "compare", *STUDY, *flags, "--out", tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--task-weights", "digit=2"], "descent.task_weights"),
        (["--class-weights", "balanced"], "data.class_weights"),
        (["--rates", "heads=2"], "teaching.rates"),
        (["--freeze", "encoder.stages.0"], "teaching.freeze"),
        (["--start-from", "nowhere"], "teaching.start_from"),
    ],
)
def test_a_run_goes_on_with_the_same_flags_only(capsys, first, flags, name):
    assert name in refused(capsys, "train", *SMALL, *flags, "--out", first, "--resume")
