"""Intervals of a mean over attackers' seeds and test samples."""

import math

import torch
from torch import Tensor

from umbel.data.source import seeded

_RESAMPLES = 1000


def bootstrap_interval(values: Tensor) -> tuple[float, float]:
    """The 95 % interval of the mean of what each seed's attacker reached on each test sample.

    A bootstrap, always with the same draws: samples are drawn with replacement, the same for all seeds, and then seeds.
    What few drawn seeds deviate from their mean is multiplied by sqrt(S / (S - 1)), without which S seeds would seem to
    agree too well.

    Args:
        values: [seeds, samples].

    Returns:
        Lower and upper end.
    """
    values = values.double().cpu()
    seeds, samples = values.shape
    generator = seeded(3)
    stretch = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0
    means = []
    for _ in range(_RESAMPLES):
        of_seeds = values[:, torch.randint(samples, (samples,), generator=generator)].mean(1)
        some = of_seeds[torch.randint(seeds, (seeds,), generator=generator)]
        means.append(of_seeds.mean() + stretch * (some.mean() - of_seeds.mean()))
    low, high = torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)
