"""When a receiver has heard enough: rules on collected predictions, with the delay they cost.

Rounds count from 1. Confidences, correctness and the like are [R, N]: what the decoder of each round says of each
sample, whether or not that round would have been sent. Nothing here draws a channel or knows a network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.core import UmbelError


def confidence_of(logits: Tensor, temperatures: Sequence[float] | None = None) -> Tensor:
    """The largest probability of each prediction, after temperature scaling.

        q_r = max_k softmax(z_r / T_r)[k]

    Args:
        logits: [R, N, K].
        temperatures: One for each round; None is 1 for all.

    Returns:
        [R, N], float64 (close to 1, float32 has no room for thresholds).

    Raises:
        UmbelError: Another shape, or temperatures that are not positive or not one for each round.
    """
    if logits.ndim != 3:
        raise UmbelError(f"confidence: logits of shape {tuple(logits.shape)}; give [rounds, samples, classes]")
    scale = torch.ones(len(logits)) if temperatures is None else torch.as_tensor(temperatures)
    if len(scale) != len(logits) or not ((scale > 0) & torch.isfinite(scale)).all():
        raise UmbelError(f"confidence: {len(logits)} rounds need as many positive temperatures, not {temperatures}")
    return (logits.double() / scale.double().view(-1, 1, 1)).softmax(2).amax(2)


def check_thresholds(thresholds: float | Sequence[float], rounds: int) -> list[float]:
    """One threshold for each round but the last, from one for all or from such a list.

    Raises:
        UmbelError: One outside (0, 1], or too many or too few.
    """
    many = [thresholds] * (rounds - 1) if isinstance(thresholds, int | float) else list(thresholds)
    if len(many) != rounds - 1:
        raise UmbelError(f"{rounds} rounds need {rounds - 1} thresholds, one after each round but the last: {many}")
    for value in many:
        if not 0 < value <= 1:
            raise UmbelError(f"threshold of confidence {value}; it must be above 0 and at most 1")
    return many


def stop_round(confidence: Tensor, thresholds: float | Sequence[float], flips: Tensor | None = None) -> Tensor:
    """After which round each sample's transmission ends.

    The receiver is content with round r when its confidence reaches the threshold; its feedback then ends the
    transmission. After the last round it ends anyway. A flipped message does the opposite: a lost request ends the
    transmission and the receiver decides with what it has; a false one brings one more round, which it uses.

    Args:
        confidence: [R, N].
        thresholds: One for all rounds, or one for each but the last.
        flips: Which messages arrive wrong, bool [R - 1, N]; None is none. See `feedback_flips`.

    Returns:
        int64 [N], 1 to R.

    Raises:
        UmbelError: Thresholds or flips that do not fit.
    """
    if confidence.ndim != 2:
        raise UmbelError(f"confidence of shape {tuple(confidence.shape)}; give [rounds, samples]")
    rounds, samples = confidence.shape
    bars = confidence.new_tensor(check_thresholds(thresholds, rounds)).unsqueeze(1)
    ends = confidence[:-1] >= bars
    if flips is not None:
        if flips.shape != ends.shape:
            raise UmbelError(f"flips of shape {tuple(flips.shape)}; give {tuple(ends.shape)}")
        ends = ends ^ flips
    anyway = torch.ones(1, samples, dtype=torch.bool, device=confidence.device)
    return torch.cat([ends, anyway]).int().argmax(0) + 1


def feedback_flips(rounds: int, samples: int, error: float, generator: torch.Generator | None = None) -> Tensor:
    """Independent errors of the one-bit messages after each round but the last: bool [rounds - 1, samples].

    Raises:
        UmbelError: The error's probability is outside 0 to 0.5 (above it, one would read every bit the other way).
    """
    check_feedback(error=error)
    return torch.rand(rounds - 1, samples, generator=generator) < error


def check_feedback(uses: float = 0.0, error: float = 0.0) -> None:
    """Refuse a cost or an error of feedback that makes no sense.

    Raises:
        UmbelError: Negative or infinite uses, or an error outside 0 to 0.5.
    """
    if not 0 <= uses < float("inf"):
        raise UmbelError(f"a feedback message of {uses} channel uses; give a finite number, at least 0")
    if not 0 <= error <= 0.5:
        raise UmbelError(f"feedback error {error}; it must be a probability from 0 to 0.5")


def delay_of(stop: Tensor, uses: Sequence[int], feedback_uses: float = 0.0) -> Tensor:
    """Channel uses of each sample: its rounds' and those of the feedback after each of them but the last possible.

    Args:
        stop: Round after which each sample ends, [N].
        uses: New uses of each round.
        feedback_uses: Uses of one message.

    Returns:
        float64 [N].

    Raises:
        UmbelError: A round that does not exist, or feedback of negative length.
    """
    check_feedback(uses=feedback_uses)
    if len(stop) and not 1 <= int(stop.min()) <= int(stop.max()) <= len(uses):
        raise UmbelError(f"rounds {int(stop.min())} to {int(stop.max())}, but there are {len(uses)}")
    total = torch.tensor(list(uses), dtype=torch.float64, device=stop.device).cumsum(0)
    return total[stop - 1] + feedback_uses * stop.clamp(max=len(uses) - 1)


def at_stop(values: Tensor, stop: Tensor) -> Tensor:
    """Of [R, N], what belongs to the round at which each sample ends: [N]."""
    return values.gather(0, (stop - 1).unsqueeze(0)).squeeze(0)


def escalation(stop: Tensor, rounds: int) -> list[float]:
    """Part of all samples for which another round follows, after each round but the last."""
    return [float((stop > r).double().mean()) for r in range(1, rounds)]


def independent_stop(values: Tensor, stop: Tensor) -> Tensor:
    """What each sample's value would be on average, were its round drawn without a look at it.

    Random escalation at the same mean delay, in expectation: as many samples as before end after each round, but
    any of them, so a sample that ends after round r has the mean over all samples of that round.

    Args:
        values: [R, N], as whether each decision is correct.
        stop: [N].

    Returns:
        float64 [N]: the mean of `values[r]` where `stop` is r. Its own mean is that of random escalation.
    """
    return values.double().mean(1)[stop - 1]
