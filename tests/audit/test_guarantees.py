import math

import pytest
import torch
from torch import nn

from umbel.audit import delta_below, noise_for_epsilon, release_guarantees
from umbel.core import MultiTaskModel, OperatingPoint, PointSequential, UmbelError
from umbel.nn import FeatureRelease
from umbel.privacy import Release, guarantee

POINT = OperatingPoint(sigma=2.16)


def network(encoder: nn.Module | None = None, **links: nn.Module) -> MultiTaskModel:
    return MultiTaskModel(encoder or nn.Linear(3, 5), {"a": nn.Linear(5, 2), "b": nn.Linear(5, 3)}, links)


class Releasing(nn.Module):
    """A link of one's own that says what all of its features pass through."""

    def __init__(self) -> None:
        super().__init__()
        self.release = FeatureRelease(0.5)


def test_every_receiver_and_all_together_with_all_that_an_epsilon_needs():
    told = release_guarantees(
        network(a=FeatureRelease(1.0), b=PointSequential(nn.Linear(5, 5), FeatureRelease(3.0), nn.ReLU())),
        POINT,
        8000,
        unit="image",
    )
    assert told[:2] == (
        "a: epsilon 4.00 at delta 1e-05 (one image, replace-one neighbours; 1 × clip norm 1, sigma 2.16 × clip norm).",
        "a: epsilon 1.83 at delta 1e-05 (one image, add-remove neighbours; 1 × clip norm 1, sigma 2.16 × clip norm).",
    )
    together = guarantee([Release(1.0, 2.16), Release(3.0, 2.16)], 1e-5, unit="image")
    assert told[4] == f"all together: {together}." and len(told) == 6 and together.epsilon > 5.5


def test_repeated_releases_and_a_link_of_ones_own_count():
    told = release_guarantees(network(a=Releasing(), b=Releasing()), POINT, 100, releases=30)
    assert f"b: {guarantee([Release(0.5, 2.16, 30)], 1e-5)}." in told


def test_noise_without_clipping_is_called_noise_and_nothing_is_called_nothing():
    told = release_guarantees(network(a=FeatureRelease(None)), POINT, 100)
    assert told[0].startswith("a: noise, not privacy: standard deviation 2.16 ")
    assert told[1].startswith("b: no guarantee: ") and told[2].startswith(
        "all together: no guarantee, for the features of a, b "
    )
    assert not any("epsilon 0" in one for one in told)
    assert release_guarantees(nn.Linear(2, 2), POINT, 100)[0].startswith("Nothing is guaranteed")
    silent = release_guarantees(network(a=FeatureRelease(1.0), b=FeatureRelease(1.0)), OperatingPoint(sigma=0.0), 100)
    assert all("no guarantee: a release has next to no noise" in one for one in silent)


def test_what_left_the_encoder_clipped_and_noisy_is_released_once():
    told = release_guarantees(
        network(PointSequential(nn.Linear(3, 5), FeatureRelease(1.0)), a=nn.Linear(5, 5)), POINT, 100
    )
    assert {one.split(": ", 1)[1] for one in told} == {one.split(": ", 1)[1] for one in told[:2]}


def test_delta_is_below_one_over_the_samples_and_larger_ones_are_told():
    assert (delta_below(8000), delta_below(100_000), delta_below(99_999), delta_below(1)) == (1e-5, 1e-6, 1e-5, 1e-5)
    model = network(a=FeatureRelease(1.0), b=FeatureRelease(1.0))
    assert release_guarantees(model, POINT, 1000, delta=1e-3)[-1].startswith("delta 0.001 is not below 1/n = 0.001 ")
    assert "1/n" not in release_guarantees(model, POINT, 1000, delta=9e-4)[-1]
    with pytest.raises(UmbelError, match="delta"):
        release_guarantees(model, POINT, 1000, delta=1.0)
    with pytest.raises(UmbelError, match="samples is 0"):
        delta_below(0)


@pytest.mark.parametrize("neighbours", ["replace-one", "add-remove"])
def test_the_noise_for_an_epsilon_holds_all_tasks_to_it_and_is_the_least(neighbours):
    model = network(a=FeatureRelease(1.0), b=FeatureRelease(4.0))
    sigma = noise_for_epsilon(model, 4.0, 1e-5, neighbours, releases=3)

    def epsilon(noise: float) -> float:
        return guarantee([Release(1.0, noise, 3), Release(4.0, noise, 3)], 1e-5, neighbours).epsilon

    assert epsilon(sigma) == pytest.approx(4.0, abs=1e-9) and epsilon(0.999 * sigma) > 4.0
    before = network(PointSequential(nn.Linear(3, 5), FeatureRelease(1.0)))
    assert noise_for_epsilon(before, 4.0, 1e-5, neighbours) == pytest.approx(sigma / math.sqrt(6))


def test_no_noise_makes_unclipped_features_private():
    for model, message in (
        (network(a=FeatureRelease(1.0), b=FeatureRelease(None)), "'b' an epsilon: they have a FeatureRelease without"),
        (network(a=FeatureRelease(1.0)), "'b' an epsilon: they have no FeatureRelease"),
        (nn.Linear(2, 2), "no receivers"),
    ):
        with pytest.raises(UmbelError, match=message):
            noise_for_epsilon(model, 4.0, 1e-5)
    good = network(a=FeatureRelease(1.0), b=FeatureRelease(1.0))
    for wrong, message in (
        ({"neighbours": "x"}, "neighbours"),
        ({"releases": 0}, "releases is 0"),
        ({"epsilon": -1.0}, "epsilon"),
    ):
        with pytest.raises(UmbelError, match=message):
            noise_for_epsilon(good, **({"epsilon": 1.0, "delta": 1e-5} | wrong))


def test_the_noise_found_is_what_the_point_takes():
    model = network(a=FeatureRelease(1.0, task="a"), b=FeatureRelease(1.0, task="b"))
    point = OperatingPoint(sigma=noise_for_epsilon(model, 2.0, 1e-5))
    assert model(torch.rand(4, 3), point)["a"].shape == (4, 2)
    assert "all together: epsilon 2.00 at" in " ".join(release_guarantees(model, point, 1000))
