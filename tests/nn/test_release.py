"""Features that are clipped and get noise: geometry, the noise's size, the point, what is guaranteed."""

import math

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import Learner, MultiTaskModel, OneOf, OperatingPoint, UmbelError, Uniform
from umbel.nn import FeatureRelease
from umbel.privacy import Release, gaussian_epsilon, guarantee

QUIET = OperatingPoint(sigma=0.0)


def maps(samples=6, scale=1.0):
    return scale * torch.randn(samples, 3, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e15])
def test_a_sample_is_shortened_to_the_norm_and_keeps_its_direction(scale):
    features = maps(scale=scale)
    sent = FeatureRelease(2.0)(features, QUIET)
    before, after = features.double().flatten(1), sent.double().flatten(1)
    assert after.norm(dim=1).max() <= 2 * (1 + 1e-6)
    torch.testing.assert_close(torch.cosine_similarity(before, after), torch.ones(6).double(), rtol=1e-6, atol=0)
    inside = before.norm(dim=1) <= 2
    assert torch.equal(before[inside], after[inside])
    assert inside.all() or (after[~inside].norm(dim=1) > 2 * (1 - 1e-6)).all()


def test_samples_that_differ_in_one_are_no_further_apart_than_the_sensitivity():
    far = torch.zeros(2, 4)
    far[:, 0] = torch.tensor([1e6, -1e6])
    one, other = FeatureRelease(1.5)(far, QUIET)
    assert (one - other).norm().item() == pytest.approx(3.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_does_not_come_out(value):
    features = maps()
    features[2, 1, 0, 1] = value
    sent = FeatureRelease(1.0)(features, QUIET)
    assert not sent[2].any()
    assert torch.equal(sent[[0, 1, 3, 4, 5]], FeatureRelease(1.0)(maps(), QUIET)[[0, 1, 3, 4, 5]])
    assert torch.isfinite(FeatureRelease(1.0)(features, OperatingPoint(sigma=1.0))).all()
    assert not FeatureRelease(1.0)(maps(scale=1e30), QUIET).any(), "nor where the norm is too large for a float"


@pytest.mark.parametrize(("norm", "deviation"), [(0.5, 1.5), (2.0, 6.0), (None, 3.0)])
def test_noise_counts_in_clip_norms_and_is_white(norm, deviation):
    features = torch.zeros(20_000, 3)
    noise = FeatureRelease(norm).eval()(features, OperatingPoint(sigma=3.0))
    spread = torch.cov(noise.T) / deviation**2
    assert (spread - torch.eye(3)).abs().max() < 5 * (2 / 20_000) ** 0.5
    assert noise.mean(0).abs().max() < 5 * deviation / 20_000**0.5
    fourth = (noise / deviation).pow(4).mean()
    assert fourth.item() == pytest.approx(3, abs=0.2), "normal, and not merely of that variance"


def test_noise_is_new_each_time_and_repeats_with_the_generator():
    release, point = FeatureRelease(1.0), OperatingPoint(sigma=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first, second = release(maps(), point), release(maps(), point)
        torch.manual_seed(5)
        again = release(maps(), point)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_gradients_are_those_of_finite_differences():
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).double()
    features[0] *= 0.1  # inside the ball; the others are outside
    features[1:] *= 4
    assert torch.autograd.gradcheck(lambda x: FeatureRelease(1.0)(x, QUIET), features.requires_grad_())
    nothing = torch.zeros(1, 4, requires_grad=True)
    FeatureRelease(1.0)(nothing, QUIET).sum().backward()
    assert nothing.grad.tolist() == [[1, 1, 1, 1]]


def test_half_precision_is_released_in_full_and_an_empty_batch_passes():
    assert FeatureRelease(1.0)(maps().bfloat16(), QUIET).dtype == torch.float32
    assert FeatureRelease(1.0)(maps().double(), QUIET).dtype == torch.float64
    assert FeatureRelease(1.0)(maps()[:0], OperatingPoint(sigma=1.0)).shape == (0, 3, 2, 2)


def test_links_ask_for_their_noise_and_read_their_own_entry():
    axes = {"a": Uniform(0, 2, sweep=(1.0, 0.0)), "b": OneOf((0.5,))}
    links = {name: FeatureRelease(1.0, axis, name) for name, axis in axes.items()}
    model = MultiTaskModel(nn.Linear(4, 3), {name: nn.Linear(3, 1) for name in "ab"}, links)
    learner = Learner(model, [tasks.regression(name) for name in "ab"])
    assert learner.axes() == {"sigma": axes}
    point = learner.draw_point(torch.Generator().manual_seed(0), 0.0)
    assert 0 <= links["a"].sigma_at(point) <= 2 and links["b"].sigma_at(point) == 0.5
    assert [links["a"].sigma_at(p) for p in learner.sweep()] == [1.0, 0.0]
    assert FeatureRelease(1.0).axes() == {}
    assert FeatureRelease(1.0, axes["a"]).axes() == {"sigma": axes["a"]}
    assert set(model(torch.rand(2, 4), point)) == {"a", "b"}


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-1.0, "sigma of the operating point is -1; give a number, at least 0"),
        (math.inf, "sigma of the operating point is inf"),
        ("much", "sigma of the operating point is 'much'"),
        ({"left": 1.0}, "unknown task in sigma 'right'; known: left"),
    ],
)
def test_a_wrong_sigma_is_refused(sigma, message):
    with pytest.raises(UmbelError, match=message):
        FeatureRelease(1.0, task="right")(maps(), OperatingPoint(sigma=sigma))


def test_a_point_without_sigma_and_a_wrong_norm_are_refused():
    with pytest.raises(UmbelError, match="unknown operating-point value 'sigma'"):
        FeatureRelease(1.0)(maps(), OperatingPoint())
    for norm in (0.0, -1.0, math.inf, "1"):
        with pytest.raises(UmbelError, match="clip norm of a release is"):
            FeatureRelease(norm)


def test_the_guarantee_is_that_of_the_points_noise():
    release, point = FeatureRelease(3.0), OperatingPoint(sigma=2.16)
    said = release.guarantee(point, 1e-5, "add-remove", unit="image", times=2)
    assert said == guarantee([Release(3.0, 2.16, 2)], 1e-5, "add-remove", "image")
    assert said.epsilon == pytest.approx(gaussian_epsilon(1e-5, 2.16 * 3, 3 * 2**0.5))
    assert "one image, add-remove neighbours; 2 × clip norm 3, sigma 2.16" in str(said)


def test_noise_on_features_that_are_not_clipped_is_not_called_privacy():
    release = FeatureRelease(None)
    features = maps(scale=100.0)
    assert torch.equal(release(features, QUIET), features)
    with pytest.raises(UmbelError, match="not clipped may be arbitrarily far apart, so noise guarantees nothing; give"):
        release.guarantee(OperatingPoint(sigma=1.0), 1e-5)
