"""The analytic Gaussian mechanism: exactly which (epsilon, delta) Gaussian noise gives."""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import log_ndtr, ndtr

from umbel.arguments import real_number
from umbel.errors import UmbelError

_PRECISION = 1e-14  # of what bisection finds, relative; always on the careful side
_SMALL = 1e-2  # sensitivity / sigma
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)  # exact to a float's last digit over so short an interval


def gaussian_delta(epsilon: float, sigma: float, sensitivity: float) -> float:
    """The smallest delta for which adding N(0, sigma² I) is (epsilon, delta)-differentially private.

        delta = Φ(m/2 - epsilon/m) - exp(epsilon) Φ(-m/2 - epsilon/m),   m = sensitivity / sigma

    Φ is the distribution function of N(0, 1), taken as a logarithm so that neither term overflows.

    Args:
        epsilon: At least 0.
        sigma: Standard deviation of the noise on each number, in the units of what is released; 0 is no noise.
        sensitivity: The largest Euclidean distance between what two neighbours release, above 0, in the same units.

    Returns:
        From 0 to 1; what noise and sensitivity so far apart that their ratio is 0 or infinite tend to.

    Raises:
        UmbelError: A number out of its range.

    Source: Balle, Wang, "Improving the Gaussian mechanism for differential privacy", ICML 2018, theorem 8.
    """
    return _delta(at_least_0(epsilon, "epsilon"), ratio_of(sigma, sensitivity))


def gaussian_epsilon(delta: float, sigma: float, sensitivity: float) -> float:
    """The smallest epsilon for which adding N(0, sigma² I) is (epsilon, delta)-differentially private.

    The inverse of `gaussian_delta` by bisection, rounded up in its last digits. It is exact: no smaller epsilon holds.

    Args:
        delta: Above 0, below 1.
        sigma: Standard deviation of the noise on each number, in the units of what is released; 0 is no noise.
        sensitivity: The largest Euclidean distance between what two neighbours release, above 0, in the same units.

    Returns:
        0 or more; infinite without noise.

    Raises:
        UmbelError: A number out of its range.

    Source: As `gaussian_delta`.
    """
    delta, ratio = probability(delta), ratio_of(sigma, sensitivity)
    if _delta(0.0, ratio) <= delta:
        return 0.0
    high = 1.0
    while _delta(high, ratio) > delta:
        high *= 2
        if math.isinf(high):
            return high
    _, high = _crossing(0.0, high, lambda epsilon: _delta(epsilon, ratio) <= delta)
    return high


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least noise that is (epsilon, delta)-differentially private: the standard deviation of N(0, sigma² I).

    The inverse of `gaussian_delta` by bisection, rounded up in its last digits.

    Args:
        epsilon: At least 0.
        delta: Above 0, below 1.
        sensitivity: The largest Euclidean distance between what two neighbours release, above 0.

    Returns:
        In the units of the sensitivity.

    Raises:
        UmbelError: A number out of its range.

    Source: As `gaussian_delta`.
    """
    epsilon, delta, sensitivity = at_least_0(epsilon, "epsilon"), probability(delta), _positive(sensitivity)
    low = high = 1.0  # of sensitivity / sigma
    while _delta(epsilon, high) <= delta:
        high *= 2
    while _delta(epsilon, low) > delta:
        low /= 2
    low, _ = _crossing(low, high, lambda ratio: _delta(epsilon, ratio) > delta)
    return sensitivity / low


def _crossing(low: float, high: float, reached: Callable[[float], bool]) -> tuple[float, float]:
    """The numbers on both sides of where `reached` becomes true, between one where it is false and one where it is."""
    middle = (low + high) / 2
    while high - low > _PRECISION * high and low < middle < high:
        low, high = (low, middle) if reached(middle) else (middle, high)
        middle = (low + high) / 2
    return low, high


def _delta(epsilon: float, ratio: float) -> float:
    if ratio in (0, math.inf):
        return 0.0 if ratio == 0 else 1.0
    centre = epsilon / ratio
    if ratio < _SMALL:
        return _delta_of_small(epsilon, ratio, centre)
    first = float(log_ndtr(ratio / 2 - centre))
    second = epsilon + float(log_ndtr(-ratio / 2 - centre))
    if first == -math.inf or second >= first:  # both so small that they cannot be told apart
        return 0.0
    return math.exp(first) * -math.expm1(second - first)


def _delta_of_small(epsilon: float, ratio: float, centre: float) -> float:
    """The same for a small ratio, where the difference of the two terms would lose all digits.

    delta = ∫ φ(u - epsilon/m) du from -m/2 to m/2, minus (exp(epsilon) - 1) Φ(-m/2 - epsilon/m)
    """
    if centre > 40:  # as far out in the tail there is nothing that a float could tell from 0
        return 0.0
    densities = np.exp(-((_NODES * ratio / 2 - centre) ** 2) / 2) / math.sqrt(2 * math.pi)
    between = ratio / 2 * float(_WEIGHTS @ densities)
    return max(0.0, between - math.expm1(epsilon) * float(ndtr(-ratio / 2 - centre)))


def ratio_of(sigma: float, sensitivity: float) -> float:
    """Sensitivity over noise, the one number that guarantees depend on; infinite without noise.

    Raises:
        UmbelError: Noise below 0, or a sensitivity that is not above 0.
    """
    sigma, sensitivity = at_least_0(sigma, "sigma"), _positive(sensitivity)
    return sensitivity / sigma if sigma else math.inf


def probability(delta: float) -> float:
    """A delta that guarantees may have.

    Raises:
        UmbelError: It is not between 0 and 1.
    """
    number = real_number(delta, "delta")
    if not 0 < number < 1:
        raise UmbelError(f"delta is {number:g}; give a number above 0 and below 1, well below 1 / number of samples")
    return number


def at_least_0(value: float, what: str) -> float:
    """A finite number of 0 or more.

    Raises:
        UmbelError: It is another.
    """
    number = real_number(value, what)
    if number < 0:
        raise UmbelError(f"{what} is {number:g}; give a number, at least 0")
    return number


def _positive(sensitivity: float) -> float:
    number = real_number(sensitivity, "sensitivity")
    if number <= 0:
        raise UmbelError(f"sensitivity is {number:g}; give a number above 0")
    return number
