"""Predictions over many points with one run of the transmitter: the same as those of the slow way."""

import pytest
import torch

from umbel import tasks
from umbel.channels import make_channel
from umbel.core import Batch, OperatingPoint, UmbelError
from umbel.data import TensorSource
from umbel.engine import open_runtime, predict_split
from umbel.recipes.communications.predictions import predict_over_points
from umbel.transmission import Goal, Stage, StagedLearner, StagedModel, build_transmission

CLASS = tasks.classification("class", "abc")
QUIET = OperatingPoint(snr_db=100.0)


@pytest.fixture(scope="module")
def parts():
    model = build_transmission(
        (1, 8, 8), [Stage(2), Stage(3)], [Goal(CLASS, 1), Goal(CLASS, 2)], make_channel("awgn"), "conv", widths=(4, 8)
    )
    inputs = torch.rand(23, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(23) % 4 - 1
    return StagedLearner(model, (0.0, 10.0)), TensorSource(Batch(inputs, {"class": labels})), open_runtime()


def test_without_noise_it_is_what_predict_split_gives(parts):
    (fast,) = predict_over_points(*parts, [QUIET], draws=2, batch_size=7)
    slow = predict_split(*parts, QUIET, draws=2)
    for name in ("class@1", "class@2"):
        assert torch.allclose(fast.raw[name], slow.raw[name], atol=1e-3)
        assert torch.equal(fast.targets[name], slow.targets[name])


def test_draws_and_seeds_give_other_noise_and_points_the_same(parts):
    noisy = OperatingPoint(snr_db=0.0)
    one, again = predict_over_points(*parts, [noisy, noisy], draws=2)
    (other,) = predict_over_points(*parts, [noisy], draws=2, seed=1)
    first, second = one.raw["class@1"].chunk(2)
    assert not torch.equal(first, second)
    assert not torch.equal(one.raw["class@1"], other.raw["class@1"])
    assert torch.equal(one.raw["class@1"], again.raw["class@1"])


def test_it_leaves_torchs_generator_and_the_mode_alone(parts):
    learner = parts[0].train()
    before = torch.get_rng_state()
    predict_over_points(*parts, [OperatingPoint(snr_db=0.0)])
    assert learner.training
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_input(parts):
    with pytest.raises(UmbelError, match="at least once"):
        predict_over_points(*parts, [QUIET], draws=0)
    with pytest.raises(UmbelError, match="all stages"):
        predict_over_points(*parts, [QUIET.with_values(stages=1)])


class Louder(StagedModel):
    """A transmitter that turns what it sends up to the point's `loud`."""

    def transmit(self, inputs, point):
        return [latent * point.get("loud", 1.0) for latent in super().transmit(inputs, point)]


def test_what_else_turns_the_transmitter_is_sent_anew(parts):
    learner, *others = parts
    model = learner.model
    turned = Louder(model.encoder, list(model.codes), model.stages, list(model.receivers))
    points = [QUIET, QUIET.with_values(loud=0.2), QUIET.with_values(snr_db=90.0)]
    found = [one.raw["class@1"] for one in predict_over_points(StagedLearner(turned, (0.0, 10.0)), *others, points)]
    for point, values in zip(points, found, strict=True):
        slow = predict_split(StagedLearner(turned, (0.0, 10.0)), *others, point).raw["class@1"]
        assert torch.allclose(values, slow, atol=1e-2)
    assert not torch.allclose(found[0], found[1], atol=1e-2)
