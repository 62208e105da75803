"""Weights of an earlier network, as far as they fit; and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from umbel import tasks
from umbel.core import Batch, Learner, MultiTaskModel, UmbelError
from umbel.data import TensorSource
from umbel.descent import make_descent
from umbel.engine import FitSettings, fit, warm_start


def learner(seed: int, width: int = 8, **heads: int) -> Learner:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 4))
    kinds = [tasks.classification(name, classes) for name, classes in heads.items()]
    return Learner(MultiTaskModel(encoder, {name: nn.Linear(4, n) for name, n in heads.items()}), kinds)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained network with two heads, and the folder of its training."""
    folder = tmp_path_factory.mktemp("warm") / "run"
    taught = learner(0, digit=5, parity=2)
    targets = {"digit": torch.arange(40) % 5, "parity": torch.arange(40) % 2}
    source = TensorSource(Batch(torch.randn(40, 3), targets))
    settings = FitSettings(steps=4, batch_size=8, precision="float32", tensorboard=False)
    fit(taught, make_descent("equal"), source, source, settings, out=folder)
    return taught, folder


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def test_encoder_and_fitting_heads_are_taken_and_the_rest_is_fresh(run):
    before, folder = run
    fresh, twin = (learner(1, digit=5, parity=3, colour=2) for _ in "ab")
    told = warm_start(fresh, folder)
    assert same(fresh.model.encoder, before.model.encoder)
    assert same(fresh.model.heads["digit"], before.model.heads["digit"])
    for name in ("parity", "colour"):
        assert same(fresh.model.heads[name], twin.model.heads[name])
    assert (
        told == f"starts from {folder}: 9 of 9 tensors of the encoder, heads.digit; fresh: heads.parity, heads.colour"
    )
    assert all(p.requires_grad for p in fresh.parameters())


@pytest.mark.parametrize("prefix", ["model.encoder.", "encoder.", ""])
def test_files_of_weights_may_hold_an_encoder_alone(run, tmp_path, prefix):
    before, _ = run
    file = tmp_path / "encoder.safetensors"
    save_file({prefix + n: t.clone() for n, t in before.model.encoder.state_dict().items()}, file)
    fresh = learner(1, digit=5)
    assert warm_start(fresh, str(file)).endswith("9 of 9 tensors of the encoder; fresh: heads.digit")
    assert same(fresh.model.encoder, before.model.encoder)


def test_an_encoder_may_fit_in_most_of_its_numbers(run, tmp_path):
    before, _ = run
    weights = {f"encoder.{n}": t.clone() for n, t in before.model.encoder.state_dict().items()}
    weights["encoder.0.weight"] = torch.zeros(8, 1)
    save_file(weights, tmp_path / "other.safetensors")
    fresh = learner(1, digit=5)
    told = warm_start(fresh, tmp_path / "other.safetensors")
    assert "8 of 9 tensors of the encoder" in told
    assert told.endswith("first that does not fit: encoder.0.weight is [8, 1] there, [8, 3] here")


def test_weights_that_do_not_fit_are_refused_and_nothing_changes(run, tmp_path):
    _, folder = run
    wide, twin = learner(1, 16, digit=5), learner(1, 16, digit=5)
    with pytest.raises(UmbelError, match=r"does not fit this network: of the encoder's .* numbers 5 are there"):
        warm_start(wide, folder)
    assert same(wide, twin)
    bad = {f"encoder.{n}": torch.full_like(t, 1) for n, t in learner(0, digit=5).model.encoder.state_dict().items()}
    bad["encoder.2.bias"] = torch.full((4,), torch.nan)
    save_file(bad, tmp_path / "nan.safetensors")
    with pytest.raises(UmbelError, match=r"encoder\.2\.bias holds NaN or infinity"):
        warm_start(learner(1, digit=5), tmp_path / "nan.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"other": torch.zeros(1)}, tmp_path / "none.safetensors")
    for name, message in {
        "text.safetensors": "is not a safetensors file of weights",
        "none.safetensors": "numbers 0 are there in the same place",
        "absent": "does not exist",
        ".": "is not a checkpoint of Umbel",
    }.items():
        with pytest.raises(UmbelError, match=message):
            warm_start(learner(1, digit=5), Path(tmp_path / name))


def test_a_model_without_encoder_is_taken_as_a_whole(tmp_path):
    before, fresh = (Learner(nn.Sequential(nn.Linear(2, 3)), [tasks.regression("a")]) for _ in "ab")
    save_file({n: t.clone() for n, t in before.model.state_dict().items()}, tmp_path / "w.safetensors")
    warm_start(fresh, tmp_path / "w.safetensors")
    assert same(fresh, before)
