"""How well a ranking tells members from others, and how far that depends on the networks and samples at hand."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.data import seeded

_RESAMPLES = 200


def judged(evidence: Tensor, members: Tensor, rates: Sequence[float]) -> list[float]:
    """The area under the curve, and what is found at each rate of false alarms.

    The area is the probability that a member has more evidence than another; ties count half. What is found is the part
    of the members above the lowest threshold that no more than a part of the others is above.

    Args:
        evidence: [networks, samples].
        members: Bool, the same shape.
        rates: Parts of the others.

    Returns:
        The area, then one number for each rate: NaN where there are fewer others than 1 / rate.
    """
    return _Ranked(evidence, members).judged(torch.ones_like(evidence), rates)


def resampled(evidence: Tensor, members: Tensor, rates: Sequence[float], seed: int) -> list[tuple[float, float]]:
    """The 95 % intervals of what `judged` gives: networks and samples drawn anew, with replacement.

    Args:
        evidence: [networks, samples].
        members: Bool, the same shape.
        rates: Parts of the others.
        seed: Of the draws.
    """
    generator, ranked = seeded(seed, 18), _Ranked(evidence, members)
    drawn = []
    for _ in range(_RESAMPLES):
        network, sample = (
            torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n).double() for n in evidence.shape
        )
        drawn.append(ranked.judged(network[:, None] * sample, rates))
    return [_middle(column) for column in torch.tensor(drawn, dtype=torch.float64).unbind(1)]


def _middle(values: Tensor) -> tuple[float, float]:
    known = values[~values.isnan()]
    if not len(known):
        return math.nan, math.nan
    low, high = torch.quantile(known, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


class _Ranked:
    """Evidence in falling order; what is alike is one step."""

    def __init__(self, evidence: Tensor, members: Tensor) -> None:
        _, step = torch.unique(-evidence.flatten(), return_inverse=True)
        self.steps, self.members = int(step.max()) + 1, members.flatten()
        self.inside, self.outside = step[self.members], step[~self.members]

    def judged(self, weights: Tensor, rates: Sequence[float]) -> list[float]:
        """As the function of that name, where evidence counts so often, [networks, samples]."""
        flat = weights.flatten().double()
        inside = torch.bincount(self.inside, flat[self.members], self.steps)
        outside = torch.bincount(self.outside, flat[~self.members], self.steps)
        above, others, found = outside.cumsum(0), outside.sum(), inside.cumsum(0)
        if not (others > 0 and found[-1] > 0):
            return [math.nan] * (1 + len(rates))
        values = [float((inside * (others - above + outside / 2)).sum() / (found[-1] * others))]
        for rate in rates:
            steps = int((above <= rate * others * (1 + 1e-12)).sum())
            part = float(found[steps - 1] / found[-1]) if steps else 0.0
            values.append(part if others * rate >= 1 else math.nan)
        return values
