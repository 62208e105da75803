"""The Gaussian mechanism: against integrals over the privacy loss, published numbers, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from umbel.errors import UmbelError
from umbel.privacy import (
    NEIGHBOURS,
    Guarantee,
    Release,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_sigma,
    gaussian_zcdp,
    guarantee,
    sensitivity,
    zcdp_epsilon,
)

RATIOS, EPSILONS, DELTAS = st.floats(1e-3, 1e2), st.floats(0, 1e2), st.floats(1e-12, 0.5)


@pytest.mark.parametrize(
    ("epsilon", "ratio"), [(0.0, 1.0), (0.5, 0.3), (1.0, 1.0), (4.0, 2 / 2.16), (3.0, 4.0), (20.0, 5.0), (0.01, 9e-3)]
)
def test_delta_is_the_integral_of_what_one_neighbour_is_likelier_by(epsilon, ratio):
    def surplus(x):  # of N(ratio, 1) over e^epsilon N(0, 1)
        return max(0.0, stats.norm.pdf(x, ratio) - math.exp(epsilon) * stats.norm.pdf(x))

    start = epsilon / ratio + ratio / 2  # where it begins to be positive
    wanted, _ = integrate.quad(surplus, start, start + 12, epsabs=1e-14, epsrel=1e-11, limit=200)
    assert gaussian_delta(epsilon, 1.0, ratio) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(("epsilon", "sigma"), [(1, 7.46), (2, 3.99), (4, 2.16), (8, 1.20), (16, 0.69)])
def test_numbers_of_the_brief(epsilon, sigma):
    assert gaussian_sigma(epsilon, 1e-5, 2.0) == pytest.approx(sigma, abs=0.005)


def test_number_of_the_authors_own_calibration():
    assert gaussian_sigma(1.0, 1e-5, 1.0) == pytest.approx(3.730631634944469, rel=1e-9)


def test_a_guarantee_says_which_neighbours_it_means():
    replaced, removed = (guarantee([Release(1.0, 2.16)], 1e-5, which, "image") for which in NEIGHBOURS)
    assert round(replaced.epsilon, 2) == 4.00
    assert round(removed.epsilon, 2) == 1.83
    assert str(replaced) == (
        "epsilon 4.00 at delta 1e-05 (one image, replace-one neighbours; 1 × clip norm 1, sigma 2.16 × clip norm)"
    )
    assert (sensitivity(3.0, "replace-one"), sensitivity(3.0, "add-remove")) == (6, 3)


def test_the_formula_for_small_ratios_continues_the_other():
    for epsilon in (0.0, 1e-3, 0.02, 0.05):
        below, above = (gaussian_delta(epsilon, 1.0, 1e-2 * (1 + side * 1e-13)) for side in (-1, 1))
        assert below == pytest.approx(above, rel=1e-9)


@settings(max_examples=200, deadline=None)
@given(ratio=RATIOS, delta=DELTAS)
def test_epsilon_is_the_smallest_that_holds(ratio, delta):
    epsilon = gaussian_epsilon(delta, 1.0, ratio)
    assert gaussian_delta(epsilon, 1.0, ratio) <= delta
    if epsilon:
        assert gaussian_delta(epsilon * (1 - 1e-9), 1.0, ratio) >= delta * (1 - 1e-12)
        assert gaussian_sigma(epsilon, delta, ratio) == pytest.approx(1.0, rel=1e-5)


@settings(max_examples=200, deadline=None)
@given(epsilon=EPSILONS, delta=DELTAS, distance=st.floats(1e-3, 1e3))
def test_sigma_is_the_least_that_holds_and_scales_with_the_sensitivity(epsilon, delta, distance):
    sigma = gaussian_sigma(epsilon, delta, distance)
    assert gaussian_delta(epsilon, sigma, distance) <= delta * (1 + 1e-9)
    assert gaussian_delta(epsilon, sigma * (1 - 1e-6), distance) > delta
    assert sigma == pytest.approx(distance * gaussian_sigma(epsilon, delta, 1.0), rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(ratio=RATIOS, epsilon=EPSILONS, delta=DELTAS)
def test_more_noise_or_epsilon_or_delta_guarantees_no_less(ratio, epsilon, delta):
    assert gaussian_delta(epsilon, 1.1, ratio) <= gaussian_delta(epsilon, 1.0, ratio) <= 1
    assert 0 <= gaussian_delta(epsilon + 0.1, 1.0, ratio) <= gaussian_delta(epsilon, 1.0, ratio)
    assert gaussian_epsilon(delta, 1.1, ratio) <= gaussian_epsilon(delta, 1.0, ratio)
    assert gaussian_epsilon(min(0.9, 2 * delta), 1.0, ratio) <= gaussian_epsilon(delta, 1.0, ratio)


@settings(max_examples=200, deadline=None)
@given(ratio=RATIOS, delta=DELTAS)
def test_it_is_tighter_than_what_zcdp_and_the_textbook_promise(ratio, delta):
    epsilon = gaussian_epsilon(delta, 1.0, ratio)
    assert epsilon <= zcdp_epsilon(gaussian_zcdp(1.0, ratio), delta)
    textbook = ratio * math.sqrt(2 * math.log(1.25 / delta))  # Dwork, Roth 2014, theorem A.1, for epsilon below 1
    if textbook < 1:
        assert epsilon <= textbook


def test_zcdp_by_hand():
    assert gaussian_zcdp(2.0, 3.0) == 9 / 8
    assert zcdp_epsilon(0.5, math.exp(-8)) == pytest.approx(0.5 + 2 * 2)
    orders = np.linspace(1.001, 60, 400)  # Rényi divergence of two Gaussians is rho times the order
    x = np.linspace(-40, 60, 200_001)
    for order in orders[::100]:
        log_ratio = order * stats.norm.logpdf(x, 1.5) + (1 - order) * stats.norm.logpdf(x)
        peak = log_ratio.max()
        divergence = (peak + math.log(integrate.trapezoid(np.exp(log_ratio - peak), x))) / (order - 1)
        if order < 30:  # beyond, the peak is outside the grid
            assert divergence == pytest.approx(gaussian_zcdp(1.0, 1.5) * order, rel=1e-6)


def convolved_delta(ratios, epsilon):
    """The privacy loss of each release as a histogram, convolved: what numerical accountants do."""
    step, reach = 1e-3, 60.0
    losses = np.arange(-reach, reach + step / 2, step)
    middle = len(losses) // 2
    total = None
    for ratio in ratios:
        mass = stats.norm.pdf(losses, ratio**2 / 2, ratio) * step
        full = mass if total is None else np.fft.irfft(np.fft.rfft(total, 2**19) * np.fft.rfft(mass, 2**19), 2**19)
        total = full if total is None else full[middle : middle + len(losses)]
    above = losses > epsilon
    return float((total[above] * -np.expm1(epsilon - losses[above])).sum())


def test_releases_together_are_what_convolved_privacy_losses_say():
    releases = [Release(1.0, 2.5), Release(4.0, 3.0, times=2), Release(0.1, 5.0)]
    ratios = [2 / 2.5, 2 / 3, 2 / 3, 2 / 5]
    together = guarantee(releases, 1e-5)
    assert convolved_delta(ratios, together.epsilon) == pytest.approx(1e-5, rel=1e-3)
    assert together.rho == pytest.approx(sum(r**2 for r in ratios) / 2)
    assert together.epsilon < together.zcdp_epsilon == pytest.approx(zcdp_epsilon(together.rho, 1e-5))


def test_thirty_frames_cost_more_than_one_and_less_than_thirty_times_as_much():
    one, many = (guarantee([Release(1.0, 1.20, times)], 1e-5) for times in (1, 30))
    assert one.epsilon == pytest.approx(8.0, abs=0.05)
    assert many.epsilon < many.zcdp_epsilon == pytest.approx(85.5, abs=0.1)
    assert one.epsilon < many.epsilon < 30 * one.epsilon
    assert many.epsilon == pytest.approx(guarantee([Release(1.0, 1.20)] * 30, 1e-5).epsilon)
    assert guarantee([Release(7.0, 1.20)], 1e-5).epsilon == one.epsilon, "sigma counts in clip norms"


@pytest.mark.parametrize("sigma", [0.0, 1e-200])
def test_no_noise_is_no_guarantee(sigma):
    without = guarantee([Release(1.0, 2.0), Release(1.0, sigma)], 1e-5, unit="frame")
    assert isinstance(without, Guarantee) and math.isinf(without.epsilon) and math.isinf(without.zcdp_epsilon)
    assert str(without).startswith("no guarantee: a release has next to no noise (one frame, replace-one")
    assert gaussian_delta(5.0, 0.0, 1.0) == 1
    assert math.isinf(gaussian_epsilon(1e-5, 0.0, 1.0)) and math.isinf(gaussian_zcdp(0.0, 1.0))


def test_extremes_stay_numbers():
    assert guarantee([Release(1.0, 1e200)], 1e-5).epsilon == 0
    assert gaussian_delta(1e308, 1.0, 1.0) == 0
    assert gaussian_delta(0.0, 1.0, 1e-30) == pytest.approx(1e-30 / math.sqrt(2 * math.pi))
    assert gaussian_sigma(0.0, 1e-30, 1.0) == pytest.approx(1e30 / math.sqrt(2 * math.pi), rel=1e-6)
    assert gaussian_epsilon(1e-5, 1.0, 1e4) == pytest.approx(5e7, rel=1e-3)  # the mean loss, ratio²/2
    assert guarantee([Release(1.0, 1e-3, 10**12)], 1e-5).epsilon == pytest.approx(2e18, rel=1e-6)


@pytest.mark.parametrize("delta", [0, 1, -1e-5, math.nan])
def test_wrong_delta(delta):
    for call in (
        lambda: gaussian_epsilon(delta, 1.0, 1.0),
        lambda: gaussian_sigma(1.0, delta, 1.0),
        lambda: zcdp_epsilon(1.0, delta),
        lambda: guarantee([Release(1.0, 1.0)], delta),
    ):
        with pytest.raises(UmbelError, match=r"^delta is "):
            call()


def test_wrong_numbers_and_names():
    for call, message in (
        (lambda: gaussian_delta(-1, 1.0, 1.0), "epsilon is -1; give a number, at least 0"),
        (lambda: gaussian_delta(1, -1.0, 1.0), "sigma is -1; give a number, at least 0"),
        (lambda: gaussian_delta(1, 1.0, 0.0), "sensitivity is 0; give a number above 0"),
        (lambda: zcdp_epsilon(-1.0, 0.1), "rho is -1; give a number, at least 0"),
        (lambda: Release(0.0, 1.0), "clip norm of a release is 0; give a number above 0"),
        (lambda: Release(1.0, -1.0), "sigma of a release is -1; give a number, at least 0"),
        (lambda: Release(1.0, 1.0, 0), "times of a release is 0; give a whole number, at least 1"),
        (lambda: guarantee([], 0.1), "nothing is released"),
        (lambda: guarantee([1.0], 0.1), "one of the releases is 1.0; give a Release"),
        (lambda: guarantee([Release(1.0, 1.0)], 0.1, "add-one"), "unknown relation of neighbours 'add-one'"),
        (lambda: guarantee([Release(1.0, 1.0)], 0.1, unit=""), "unit of privacy is ''; give a text"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
