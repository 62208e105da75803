"""What no code can beat, and textbook error rates: capacity, finite blocks, outage, uncoded symbols.

SNR is Es/N0 for each complex channel use everywhere: unit mean power, noise CN(0, 10^(-snr_db/10)).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import lambertw, ndtr, ndtri

from umbel.errors import UmbelError

_STEP_DB = 0.1
_GAINS_DB = np.arange(-80.0, 14.0, _STEP_DB)


def _snr(snr_db: Any) -> np.ndarray:
    snr_db = np.asarray(snr_db, float)
    if np.isnan(snr_db).any():
        raise UmbelError("snr_db is NaN; it must be a number")
    return 10 ** (snr_db / 10)


def _positive_uses(uses: int) -> int:
    if uses < 1:
        raise UmbelError(f"{uses} channel uses; at least 1 is needed")
    return uses


def capacity_bits(snr_db: Any, uses: int) -> Any:
    """Bits that n complex uses of an AWGN channel carry with vanishing error: n log2(1 + snr) (Shannon, 1948).

    Args:
        snr_db: A number or an array.
        uses: n.

    Raises:
        UmbelError: NaN, or no uses.
    """
    return _positive_uses(uses) * np.log2(1 + _snr(snr_db))[()]


def normal_approximation_bits(snr_db: Any, uses: int, error: float = 1e-3) -> Any:
    """Bits that the best code of n complex uses carries over AWGN at a block error rate, at least 0.

    n log2(1 + snr) - sqrt(n V) Qinv(error) log2 e with the dispersion V = 1 - (1 + snr)^-2 (Polyanskiy, Poor and
    Verdu, IEEE Transactions on Information Theory 56(5), 2010; two real uses for a complex one, equation 293).

    Differs from the paper: without its term of order log n, so a little pessimistic for short blocks.

    Args:
        snr_db: A number or an array.
        uses: n.
        error: Block error rate, between 0 and 1.

    Raises:
        UmbelError: NaN, no uses, or an error rate outside 0 to 1.
    """
    if not 0 < error < 1:
        raise UmbelError(f"error is {error}; a block error rate between 0 and 1 is needed")
    dispersion = 1 - (1 + _snr(snr_db)) ** -2.0
    loss = np.sqrt(_positive_uses(uses) * dispersion) * -ndtri(error) * math.log2(math.e)
    return np.maximum(capacity_bits(snr_db, uses) - loss, 0.0)[()]


def outage_probability(rate_bits_per_use: Any, snr_db: Any) -> Any:
    """Probability that block Rayleigh fading does not carry a rate: 1 - exp(-(2^R - 1) / snr).

    With one gain h ~ CN(0, 1) for the whole block that the receiver knows and the transmitter does not, no code
    arrives when log2(1 + |h|^2 snr) < R (Ozarow, Shamai and Wyner, 1994).

    Args:
        rate_bits_per_use: R, bits for each complex use.
        snr_db: Mean SNR.
    """
    rate = np.asarray(rate_bits_per_use, float)
    if np.isnan(rate).any() or (rate < 0).any():
        raise UmbelError(f"rate {rate_bits_per_use}: it must be 0 or more bits for each use")
    return -np.expm1(-np.expm1(rate * math.log(2)) / _snr(snr_db))[()]


def best_outage_rate(snr_db: Any) -> Any:
    """The fixed rate R with most bits arriving, R (1 - outage): W(snr) / ln 2, with Lambert's W.

    Setting the derivative of R exp(-(2^R - 1) / snr) to 0 gives x e^x = snr for x = R ln 2.
    """
    return (lambertw(_snr(snr_db)).real / math.log(2))[()]


def rayleigh_mean(function: Callable[[np.ndarray], np.ndarray], snr_db: float) -> float:
    """Mean of a function of the SNR in dB over block Rayleigh fading: |h|^2 ~ Exp(1) times the mean SNR.

    A sum over gains from -80 to 14 dB in steps of 0.1 dB, each weighted by the exponential law's probability of
    its step; the two tails go to the outermost gains.

    Args:
        function: SNRs in dB [G] -> values [G].
        snr_db: Mean SNR.
    """
    middle = 10 ** ((_GAINS_DB[:-1] + _STEP_DB / 2) / 10)
    above = np.exp(-np.concatenate([[0.0], middle, [np.inf]]))
    return float((function(snr_db + _GAINS_DB) * (above[:-1] - above[1:])).sum())


def qpsk_symbol_error(snr_db: Any) -> Any:
    """Symbol error rate of uncoded QPSK over AWGN: 2p - p^2 with p = Q(sqrt(snr))."""
    return qam_symbol_error(4, snr_db)


def qam_symbol_error(order: int, snr_db: Any) -> Any:
    """Symbol error rate of uncoded square QAM over AWGN (Proakis, Digital Communications, section 4.3).

    1 - (1 - p)^2 with p = 2 (1 - 1/sqrt(M)) Q(sqrt(3 snr / (M - 1))), the error rate of each real dimension.

    Args:
        order: M: 4, 16, 64, ...
        snr_db: A number or an array.

    Raises:
        UmbelError: M is not the square of an even number; NaN.
    """
    side = math.isqrt(max(order, 0))
    if side < 2 or side * side != order or side % 2:
        raise UmbelError(f"order is {order}; square QAM has 4, 16, 64, ... points")
    each = 2 * (1 - 1 / side) * ndtr(-np.sqrt(3 * _snr(snr_db) / (order - 1)))
    return (1 - (1 - each) ** 2)[()]
