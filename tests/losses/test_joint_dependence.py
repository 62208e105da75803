"""All pairs at once: the same numbers as pair by pair, positions of maps as samples, little work."""

import itertools

import pytest
import torch

from umbel.core import UmbelError
from umbel.losses import KINDS, attention_overlap, cross_covariance, hsic, joint_dependence, joint_overlap


def standardised(x):
    centred = x - x.mean(0)
    return centred / centred.square().mean(0).sqrt()


def hsic_of_standardised(one, other):
    widths = [(2 * x.shape[1]) ** 0.5 for x in (one, other)]
    return hsic(standardised(one), standardised(other), widths=widths)


OF_A_PAIR = {"covariance": cross_covariance, "hsic": hsic_of_standardised}


def sets(*widths, samples=20, dtype=torch.float64):
    """Correlated sets: all have a part in common."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(samples, 1, generator=generator, dtype=dtype)
    return [common + torch.randn(samples, width, generator=generator, dtype=dtype) for width in widths]


def test_every_kind_is_known():
    assert set(KINDS) == set(OF_A_PAIR)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("widths", [(3, 3), (4, 2, 5), (40, 3, 3)], ids=["two", "three", "wide"])
def test_it_is_the_sum_over_pairs_and_so_is_its_gradient(kind, widths):
    features = [x.requires_grad_() for x in sets(*widths)]
    joint = joint_dependence(features, kind)
    pairs = sum(OF_A_PAIR[kind](one, other) for one, other in itertools.combinations(features, 2))
    torch.testing.assert_close(joint, pairs)
    for got, wanted in zip(torch.autograd.grad(joint, features), torch.autograd.grad(pairs, features), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e15])
def test_scales_shifts_and_constant_features_do_no_harm(scale):
    one, other = sets(3, 3)
    wanted = joint_dependence([one, other])
    moved = [(one * scale + 7 * scale).float().requires_grad_(), other.float()]
    value = joint_dependence(moved)
    torch.testing.assert_close(value.double(), wanted, rtol=1e-4, atol=0)
    assert torch.isfinite(torch.autograd.grad(value, moved[0])[0]).all()
    constant = torch.full_like(one, 0.1)
    constant[:, 0] = one[:, 0]
    value = joint_dependence([constant, other])
    torch.testing.assert_close(value, cross_covariance(constant, other))


def test_positions_of_maps_are_samples_less_the_mean_of_the_position():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(6, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    other[:, 0] += one[:, 1]
    place = 10 * torch.randn(1, 1, 4, 5, generator=generator, dtype=torch.float64)
    rows = [(x - x.mean(0)).movedim(1, 3).reshape(-1, 3) for x in (one, other)]
    wanted = cross_covariance(*rows)
    torch.testing.assert_close(joint_dependence([one + place, other + place]), wanted)
    shifted = other.roll(1, dims=3)
    assert joint_dependence([one, shifted]) < 0.5 * wanted, "other places are not compared"


def test_kernels_of_maps_take_a_grid_of_positions():
    one, other = (torch.randn(64, 2, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    apart, alike = joint_dependence([one, other], "hsic"), joint_dependence([one, one], "hsic")
    assert abs(apart) < 0.1 * alike


def test_a_map_and_a_vector_are_compared_flat():
    generator = torch.Generator().manual_seed(0)
    maps, vector = torch.randn(8, 2, 3, 3, generator=generator), torch.randn(8, 5, generator=generator)
    torch.testing.assert_close(joint_dependence([maps, vector]), cross_covariance(maps.flatten(1), vector))
    small = torch.randn(8, 2, 3, 1, generator=generator)
    torch.testing.assert_close(joint_dependence([maps, small]), cross_covariance(maps.flatten(1), small.flatten(1)))


@pytest.mark.parametrize(("kind", "samples"), [("covariance", 1), ("hsic", 3), ("covariance", 0)])
def test_too_few_samples_have_no_dependence(kind, samples):
    features = [torch.randn(samples, 3, requires_grad=True) for _ in range(2)]
    value = joint_dependence(features, kind)
    assert value == 0
    value.backward()


def test_half_precision_is_computed_in_full():
    features = [x.bfloat16() for x in sets(3, 3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = joint_dependence(features)
    torch.testing.assert_close(value, joint_dependence([x.float() for x in features]))


def test_overlap_is_that_of_all_pairs_averaged_over_samples():
    gates = torch.rand(7, 3, 5, generator=torch.Generator().manual_seed(0))
    pairs = sum(attention_overlap(gates[:, j], gates[:, k]).mean() for j, k in ((0, 1), (0, 2), (1, 2)))
    torch.testing.assert_close(joint_overlap(gates), pairs)
    apart = torch.eye(3).expand(4, 3, 3)
    assert joint_overlap(apart) == 0 and joint_overlap(torch.ones(4, 3, 5)).item() == pytest.approx(3.0)
    assert joint_overlap(torch.ones(0, 3, 5)) == 0


def test_what_cannot_be_is_refused():
    x = torch.randn(4, 3)
    for call, message in (
        (lambda: joint_dependence([x]), "needs two sets of features"),
        (lambda: joint_dependence([x, x[:3]]), "needs two sets of features"),
        (lambda: joint_dependence([x, x[:, 0]]), "needs two sets of features"),
        (lambda: joint_dependence([x, x], "mutual"), "kind of dependence"),
        (lambda: joint_overlap(x), r"gates \[B, K, C\]; they have shape \(4, 3\)"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
