"""Reading the runs: accuracies in percent by seed, differences paired over seeds, uses to a target."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from umbel.report import Estimate, Run

MEAN = ""
"""Stands for the mean over the tasks of a group."""

BySeed = dict[int, float]
"""Seed -> value."""


def percent(metrics: Mapping[str, Mapping[str, float]], task: str = MEAN) -> float:
    """Accuracy of a task, or the mean over tasks, in percent."""
    values = [m["accuracy"] for m in metrics.values()] if task == MEAN else [metrics[task]["accuracy"]]
    return 100 * sum(values) / len(values)


class Reader:
    """Accuracies of the runs by arm, place and seed.

    Args:
        runs: Of the study.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs: dict[tuple, dict[int, Run]] = {}
        for run in runs:
            self._runs.setdefault((run.method, *_key(run.point)), {})[run.repeat] = run

    def runs(self, arm: str, **point: object) -> dict[int, Run]:
        """Seed -> run, at exactly this point (`total_uses` is left out of it); empty when there is none."""
        return self._runs.get((arm, *_key(point)), {})

    def accuracy(self, arm: str, task: str = MEAN, **point: object) -> BySeed:
        """Seed -> test accuracy in percent."""
        return {seed: percent(run.metrics, task) for seed, run in self.runs(arm, **point).items()}

    def validation(self, arm: str, **point: object) -> BySeed:
        """Seed -> mean validation accuracy in percent, at the middle of the training range of SNRs."""
        return {seed: percent(run.validation) for seed, run in self.runs(arm, **point).items() if run.validation}


def _key(point: Mapping[str, object]) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in point.items() if name != "total_uses"))


def paired(first: BySeed, second: BySeed) -> Estimate:
    """First minus second, seed by seed."""
    return Estimate.of(first[seed] - second[seed] for seed in first if seed in second)


def mean_of(parts: Sequence[BySeed]) -> BySeed:
    """The mean of several values for each seed that all of them have."""
    seeds = set.intersection(*(set(part) for part in parts)) if parts else set()
    return {seed: sum(part[seed] for part in parts) / len(parts) for seed in sorted(seeds)}


def uses_to(target: float, uses: Sequence[int], accuracies: Sequence[float]) -> float:
    """Channel uses at which a curve first reaches a target, between measured points linear in log2 of the uses.

    NaN where it does not, and where it is already there at the first point: then all that is known is a bound.
    """
    points = list(zip(uses, accuracies, strict=True))
    for (low, before), (high, after) in pairwise(points):
        if before < target <= after:
            part = (target - before) / (after - before)
            return 2 ** (math.log2(low) + part * (math.log2(high) - math.log2(low)))
    return math.nan
