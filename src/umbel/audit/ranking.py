"""How well a ranking tells members from others, and how far that depends on the networks and samples at hand."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.data import seeded

_RESAMPLES = 200


def area(evidence: Tensor, members: Tensor, weights: Tensor | None = None) -> float:
    """Probability that a member's evidence is above another's; ties count half.

    Args:
        evidence: Any shape.
        members: Bool, the same shape.
        weights: How often each counts, the same shape; once by default.
    """
    return _Ranked(evidence, members).area(_ones(evidence) if weights is None else weights)


def found_at(evidence: Tensor, members: Tensor, rate: float, weights: Tensor | None = None) -> float:
    """Part of the members above the lowest threshold that no more than a part of the others is above.

    Args:
        evidence: Any shape.
        members: Bool, the same shape.
        rate: That part of the others.
        weights: How often each counts, the same shape; once by default.

    Returns:
        NaN where there are fewer others than 1 / rate.
    """
    return _Ranked(evidence, members).found(rate, _ones(evidence) if weights is None else weights)


def resampled(evidence: Tensor, members: Tensor, rates: Sequence[float], seed: int) -> list[tuple[float, float]]:
    """The 95 % intervals of the area, and of what is found at each rate: networks and samples drawn anew.

    Args:
        evidence: [networks, samples].
        members: Bool, the same shape.
        rates: Of false alarms.
        seed: Of the draws.
    """
    generator, ranked = seeded(seed, 18), _Ranked(evidence, members)
    drawn = []
    for _ in range(_RESAMPLES):
        network, sample = (
            torch.bincount(torch.randint(n, (n,), generator=generator), minlength=n).double() for n in evidence.shape
        )
        weights = network[:, None] * sample
        drawn.append([ranked.area(weights), *(ranked.found(rate, weights) for rate in rates)])
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    columns = torch.tensor(drawn, dtype=torch.float64).T
    low_and_high = [torch.quantile(column[~column.isnan()], ends).tolist() if not column.isnan().all() else None
                    for column in columns]  # fmt: skip
    return [(pair[0], pair[1]) if pair else (math.nan, math.nan) for pair in low_and_high]


class _Ranked:
    """Evidence in falling order; what is alike is one step."""

    def __init__(self, evidence: Tensor, members: Tensor) -> None:
        _, step = torch.unique(-evidence.flatten(), return_inverse=True)
        self.step, self.steps, self.members = step, int(step.max()) + 1, members.flatten()

    def _counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weight of members and of others at each step."""
        flat = weights.flatten().double()
        zeros = torch.zeros(self.steps, dtype=torch.float64)
        inside = zeros.index_add(0, self.step[self.members], flat[self.members])
        return inside, zeros.index_add(0, self.step[~self.members], flat[~self.members])

    def area(self, weights: Tensor) -> float:
        inside, outside = self._counts(weights)
        below = outside.sum() - outside.cumsum(0) + outside / 2
        pairs = inside.sum() * outside.sum()
        return float((inside * below).sum() / pairs) if pairs > 0 else math.nan

    def found(self, rate: float, weights: Tensor) -> float:
        inside, outside = self._counts(weights)
        if outside.sum() * rate < 1 or inside.sum() == 0:
            return math.nan
        allowed = outside.cumsum(0) <= rate * outside.sum() * (1 + 1e-12)
        return float((inside * allowed).sum() / inside.sum())


def _ones(evidence: Tensor) -> Tensor:
    return torch.ones_like(evidence, dtype=torch.float64)
