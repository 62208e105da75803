"""Intervals of a mean over attackers' seeds and test samples."""

import torch
from torch import Tensor

from umbel.data.source import seeded

_RESAMPLES = 1000


def bootstrap_interval(values: Tensor) -> tuple[float, float]:
    """The 95 % interval of the mean of what each seed's attacker reached on each test sample.

    Seeds and samples are both drawn anew, with replacement, a thousand times; always the same draws. Two seeds are few:
    what they add is a rough guess.

    Args:
        values: [seeds, samples].

    Returns:
        Lower and upper end.
    """
    values = values.double().cpu()
    seeds, samples = values.shape
    generator = seeded(3)
    means = []
    for _ in range(_RESAMPLES):
        drawn = values[torch.randint(seeds, (seeds,), generator=generator)].mean(0)
        means.append(drawn[torch.randint(samples, (samples,), generator=generator)].mean())
    low, high = torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)
