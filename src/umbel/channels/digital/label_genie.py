"""The strongest digital rival for one label: the transmitter classifies and sends the class alone."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import ndtr

from umbel.channels.bounds import rayleigh_mean
from umbel.errors import UmbelError

_STEP = 0.04
_NORMAL = np.arange(-8.0, 8.0, _STEP)
_WEIGHTS = np.exp(-(_NORMAL**2) / 2) / math.sqrt(2 * math.pi) * _STEP

Success = Callable[[np.ndarray], np.ndarray]
"""Energy over N0 of the whole signal -> probability that maximum-likelihood decoding finds it."""


def simplex_success(signals: int, energy: np.ndarray) -> np.ndarray:
    """M signals at equal distances, in M - 1 real dimensions: the best there are for so many labels.

    As orthogonal signals of M/(M-1) times the energy: E[Phi(z + sqrt(2 E/N0 M/(M-1)))^(M-1)], z standard normal
    (Proakis, Digital Communications, sections 4.4 and 3.2).

    Args:
        signals: M.
        energy: E/N0 of the whole signal, [S].
    """
    shift = np.sqrt(2 * energy * signals / (signals - 1))[..., None]
    return (ndtr(_NORMAL + shift) ** (signals - 1) * _WEIGHTS).sum(-1)


def biorthogonal_success(signals: int, energy: np.ndarray) -> np.ndarray:
    """M/2 orthogonal signals and their negatives, in M/2 real dimensions (Proakis, section 4.4).

    E[max(0, 1 - 2 Q(z + sqrt(2 E/N0)))^(M/2 - 1)] over z > -sqrt(2 E/N0). An odd M has one signal too many, so
    its true success is a little larger.

    Args:
        signals: M.
        energy: E/N0 of the whole signal, [S].
    """
    point = _NORMAL + np.sqrt(2 * energy)[..., None]
    others = math.ceil(signals / 2) - 1
    inside = np.where(point > 0, np.maximum(2 * ndtr(point) - 1, 0) ** others, 0)
    return (inside * _WEIGHTS).sum(-1)


def phase_success(signals: int, energy: np.ndarray) -> np.ndarray:
    """M phases of one complex symbol, repeated over all uses and added up by the receiver.

    1 - (1/pi) integral over 0 to pi (M-1)/M of exp(-E/N0 sin^2(pi/M) / sin^2 t) dt (Craig, MILCOM 1991).

    Args:
        signals: M.
        energy: E/N0 of the whole signal, [S].
    """
    end = math.pi * (signals - 1) / signals
    angles = (np.arange(1000) + 0.5) / 1000 * end
    decay = (math.sin(math.pi / signals) / np.sin(angles)) ** 2
    return 1 - np.exp(-energy[..., None] * decay).mean(-1) * end / math.pi


class LabelGenie:
    """A transmitter that classifies and sends ceil(log2 K) bits, at its best.

    K labels go as K signals of n complex uses with unit mean power and maximum-likelihood decoding: a simplex where
    2n >= K - 1 real dimensions allow it, biorthogonal signals, phases repeated over all uses, or the label cut into
    digits that each get a part of the uses (uncoded QPSK and its repetition are among these). All closed forms. The
    best is taken at each mean SNR; over fading the transmitter does not know the gain.

    Attributes:
        labels: K.
        uses: n, complex channel uses.
    """

    def __init__(self, labels: int, uses: int) -> None:
        """Lists the ways to send.

        Args:
            labels: K, at least 2.
            uses: n, at least 1.

        Raises:
            UmbelError: Fewer.
        """
        if labels < 2 or uses < 1:
            raise UmbelError(f"{labels} label(s) over {uses} channel use(s); at least 2 and 1 are needed")
        self.labels, self.uses = labels, uses

    def success(self, snr_db: float, fading: str | None = None) -> float:
        """Probability that the label sent is the label received.

        Args:
            snr_db: Mean Es/N0 for each complex use.
            fading: None (AWGN) or "rayleigh" (one gain for the whole label, known to the receiver).

        Raises:
            UmbelError: SNR is NaN; an unknown kind of fading.
        """
        return max(self.ways(snr_db, fading).values())

    def best_way(self, snr_db: float, fading: str | None = None) -> str:
        """The name of what `success` used."""
        ways = self.ways(snr_db, fading)
        return max(ways, key=ways.__getitem__)

    def accuracy(self, classifier_accuracy: float, snr_db: float, fading: str | None = None) -> float:
        """Accuracy at the receiver when the transmitter's classifier has that accuracy.

        A transmission error turns a wrong label into the right one with probability 1/(K - 1) (errors taken as
        equally likely, which is exact for the simplex).
        """
        arrives = self.success(snr_db, fading)
        return arrives * classifier_accuracy + (1 - arrives) * (1 - classifier_accuracy) / (self.labels - 1)

    def ways(self, snr_db: float, fading: str | None = None) -> dict[str, float]:
        """Success probability of every way to send, by its name."""
        if math.isnan(snr_db):
            raise UmbelError("snr_db is NaN; it must be a number")
        if fading not in (None, "rayleigh"):
            raise UmbelError(f"fading {fading!r}: the label genie knows None (AWGN) and 'rayleigh'")
        sets = {}
        for digits in range(1, min(self.uses, math.ceil(math.log2(self.labels))) + 1):
            base = next(b for b in range(2, self.labels + 1) if b**digits >= self.labels)
            for name, success in _signal_sets(base, self.uses // digits):
                at = partial(self._all_digits, success, digits)
                exact = float(at(np.asarray(snr_db, float))) if fading is None else rayleigh_mean(at, snr_db)
                sets[f"{digits} x {base}-ary {name}" if digits > 1 else name] = exact
        return sets

    def _all_digits(self, success: Success, digits: int, snr_db: np.ndarray) -> np.ndarray:
        each, more = divmod(self.uses, digits)
        snr = 10 ** (snr_db / 10)
        return success((each + 1) * snr) ** more * success(each * snr) ** (digits - more)


def _signal_sets(signals: int, uses: int) -> list[tuple[str, Success]]:
    sets = []
    if 2 * uses >= signals - 1:
        sets.append(("simplex", partial(simplex_success, signals)))
    if signals > 3 and 2 * uses >= math.ceil(signals / 2):
        sets.append(("biorthogonal", partial(biorthogonal_success, signals)))
    return [*sets, ("phases", partial(phase_success, signals))]
