"""Age of task information: how old the newest correct decision is."""

from typing import NamedTuple

import torch
from torch import Tensor

from umbel.arguments import tensors
from umbel.core import UmbelError


class Age(NamedTuple):
    """Ages in the unit of the delays (channel uses). Infinite where no decision is ever correct.

    Attributes:
        average: Mean over time.
        peak: Mean of the age just before a correct decision renews it.
    """

    average: float
    peak: float


def age_of_information(delay: Tensor, success: Tensor) -> Age:
    """Average and peak age of task information, from a sample of attempts.

    The transmitter takes a new sample of the world whenever the last decision is made, an attempt takes D channel
    uses, and its decision is correct or not. The age is the time since the sample behind the newest *correct*
    decision was taken: it grows by one in each use and falls to D of that attempt when a correct decision is made.
    With X, the time from one correct decision to the next,

        average = E[D | correct] + E[X^2] / (2 E[X]),      peak = E[D | correct] + E[X],

    by the renewal-reward theorem. X is the sum of the delays of M wrong attempts and one correct one, M geometric:

        E[X] = E[D] / p,    Var X = E[M] Var(D | wrong) + Var M E[D | wrong]^2 + Var(D | correct),
        E[M] = q / p,       Var M = q / p^2,      q = 1 - p.

    Assumes that attempts are independent and alike (noise, fading and samples), that the receiver's user knows
    which decisions are correct, and that the counted channel uses are the only delay.

    Source: Yates, Sun, Brown, Kaul, Modiano, Ulukus, "Age of information: an introduction and survey", IEEE JSAC 39
    (2021); here an update that does not solve the task renews nothing.

    Args:
        delay: Channel uses of each attempt, [N], positive.
        success: Whether its decision is correct, [N]: bool, or a probability in 0 to 1 that is independent of what
            else the attempt does.

    Raises:
        UmbelError: Other shapes, no attempt, or values out of range.
    """
    tensors("age", delay=delay, success=success)
    if delay.ndim != 1 or delay.shape != success.shape or not len(delay):
        raise UmbelError(f"age: delays {tuple(delay.shape)} and successes {tuple(success.shape)}; give [N] of both")
    delay, success = delay.double(), success.double()
    if not (torch.isfinite(delay).all() and (delay > 0).all()):
        raise UmbelError("age: every delay must be a positive finite number of channel uses")
    if not ((success >= 0) & (success <= 1)).all():  # also where one is NaN
        raise UmbelError("age: every success must be a probability, 0 to 1")
    p = float(success.mean())
    if p == 0:
        return Age(torch.inf, torch.inf)
    right, right_variance = _moments(delay, success)
    wrong, wrong_variance = _moments(delay, 1 - success)
    renewal = float(delay.mean()) / p
    failures, failures_variance = (1 - p) / p, (1 - p) / p**2
    variance = failures * wrong_variance + failures_variance * wrong**2 + right_variance
    return Age(right + (variance + renewal**2) / (2 * renewal), right + renewal)


def _moments(values: Tensor, weights: Tensor) -> tuple[float, float]:
    """Weighted mean and variance; zeros when nothing has weight."""
    total = weights.sum()
    if total <= 0:
        return 0.0, 0.0
    mean = (values * weights).sum() / total
    return float(mean), float(((values - mean).square() * weights).sum() / total)
