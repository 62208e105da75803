"""Zero-concentrated differential privacy of the Gaussian mechanism: one number that adds up over releases."""

import math

from umbel.privacy.gaussian import at_least_0, probability, ratio_of


def gaussian_zcdp(sigma: float, sensitivity: float) -> float:
    """The rho of zero-concentrated differential privacy that adding N(0, sigma² I) gives.

        rho = sensitivity² / (2 sigma²)

    The rho of several releases, also of ones that depend on earlier ones, is the sum of theirs.

    Args:
        sigma: Standard deviation of the noise on each number, in the units of what is released; 0 is no noise.
        sensitivity: The largest Euclidean distance between what two neighbours release, above 0, in the same units.

    Returns:
        0 or more; infinite without noise.

    Raises:
        UmbelError: A number out of its range.

    Source: Bun, Steinke, "Concentrated differential privacy: simplifications, extensions, and lower bounds", TCC 2016,
    proposition 1.6.
    """
    ratio = ratio_of(sigma, sensitivity)
    return ratio * ratio / 2


def zcdp_epsilon(rho: float, delta: float) -> float:
    """An epsilon for which what is rho-zCDP is (epsilon, delta)-differentially private.

        epsilon = rho + 2 sqrt(rho ln(1/delta))

    It holds for any mechanism and so is larger than what Gaussian noise needs: `guarantee` gives that.

    Args:
        rho: At least 0; may be infinite.
        delta: Above 0, below 1.

    Raises:
        UmbelError: A number out of its range.

    Source: Bun, Steinke 2016, proposition 1.3.
    """
    delta = probability(delta)
    if isinstance(rho, float) and rho == math.inf:
        return math.inf
    rho = at_least_0(rho, "rho")
    return rho + 2 * math.sqrt(rho * -math.log(delta))
