"""Numbers that the claims, the verdict and the charts of the controllable study read off what was measured."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from umbel.core import Task, UmbelError
from umbel.metrics import relative_improvement
from umbel.recipes.controllable.arms import EXACT, PREFERENCE, Bench
from umbel.report import Estimate
from umbel.search import ConfigurationTable, control_response, hypervolume, uniformity

CORNER = 1.1
"""The reference point of hypervolumes: so many times the loss of the smallest configuration, on validation."""


@dataclass
class Measured:
    """What was measured, as plain values.

    Attributes:
        supernets: (distillation, seed) -> what `measure_tables` gave.
        separate: (width, seed) -> what `measure_plain` gave.
        preference: (percent, seed) -> what `measure_preference` gave.
        shapes: (percent, seed) -> widths of that network.
        dials: Seed -> what `dial` gave.
        times: What `measure_times` gave, for the first seed.
    """

    supernets: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    separate: dict[tuple[float, int], dict[str, dict[str, float]]] = field(default_factory=dict)
    preference: dict[tuple[float, int], list[dict[str, Any]]] = field(default_factory=dict)
    shapes: dict[tuple[float, int], dict[str, float]] = field(default_factory=dict)
    dials: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    times: list[dict[str, float]] = field(default_factory=list)


class Numbers:
    """Reads what was measured; every difference is taken seed by seed."""

    def __init__(self, bench: Bench, measured: Measured) -> None:
        self.bench, self.measured, self.settings = bench, measured, bench.settings
        self.tasks: Sequence[Task] = bench.data.tasks
        self.names = bench.tasks
        self.widths = tuple(bench.settings.model.grid)
        self.main = bench.settings.model.distillation
        self._tables: dict[tuple[str, int], ConfigurationTable] = {}

    def over_seeds(self, value: Callable[[int], float]) -> Estimate:
        """Mean and interval of a number of each seed."""
        return Estimate.of(value(seed) for seed in range(self.settings.seeds))

    @cached_property
    def in_points(self) -> bool:
        """Whether every task's main metric is a part from 0 to 1, higher is better: differences are then in points."""
        return all(task.higher_is_better and not task.unit for task in self.tasks)

    @property
    def unit(self) -> str:
        """Of `gain`."""
        return "points" if self.in_points else "%"

    def gain(self, one: Mapping[str, float], other: Mapping[str, float]) -> float:
        """How much better `one` is, mean over tasks: in points, or in percent where metrics differ in kind."""
        return float(np.mean([self.gain_of(task, one[task.name], other[task.name]) for task in self.tasks]))

    def gain_of(self, task: Task, one: float, other: float) -> float:
        """The same for one task."""
        if self.in_points:
            return 100 * (one - other)
        return relative_improvement(one, other, task.higher_is_better)

    # -- tables -------------------------------------------------------------------------------------

    def table(self, distillation: str, seed: int) -> ConfigurationTable:
        """Validation table of a controllable network."""
        if (distillation, seed) not in self._tables:
            text = self.measured.supernets[distillation, seed]["table"]
            self._tables[distillation, seed] = ConfigurationTable.from_json(text)
        return self._tables[distillation, seed]

    def at_widths(self, distillation: str, seed: int, width: float, heads: float) -> dict[str, float]:
        """Task -> test metric at an encoder width and one width of all heads."""
        test = np.array(self.measured.supernets[distillation, seed]["test"])
        values = test[:, self.widths.index(width), self.widths.index(heads)]
        return dict(zip(self.names, values.tolist(), strict=True))

    def against_separate(self, distillation: str, seed: int, width: float) -> float:
        """Gain of a controllable network over separate ones, encoder and heads at one width."""
        return self.gain(self.at_widths(distillation, seed, width, width), self.measured.separate[width, seed]["test"])

    def against_distillation(self, other: str, seed: int, width: float) -> float:
        """Gain of the main distillation over another at an encoder width: the mean over head widths."""
        pairs = [[self.at_widths(kind, seed, width, heads) for kind in (self.main, other)] for heads in self.widths]
        return float(np.mean([self.gain(*pair) for pair in pairs]))

    def head_effect(self, task: Task, seed: int) -> float:
        """What the task's head gains from its smallest to its full width, with the full encoder; on validation."""
        quality = self.table(self.main, seed).quality[self.names.index(task.name), -1]
        return self.gain_of(task, quality[-1], quality[0])

    # -- the dial -----------------------------------------------------------------------------------

    def entries(self, arm: str, percent: float, seed: int) -> Iterator[dict[str, Any]]:
        """What an arm did at a budget, for every ray: "ray", "validation", "test"."""
        if arm == PREFERENCE:
            yield from self.measured.preference[percent, seed]
            return
        for entry in self.measured.dials[seed]:
            if entry["arm"] == arm and entry["percent"] == percent:
                yield entry

    def group_losses(self, metrics: Mapping[str, float], seed: int) -> list[float]:
        """For each group the mean error of its tasks, each against that of the separate full network on validation."""
        full = self.measured.separate[1.0, seed]["validation"]
        errors = {t.name: _error(t, metrics[t.name]) / max(_error(t, full[t.name]), 1e-9) for t in self.tasks}
        return [float(np.mean([errors[name] for name in group])) for group in self.bench.groups]

    def front(self, arm: str, percent: float, seed: int) -> list[list[float]]:
        """Group losses on the test split, for every ray."""
        return [self.group_losses(entry["test"], seed) for entry in self.entries(arm, percent, seed)]

    def volume(self, arm: str, percent: float, seed: int) -> float:
        """Hypervolume of the front, below the corner."""
        return self.volume_of(self.front(arm, percent, seed), seed)

    def volume_of(self, losses: Sequence[Sequence[float]], seed: int) -> float:
        """Hypervolume of group losses, below the corner that a seed's controllable network gives."""
        smallest = self.table(self.main, seed).quality[:, 0, 0]
        corner = self.group_losses(dict(zip(self.names, smallest.tolist(), strict=True)), seed)
        return hypervolume(losses, [CORNER * value for value in corner])

    def more_volume(self, other: str, seed: int, arm: str = EXACT) -> float:
        """Percent of hypervolume that an arm has more than another, mean over budgets; NaN when the other has none."""
        ratios = []
        for percent in self.settings.percents:
            base = self.volume(other, percent, seed)
            ratios.append(self.volume(arm, percent, seed) / base if base else np.nan)
        return 100 * (float(np.mean(ratios)) - 1)

    def uniformity(self, arm: str, seed: int) -> float:
        """Mean uniformity of the group losses over budgets and rays."""
        return float(
            np.mean(
                [
                    uniformity(self.group_losses(entry["test"], seed), entry["ray"])
                    for percent in self.settings.percents
                    for entry in self.entries(arm, percent, seed)
                ]
            )
        )

    def budget_error(self, arm: str, seed: int) -> float:
        """Mean part of a budget that an arm leaves unused, in percent, over budgets and rays; it never exceeds one."""
        found = [1 - e["used"] for percent in self.settings.percents for e in self.entries(arm, percent, seed)]
        return 100 * float(np.mean(found))

    def response(self, task: Task, percent: float, seed: int, arm: str = EXACT) -> tuple[float, float]:
        """Spearman's correlation of a task's share of the preferences with its test quality, and the range of it.

        Quality is that at a fixed budget, the mean over rays that give the task the same share. A quality that never
        changes has no correlation; it counts as 0, no response.
        """
        group = next(i for i, names in enumerate(self.bench.groups) if task.name in names)
        by_share: dict[float, list[float]] = {}
        for entry in self.entries(arm, percent, seed):
            share = round(entry["ray"][group] / sum(entry["ray"]), 6)
            by_share.setdefault(share, []).append(entry["test"][task.name])
        shares = sorted(by_share)
        means = [float(np.mean(by_share[share])) for share in shares]
        better = [mean if task.higher_is_better else -mean for mean in means]
        found = control_response(shares, better)
        spearman = found.spearman if np.isfinite(found.spearman) else 0.0
        return spearman, abs(self.gain_of(task, means[-1], means[0]))

    def group_response(self, percent: float, seed: int, arm: str = EXACT) -> float:
        """Spearman's correlation of a group's share of the preferences with its loss, negated; mean over groups."""
        entries = list(self.entries(arm, percent, seed))
        losses = np.array([self.group_losses(entry["test"], seed) for entry in entries])
        shares = np.array([np.array(entry["ray"]) / sum(entry["ray"]) for entry in entries])
        found = [control_response(shares[:, g], -losses[:, g]).spearman for g in range(losses.shape[1])]
        return float(np.mean(np.nan_to_num(found)))

    def sensitive_tasks(self, least: float) -> list[Task]:
        """Tasks whose head's width matters by so much, mean over seeds."""
        return [task for task in self.tasks if self.over_seeds(lambda s, t=task: self.head_effect(t, s)).mean >= least]

    def weighted_gain(self, other: str, seed: int) -> float:
        """Preference-weighted gain of the exact search over another rule on the test split, over budgets and rays."""
        gains = []
        for percent in self.settings.percents:
            pairs = zip(self.entries(EXACT, percent, seed), self.entries(other, percent, seed), strict=True)
            for one, two in pairs:
                weights = self.bench.preferences(tuple(one["ray"]))
                each = [self.gain_of(t, one["test"][t.name], two["test"][t.name]) for t in self.tasks]
                gains.append(np.average(each, weights=[weights[name] for name in self.names]))
        return float(np.mean(gains))


def _error(task: Task, value: float) -> float:
    """A loss from a main metric: 1 - M for parts from 0 to 1, M itself where lower is better."""
    if not task.higher_is_better:
        return value
    if task.unit or not value <= 1:
        raise UmbelError(
            f"task {task.name!r}: its metric {task.main_metric} is neither a part from 0 to 1 nor an error, so there "
            "is no loss to make of it; leave the task out with --tasks"
        )
    return 1 - value
