"""Dependence of features: against sums written out in float64, laws, gradients by finite differences."""

import itertools
import math

import pytest
import torch

from umbel.errors import UmbelError
from umbel.losses import ESTIMATORS, attention_overlap, cross_covariance, hsic

MEASURES = (cross_covariance, hsic, lambda one, other: hsic(one, other, "biased"))


def features(samples, width, seed):
    return torch.randn(samples, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dependent(samples=12, seed=0):
    """Two sets of which the second is a curved function of the first, and noise."""
    one = features(samples, 3, seed)
    return one, torch.cat([one[:, :1].square(), one[:, 1:2] + 0.1 * features(samples, 1, seed + 1)], 1)


def kernels_by_hand(one, other, widths=None):
    """Gaussian kernels as lists of lists; the lower one of two middle distances is the median."""
    kernels = []
    for x, width in zip((one, other), widths or (None, None), strict=True):
        distances = [[math.dist(a, b) for b in x.tolist()] for a in x.tolist()]
        pairs = sorted(distances[i][j] for i, j in itertools.combinations(range(len(x)), 2))
        scale = width or pairs[(len(pairs) - 1) // 2]
        kernels.append([[math.exp(-(d**2) / (2 * scale**2)) for d in row] for row in distances])
    return kernels


@pytest.mark.parametrize(("samples", "widths"), [(12, (3, 2)), (5, (40, 30)), (2, (5, 5)), (64, (300, 200))])
def test_cross_covariance_is_the_mean_square_of_all_correlations(samples, widths):
    one, noise = features(samples, widths[0], 0), features(samples, widths[1], 1)
    other = one.sum(1, keepdim=True) + noise
    expected = torch.corrcoef(torch.cat([one, other], 1).T)[: widths[0], widths[0] :].square().mean()
    torch.testing.assert_close(cross_covariance(one, other), expected)
    torch.testing.assert_close(cross_covariance(one.float(), other.float()).double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("widths", [None, (0.7, 2.0)])
def test_biased_hsic_is_the_mean_over_all_quadruples(widths):
    one, other = dependent(6)
    k, m = kernels_by_hand(one, other, widths)
    four = itertools.product(range(6), repeat=4)
    expected = sum(k[i][j] * (m[i][j] + m[q][r] - 2 * m[i][q]) for i, j, q, r in four) / 6**4
    assert hsic(one, other, "biased", widths).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("widths", [None, (0.7, 2.0)])
def test_unbiased_hsic_is_the_mean_over_quadruples_of_four_samples(widths):
    one, other = dependent(7)
    k, m = kernels_by_hand(one, other, widths)
    four = list(itertools.permutations(range(7), 4))
    expected = sum(k[i][j] * (m[i][j] + m[q][r] - 2 * m[i][q]) for i, j, q, r in four) / len(four)
    assert hsic(one, other, "unbiased", widths).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("measure", MEASURES)
def test_order_of_the_sets_and_the_samples_place_and_scale_change_nothing(measure):
    one, other = dependent(16)
    value, order = measure(one, other), torch.randperm(16, generator=torch.Generator().manual_seed(3))
    assert value.abs() > 1e-4
    for changed in (
        measure(other, one),
        measure(one[order], other[order]),
        measure(one + 1e3, other - 5),
        measure(1e-6 * one, 1e6 * other),
        measure(one[:, [2, 0, 1]], other.flip(1)),
    ):
        torch.testing.assert_close(changed, value, rtol=1e-6, atol=1e-9)
    assert (measure(one, other[order]) - value).abs() > 1e-4, "which sample is which matters"


def test_cross_covariance_does_not_depend_on_units_or_copies_of_features():
    one, other = dependent(16)
    value = cross_covariance(one, other)
    torch.testing.assert_close(cross_covariance(one * torch.tensor([1e-8, 3.0, -1e5]), other), value)
    torch.testing.assert_close(cross_covariance(one.repeat(1, 5), other.repeat(1, 2)), value)
    turn = torch.linalg.qr(features(3, 3, 5))[0]
    torch.testing.assert_close(hsic(one @ turn, other), hsic(one, other))


@pytest.mark.parametrize("samples", [2, 8, 33])
def test_cross_covariance_is_1_for_one_feature_and_itself_and_never_more(samples):
    one = features(samples, 1, 0)
    assert cross_covariance(one, -3 * one + 1).item() == pytest.approx(1)
    assert 0 <= cross_covariance(features(samples, 4, 1), features(samples, 6, 2)) <= 1


def test_independent_features_give_what_is_expected():
    draws = [(features(10, 3, seed), features(10, 5, 10_000 + seed)) for seed in range(1500)]
    linear = torch.stack([cross_covariance(*pair) for pair in draws])
    assert abs(linear.mean() - 1 / 9) < 4 * linear.std() / len(draws) ** 0.5
    widths = (1.5, 2.0)  # a median would depend on the samples
    unbiased = torch.stack([hsic(*pair, widths=widths) for pair in draws])
    assert abs(unbiased.mean()) < 4 * unbiased.std() / len(draws) ** 0.5
    assert (unbiased < 0).float().mean() > 0.3
    biased = torch.stack([hsic(*pair, "biased", widths) for pair in draws])
    assert biased.min() > 0 and biased.mean() > 10 * unbiased.std() / len(draws) ** 0.5


def test_only_hsic_sees_a_dependence_that_is_not_linear():
    one = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    assert cross_covariance(one, one.square()) < 1e-20
    assert hsic(one, one.square()) > 5 * hsic(one, one.square()[torch.randperm(64)]).abs()


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients_are_those_of_finite_differences(measure):
    one, other = (x.requires_grad_() for x in dependent(7))
    assert torch.autograd.gradcheck(measure, (one, other))
    wide = (features(4, width, seed).requires_grad_() for seed, width in enumerate((9, 12)))
    assert torch.autograd.gradcheck(measure, tuple(wide))


@pytest.mark.parametrize("measure", MEASURES)
def test_features_cannot_lower_the_loss_by_shrinking(measure):
    one, other = dependent(9)
    one.requires_grad_()
    (slope,) = torch.autograd.grad(measure(one, other), one)
    assert slope.norm() > 1e-4
    assert abs((slope * (one - one.mean(0))).sum()) < 1e-10, "no slope along its own scale"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("samples", [0, 1, 6])
def test_features_that_say_nothing_give_0_and_a_finite_gradient(measure, samples):
    one, other = torch.full((samples, 2), 1e4, requires_grad=True), torch.randn(samples, 3, requires_grad=True)
    value = measure(one, other)
    value.backward()
    assert abs(value) < 1e-6
    assert torch.isfinite(one.grad).all() and torch.isfinite(other.grad).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_too_few_samples_for_an_estimate_give_0(estimator):
    few = {"unbiased": 3, "biased": 1}[estimator]
    assert hsic(features(few, 2, 0), features(few, 2, 0), estimator) == 0
    assert hsic(features(few + 1, 2, 0), features(few + 1, 2, 0), estimator) != 0


@pytest.mark.parametrize("measure", (*MEASURES, attention_overlap))
def test_half_precision_is_computed_in_full_inside_autocast_too(measure):
    one, other = features(16, 3, 0).bfloat16(), features(16, 3, 1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = measure(one, other)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, measure(one.float(), other.float()), rtol=1e-5, atol=1e-7)


def test_features_far_from_0_keep_their_digits():
    one, other = dependent(16)
    value = hsic(one, other)
    assert hsic(one.float() + 100, other.float()).item() == pytest.approx(value.item(), rel=1e-3)


def test_overlap_is_the_squared_cosine_of_each_sample():
    one, other = torch.rand(4, 3, 2, 2).double(), torch.rand(4, 3, 2, 2).double()
    expected = torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1)).square()
    torch.testing.assert_close(attention_overlap(one, other), expected)
    torch.testing.assert_close(attention_overlap(one, 3 * one), torch.ones(4).double())
    apart = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert attention_overlap(apart, apart.flip(1)).tolist() == [0, 0]
    one.requires_grad_()
    assert torch.autograd.gradcheck(attention_overlap, (one, other))


@pytest.mark.parametrize("shape", [(4,), (4, 0)])
def test_features_without_samples_of_their_own_are_refused(shape):
    for measure in MEASURES:
        with pytest.raises(UmbelError, match=r"needs two sets of features \[B, d\] of the same samples"):
            measure(torch.rand(4, 2), torch.rand(shape))


def test_wrong_widths_and_gates_are_refused():
    one, other = dependent()
    for wrong in ([1.0], [1.0, 0.0], [1.0, 2.0, 3.0]):
        with pytest.raises(UmbelError, match="give two positive numbers"):
            hsic(one, other, widths=wrong)
    with pytest.raises(UmbelError, match="unknown estimator of hsic 'unbaised'; did you mean 'unbiased'"):
        hsic(one, other, "unbaised")
    with pytest.raises(UmbelError, match="attention_overlap: gates of shape"):
        attention_overlap(torch.ones(2, 3), torch.ones(2, 4))
