"""`umbel train` and `umbel evaluate`."""

import json
import os
import subprocess
import sys

import pytest
from commands import SMALL, contents, refused, umbel


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training."""
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


def test_training_and_evaluating_print_the_same_numbers(capsys, tmp_path):
    status, out, err = umbel(capsys, "train", *SMALL, "--out", tmp_path / "run", "--json")
    assert (status, err) == (0, "")
    made = json.loads(out)
    assert list(made["metrics"]) == ["digit", "loops"]
    assert made["split"] == "test"
    assert made["seconds_per_step"] > 0
    for path in (tmp_path / "run", made["checkpoint"]):
        status, out, err = umbel(capsys, "evaluate", path, "--json")
        assert (status, err) == (0, "")
        assert json.loads(out)["metrics"] == made["metrics"]
        assert json.loads(out)["checkpoint"] == made["checkpoint"]


def test_the_table_shows_every_metric(capsys, trained):
    status, out, err = umbel(capsys, "evaluate", trained, "--split", "validation")
    assert (status, err) == (0, "")
    assert "validation split" in out
    for text in ("digit", "loops", "accuracy ↑", "macro F1", f"checkpoint: {trained}"):
        assert text in out.replace("\n", "")


def test_a_private_training_says_what_it_guarantees(capsys, tmp_path):
    pytest.importorskip("dp_accounting")
    private = [*SMALL[:-1], "--descent", "dp-sgd", "--descent-options", "noise_multiplier=4.0,clip_norm=2.0"]
    told = refused(capsys, "train", *private, "--out", tmp_path / "run")
    assert "BatchNorm2d" in told and "--encoder-options norm=group" in told
    private += ["--encoder-options", "widths=4/8,norm=group", "--no-tensorboard"]
    status, out, _ = umbel(capsys, "train", *private, "--out", tmp_path / "run")
    said = " ".join(out.split())
    assert status == 0 and "training-set privacy: epsilon" in said
    for part in ("one sample of 1,222", "add-remove", "clip norm 2", "noise multiplier 4", "q 0.02619", "6 steps"):
        assert part in said


def test_a_folder_that_holds_a_training_is_refused_and_left_alone(capsys, trained):
    before = contents(trained)
    assert "already holds a run; go on with --resume" in refused(capsys, "train", *SMALL, "--out", trained)
    assert contents(trained) == before


def test_going_on_trains_further(capsys, tmp_path):
    """A finished training is taken up as it is; its log and numbers stay."""
    first = json.loads(umbel(capsys, "train", *SMALL, "--out", tmp_path / "run", "--json")[1])
    again = json.loads(umbel(capsys, "train", *SMALL, "--out", tmp_path / "run", "--json", "--resume")[1])
    assert again["metrics"] == first["metrics"]
    assert again["checkpoint"] == first["checkpoint"]


@pytest.mark.parametrize(
    "flags",
    [["--learning-rate", "0.3"], ["--encoder-options", "widths=8/8"], ["--descent", "uncertainty"], ["--seed", "3"]],
)
def test_going_on_with_other_settings_is_refused(capsys, trained, flags):
    before = contents(trained)
    refused(capsys, "train", *SMALL, *flags, "--out", trained, "--resume")
    assert contents(trained) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("evaluate", "PATH"),
        ("evaluate nowhere", "checkpoint nowhere does not exist"),
        ("evaluate . --split tset", "'tset'"),
        ("evaluate .", "is not a checkpoint of Umbel"),
        ("train --descent equel", "unknown descent 'equel'; did you mean 'equal'?"),
        ("train --descent cagrad --descent-options d=1", "unknown option"),
        ("train --data digits --tasks colour", "unknown task 'colour'"),
        ("train --devices 99", "--devices 99: this machine has"),
        ("train --data digits --encoder gru", "encoder 'gru' is for series"),
        ("train --data digits --encoder-options widths=a/4", "option widths is ('a', 4); give a list of whole numbers"),
        ("train --steps -1", "steps is -1"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_missing_flag_is_told_in_any_terminal(encoding):
    """Where a terminal cannot show boxes, they are drawn with plain signs, which belong in no message either."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "umbel.cli", "evaluate"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False).stderr
    assert said.startswith("umbel: Missing from umbel evaluate: PATH A checkpoint")
    assert "--------" not in said
    assert "helptext" not in said


@pytest.mark.parametrize("file", ["weights.safetensors", "state.pt", "settings.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_checkpoint_is_named(capsys, tmp_path, trained, file, damage):
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    path = next((tmp_path / "run").glob(f"checkpoints/best-*/{file}"))
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        half = len(content) // 2
        path.write_bytes(content[:half] if damage == "truncated" else content[:half] + b"?" + content[half + 1 :])
    assert str(path.parent) in refused(capsys, "evaluate", path.parent)


def test_a_checkpoint_of_other_data_is_one_line(capsys, tmp_path):
    """The table that a network was trained on is gone, or has other columns now."""
    table = tmp_path / "t.csv"
    rows = [f"{i % 7},{i % 3},{'yes' if i % 7 > 3 else 'no'}" for i in range(80)]
    table.write_text("\n".join(["a,b,c", *rows]))
    flags = ["--targets", "c", "--steps", "2", "--batch-size", "16", "--precision", "float32", "--no-tensorboard"]
    status, _, err = umbel(capsys, "train", "--data", table, *flags, "--out", tmp_path / "run")
    assert status == 0
    assert "Columns of" in err
    assert umbel(capsys, "evaluate", tmp_path / "run")[0] == 0
    table.write_text("\n".join(["a,b,d,c", *(f"{i},{row}" for i, row in enumerate(rows))]))
    assert "its rows are not those" in refused(capsys, "evaluate", tmp_path / "run")
    table.unlink()
    assert "t.csv" in refused(capsys, "evaluate", tmp_path / "run")
