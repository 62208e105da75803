"""Thresholds of confidence, chosen on validation: for a mean delay, for an accuracy, or within a budget."""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from umbel.core import UmbelError
from umbel.transmission.stopping import at_stop, delay_of, stop_round

_CANDIDATES = 100
_COMBINATIONS = 1200
_FEW = 4000
_PASSES = 2

Score = Callable[[Sequence[float]], tuple[float, float, float]]
"""Thresholds -> how well they do; compared from the left, greater is better."""


def candidate_thresholds(confidence: Tensor, count: int = _CANDIDATES) -> list[float]:
    """Thresholds worth trying: quantiles of the confidences before the last round, and 1; rising, none twice.

    Args:
        confidence: [R, N].
        count: Of the quantiles.
    """
    if confidence.ndim != 2 or len(confidence) < 2 or not confidence.shape[1]:
        raise UmbelError(f"thresholds: confidence of shape {tuple(confidence.shape)}; give [2 or more rounds, samples]")
    values = confidence[:-1].flatten().double().sort().values
    places = torch.linspace(0, len(values) - 1, count).round().long()
    return sorted({*values[places].clamp(min=1e-9).tolist(), 1.0})


def threshold_at_delay(confidence: Tensor, uses: Sequence[int], delay: float, feedback_uses: float = 0.0) -> float:
    """The one threshold for all rounds whose mean delay comes nearest to `delay`.

    Args:
        confidence: [R, N], of validation samples.
        uses: New uses of each round.
        delay: Wanted mean delay, in channel uses.
        feedback_uses: Uses of one message of feedback.
    """

    def distance(tau: float) -> float:
        return abs(float(delay_of(stop_round(confidence, tau), uses, feedback_uses).mean()) - delay)

    return min(candidate_thresholds(confidence), key=distance)


def choose_thresholds(
    confidence: Tensor,
    correct: Tensor,
    uses: Sequence[int],
    *,
    least_accuracy: float | None = None,
    most_delay: float | None = None,
    per_round: bool = True,
    feedback_uses: float = 0.0,
) -> list[float]:
    """Thresholds chosen on validation: least mean delay for an accuracy, or best accuracy within a mean delay.

    One threshold for all rounds is searched among quantiles of the confidences. With three or more rounds, each may
    have its own: some 1,200 combinations of quantiles are tried on a part of the samples, and the best of them and
    the common threshold are improved one round at a time. So the result is never worse than one threshold for all,
    but it need not be the best of all combinations. Where the wish cannot be met, what comes nearest to it is
    returned: the highest accuracy, or the least delay.

    Args:
        confidence: [R, N].
        correct: Whether each round's decision is right, [R, N].
        uses: New uses of each round.
        least_accuracy: Wanted accuracy, 0 to 1.
        most_delay: Largest mean delay, in channel uses.
        per_round: Whether rounds may have thresholds of their own.
        feedback_uses: Uses of one message of feedback.

    Returns:
        One for each round but the last.

    Raises:
        UmbelError: Neither or both wishes, or shapes that do not fit.
    """
    if (least_accuracy is None) == (most_delay is None):
        raise UmbelError("thresholds are chosen for an accuracy or within a delay; give one of the two")
    if correct.shape != confidence.shape:
        raise UmbelError(f"confidence {tuple(confidence.shape)} and correctness {tuple(correct.shape)} differ")
    score = _scorer(confidence, correct, uses, feedback_uses, least_accuracy, most_delay)
    candidates, rounds = candidate_thresholds(confidence), len(confidence)
    best = max(([tau] * (rounds - 1) for tau in candidates), key=score)
    if not per_round or rounds == 2:
        return best
    few = slice(None, None, max(1, confidence.shape[1] // _FEW))
    rough = _scorer(confidence[:, few], correct[:, few], uses, feedback_uses, least_accuracy, most_delay)
    coarse = candidate_thresholds(confidence, max(2, int(_COMBINATIONS ** (1 / (rounds - 1)))))
    start = max((list(each) for each in itertools.product(coarse, repeat=rounds - 1)), key=rough)
    return max((_improved(one, candidates, score) for one in (best, start)), key=score)


def _scorer(
    confidence: Tensor,
    correct: Tensor,
    uses: Sequence[int],
    feedback_uses: float,
    least_accuracy: float | None,
    most_delay: float | None,
) -> Score:
    def score(thresholds: Sequence[float]) -> tuple[float, float, float]:
        stop = stop_round(confidence, thresholds)
        accuracy = float(at_stop(correct, stop).double().mean())
        delay = float(delay_of(stop, uses, feedback_uses).mean())
        if least_accuracy is not None:
            return min(accuracy - least_accuracy, 0.0), -delay, accuracy
        return min(most_delay - delay, 0.0), accuracy, -delay

    return score


def _improved(best: list[float], candidates: Sequence[float], score: Score) -> list[float]:
    """One round's threshold after the other, as long as that helps."""
    for _ in range(_PASSES):
        before = list(best)
        for place in range(len(best)):
            tried = ([*best[:place], tau, *best[place + 1 :]] for tau in candidates)
            best = max([best, *tried], key=score)
        if best == before:
            break
    return best
