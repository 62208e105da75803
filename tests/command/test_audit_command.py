"""`umbel audit`: runs and encoders of one's own, resumed, shown, refused."""

import json
import pickle
from functools import partial

import pytest
import torch
from commands import SMALL, contents, refused, umbel
from safetensors.torch import save_file
from torch import nn

from umbel.audit import EFFORTS, AttackSettings, Effort, Membership, audits_of
from umbel.engine import load_checkpoint, load_weights, resolve
from umbel.recipes.auditing.users_encoder import users_encoder
from umbel.report import Results

QUICK = ["--attackers", "linear", "--effort", "quick", "--seeds", "2", "--most", "150"]
ENCODER = """
import torch
from torch import nn
from umbel.core import OneOf, PointSequential
from umbel.nn import FeatureRelease

def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())

def noisy():
    torch.manual_seed(0)
    return PointSequential(*plain(), FeatureRelease(1.0, OneOf((0.0, 1.0))))

def unclipped():
    return PointSequential(*plain(), FeatureRelease(None, OneOf((0.0, 1.0))))

def broken():
    raise OSError("no such disk")

number = 3
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training."""
    from umbel.cli import main

    folder = tmp_path_factory.mktemp("audited") / "run"
    assert main(["train", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Intervals from few resamples, decoders that hardly train."""
    monkeypatch.setattr("umbel.recipes.auditing.attacks.AttackSettings", partial(AttackSettings, resamples=20))
    monkeypatch.setitem(EFFORTS, "quick", Effort(steps=2))


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder with a file of encoders, which is the current one."""
    (tmp_path / "own_encoders.py").write_text(ENCODER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stopped(*_, **__):
    raise KeyboardInterrupt


def test_a_run_is_audited_stopped_taken_up_again_and_shown(capsys, trained, tmp_path, monkeypatch):
    before, out = contents(trained), tmp_path / "audit"
    with monkeypatch.context() as patched:
        patched.setattr("umbel.recipes.auditing.attacks.rebuild", stopped)
        status, _, complaint = umbel(capsys, "audit", trained, *QUICK, "--out", out)
    assert status == 130 and "go on with the same command and --resume" in complaint
    other = ["--seeds", "1", "--out", out, "--resume"]
    assert "was begun with seeds=2" in refused(capsys, "audit", trained, *QUICK, *other)
    monkeypatch.setattr("umbel.recipes.auditing.attacks.infer", lambda *_: pytest.fail("it was done before"))
    status, said, _ = umbel(capsys, "audit", trained, *QUICK, "--out", out, "--resume")
    assert status == 0 and contents(trained) == before
    for text in ("From what task digit gets, an attacker tells loops with accuracy", "so the floor explains it all"):
        assert text in " ".join(said.split())
    results = Results.read(out)
    (found,) = audits_of(results)
    assert {(one.seen, one.wanted, one.served) for one in found.inference} == {
        (seen, wanted, seen == wanted) for seen in ("digit", "loops") for wanted in ("digit", "loops")
    }
    assert any("very same features" in note for note in results.warnings)
    assert len(found.reconstruction) == 2 and found.reconstruction[0].ssim[0] > found.reconstruction[0].blind_ssim
    assert "No privacy is guaranteed" in found.guarantees[0]
    own = json.loads(umbel(capsys, "evaluate", trained, "--json")[1])["metrics"]
    assert next(run for run in results.runs if run.method == "network").metrics == own

    page = (out / "report.html").read_text()
    for text in (
        "Who can tell what",
        "Normalised leakage",
        "Stadler et al.",
        "ceiling",
        "data:image/png",
        "what decoders make",
    ):
        assert text in page
    assert umbel(capsys, "report", out)[0] == 0
    assert Results.read(out).to_json() == results.to_json() and (out / "report.html").read_text() == page

    status, said, _ = umbel(capsys, "audit", trained, *QUICK, "--out", out, "--resume", "--json")
    assert json.loads(said) == json.loads(results.to_json())["facts"]["audits"]


def test_a_network_of_one_task_is_asked_for_another_of_its_data(capsys, tmp_path):
    run = tmp_path / "run"
    assert umbel(capsys, "train", *SMALL, "--tasks", "digit", "--steps", "2", "--out", run)[0] == 0
    flags = [*QUICK, "--no-reconstruction", "--out"]
    status, said, _ = umbel(capsys, "audit", run, *flags, tmp_path / "alone")
    assert status == 0 and "There is one task only" in said and "Nothing was inferred across tasks" in said
    status, said, _ = umbel(capsys, "audit", run, "--tasks", "loops", *flags, tmp_path / "other")
    (found,) = audits_of(results := Results.read(tmp_path / "other"))
    assert [(one.seen, one.wanted) for one in found.inference] == [("digit", "loops"), ("the input itself", "loops")]
    assert found.inference[0].label_floor == 1.0  # of who knows the digit
    assert list(next(run for run in results.runs if run.method == "network").metrics) == ["digit"]


def test_networks_that_tell_members_are_trained_as_the_run_was(capsys, trained, tmp_path, monkeypatch):
    def attack(fresh, descent, train, validation, fit, networks, runtime, reporter):
        assert (len(train), len(validation), networks, fit.steps, type(descent()).__name__) == (
            1222,
            216,
            8,
            6,
            "WeightedSum",
        )
        saved = load_checkpoint(resolve(trained))
        load_weights(fresh(5), saved)  # the same network, or it would be refused
        return Membership(8, 1222, 0.53, 0.51, 0.55, (0.01,), (0.02,), (0.015,), (0.025,))

    monkeypatch.setattr("umbel.recipes.auditing.members.attack_membership", attack)
    monkeypatch.setattr("umbel.recipes.auditing.attacks.infer", lambda *_: ())
    flags = ["--membership", "8", "--no-reconstruction", "--out", tmp_path / "audit"]
    status, said, _ = umbel(capsys, "audit", trained, *flags)
    told = " ".join(said.split())
    assert status == 0 and "AUC 0.530 (0.510 to 0.550)" in told and "2 % (1.5 to 2.5) of the members are found" in told


def test_what_does_not_fit_into_memory_is_refused(capsys, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("umbel.recipes.auditing.attacked.machine_bytes", lambda: 2**18)
    told = refused(capsys, "audit", trained, "--out", tmp_path / "audit")
    assert "more than a quarter of the memory; audit fewer with --most" in told and not (tmp_path / "audit").exists()


def test_an_encoder_of_ones_own_is_measured_against_the_input(capsys, beside):
    flags = [*QUICK, "--data", "digits", "--tasks", "digit,loops", "--no-reconstruction", "--sigma", "0,1"]
    flags += ["--delta", "0.01"]
    status, said, _ = umbel(capsys, "audit", "--encoder", "own_encoders:noisy", *flags, "--out", "audit")
    assert status == 0
    told = "epsilon 6.00 at delta 0.01 (one picture, replace-one neighbours; 1 × clip norm 1, sigma 1 × clip norm)"
    assert told in " ".join(said.split()) and "delta 0.01 is not below 1/n" in said
    for text in ("From what the encoder gives", "grey", "No --weights", "other operating points"):
        assert text in said
    clear, noisy = audits_of(results := Results.read("audit"))
    assert (clear.point, noisy.point) == ({"sigma": 0.0}, {"sigma": 1.0})

    def score(found, seen):
        return next(one.score for one in found.inference if (one.seen, one.wanted) == (seen, "digit"))

    assert score(clear, "encoder") > 0.6 > score(noisy, "encoder") + 0.2
    assert score(clear, "the input itself") == score(noisy, "the input itself") == clear.ceiling("digit")
    assert [chart.title for chart in results.charts] == ["Leakage over sigma"]


def test_a_torchvision_encoder_is_audited_at_an_inner_layer(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("umbel.recipes.auditing.attacks.infer", lambda train, *_: seen.append(train) or ())
    seen: list = []
    flags = ["--data", "digits", "--resize", "32", "--normalise", "imagenet", "--layer", "avgpool", "--serves", "digit"]
    flags += ["--most", "64", "--no-reconstruction", "--out", tmp_path / "audit"]
    assert umbel(capsys, "audit", "--encoder", "torchvision.models:resnet18", *flags)[0] == 0
    assert seen[0].features["encoder"].shape == (64, 512, 1, 1) and seen[0].serves == {"encoder": ("digit",)}


def test_weights_are_loaded_and_nothing_is_unpickled(beside):
    made = users_encoder("own_encoders.py:plain")
    weights = {name: torch.full_like(value, 0.5) for name, value in made.state_dict().items()}
    save_file(weights, "w.safetensors")
    torch.save({"state_dict": weights}, "w.pt")
    for file in ("w.safetensors", "w.pt"):
        assert all(bool((v == 0.5).all()) for v in users_encoder("own_encoders:plain", file).state_dict().values())


class _Trap:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_weights_that_do_not_fit_are_refused(capsys, beside):
    torch.save(nn.Linear(1, 1), "whole.pt")
    (beside / "trap.pt").write_bytes(pickle.dumps(_Trap()))
    torch.save({"0.weight": torch.zeros(4, 3, 3, 3)}, "few.pt")
    torch.save({"0.weight": torch.zeros(1), "0.bias": torch.zeros(4)}, "shape.pt")
    torch.save([1], "list.pt")
    said = {
        "whole.pt": "is not unpickled",
        "trap.pt": "is not unpickled",
        "few.pt": "they have no 0.bias",
        "shape.pt": "0.weight is [1] there and [4, 3, 3, 3] in the encoder",
        "list.pt": "are no state dict",
        "nowhere.pt": "there is no such file",
    }
    for file, text in said.items():
        flags = ["--encoder", "own_encoders:plain", "--data", "digits", "--weights", file]
        assert text in refused(capsys, "audit", *flags), file


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "needs the folder of a training"),
        ("nowhere", "checkpoint nowhere does not exist"),
        ("RUN --encoder a:b", "names a run and an encoder"),
        ("RUN --data digits", "--data is for an encoder of your own"),
        ("RUN --resize 3", "--resize is for an encoder of your own"),
        ("RUN --tasks colour", "unknown task 'colour'"),
        ("RUN --sigma 1", "without noise of its own"),
        ("RUN --point snr_db=1", "unknown value of the operating point"),
        ("RUN --seeds 0", "seeds is 0"),
        ("RUN --sigma -1", "'-1' is no number"),
        ("RUN --sigma=x", "'x' is no number"),
        ("RUN --releases 0", "at least 1"),
        ("RUN --membership 3", "at least 4 networks"),
        ("--encoder own_encoders:plain --data digits --membership 4", "known of runs of `umbel train` only"),
        ("RUN --delta 2", "delta is 2"),
        ("RUN --attackers liner", "unknown attacker 'liner'; did you mean 'linear'?"),
        ("RUN --delta 1e-5", "so no epsilon holds"),
        ("RUN --epsilon 4", "so no epsilon holds"),
        ("--encoder own_encoders:unclipped --data digits --epsilon 4", "guarantees no epsilon"),
        ("--encoder own_encoders:plain", "say which data"),
        ("--encoder own_encoders --data digits", "name a function"),
        ("--encoder no_such_module:f --data digits", "there is no module 'no_such_module'"),
        ("--encoder nothere.py:f --data digits", "there is no file nothere.py"),
        ("--encoder own_encoders:plan --data digits", "did you mean 'plain'?"),
        ("--encoder own_encoders:number --data digits", "is a int"),
        ("--encoder own_encoders:broken --data digits", "OSError: no such disk"),
        ("--encoder own_encoders:plain --data digits --layer 9", "unknown layer"),
        ("--encoder own_encoders:plain --data digits --serves colour", "unknown task 'colour'"),
        ("--encoder own_encoders:plain --data digits --resize 3x4x5", "give pixels as 224"),
        ("--encoder own_encoders:plain --data air-quality", "data set 'air-quality'"),
        ("--encoder own_encoders:plain --data digits --sigma 1", "without noise of its own"),
    ],
)
def test_what_cannot_be_audited_is_refused_before_anything_is_written(capsys, trained, beside, arguments, message):
    given = [str(trained) if word == "RUN" else word for word in arguments.split()]
    before = contents(beside)
    assert message in refused(capsys, "audit", *given)
    assert {name: v for name, v in contents(beside).items() if "__pycache__" not in name} == before
