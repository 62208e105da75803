"""Numbers read off the runs of a study: one for each repeat, so that differences are taken repeat by repeat."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from umbel.core import UmbelError
from umbel.report import Estimate, Run, Series, chart_series
from umbel.report.schema import contains, is_number, plain

_SPLITS = {"test": "metrics", "validation": "validation"}


class Values(Mapping[int, float]):
    """Repeat -> number. Arithmetic goes repeat by repeat, over those that both sides have.

        >>> Values({0: 3.0, 1: 5.0}) - Values({0: 1.0, 1: 2.0})
        Values({0: 2.0, 1: 3.0})

    A number that is not finite stays so, and makes the estimate "not measured".

    Args:
        numbers: Repeat -> number.
    """

    def __init__(self, numbers: Mapping[int, float]) -> None:
        self._numbers = {repeat: float(numbers[repeat]) for repeat in sorted(numbers)}

    def __getitem__(self, repeat: int) -> float:
        return self._numbers[repeat]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"Values({self._numbers})"

    @cached_property
    def estimate(self) -> Estimate:
        """Mean over the repeats and its 95 % interval."""
        return Estimate.of(self.values())

    @property
    def mean(self) -> float:
        """Mean over the repeats; NaN when nothing was measured."""
        return self.estimate.mean

    @property
    def constant(self) -> float:
        """The number of something that was measured once, without repeats: a bound, a link that no seed changes.

            gain = table("network") - table("bound").constant       # of every repeat, and not of repeat 0 alone

        NaN when nothing was measured.

        Raises:
            UmbelError: Several repeats have a number each.
        """
        if len(self) > 1:
            raise UmbelError(f"{len(self)} repeats have a number each, where one number for all of them is wanted")
        return next(iter(self.values()), math.nan)

    def map(self, function: Callable[[float], float]) -> "Values":
        """A function of every number."""
        return Values({repeat: function(number) for repeat, number in self.items()})

    def _with(self, other: "Values | float", function: Callable[[float, float], float]) -> "Values":
        if isinstance(other, Values):
            return Values({r: function(number, other[r]) for r, number in self.items() if r in other})
        return self.map(lambda number: function(number, other))

    def __add__(self, other: "Values | float") -> "Values":
        return self._with(other, operator.add)

    def __sub__(self, other: "Values | float") -> "Values":
        return self._with(other, operator.sub)

    def __mul__(self, other: "Values | float") -> "Values":
        return self._with(other, operator.mul)

    def __truediv__(self, other: "Values | float") -> "Values":
        return self._with(other, _ratio)

    def __rsub__(self, other: float) -> "Values":
        return self.map(lambda number: other - number)

    def __neg__(self) -> "Values":
        return self * -1.0

    __radd__ = __add__
    __rmul__ = __mul__


def _ratio(one: float, other: float) -> float:
    return one / other if other else math.nan


def average(values: Iterable[Values]) -> Values:
    """The mean of several numbers of each repeat that all of them have; a number that is not finite stays so."""
    return _across(values, lambda numbers: sum(numbers) / len(numbers))


def least(values: Iterable[Values]) -> Values:
    """The smallest of several numbers of each repeat that all of them have; NaN if one of them is."""
    return _across(values, lambda numbers: math.nan if any(map(math.isnan, numbers)) else min(numbers))


def _across(values: Iterable[Values], function: Callable[[Sequence[float]], float]) -> Values:
    parts = list(values)
    repeats = set.intersection(*(set(part) for part in parts)) if parts else set()
    return Values({repeat: function([part[repeat] for part in parts]) for repeat in repeats})


class Table:
    """The metrics of a study's runs, by arm and place.

        at = Table(results.runs).at(channel="awgn", snr_db=3.0)
        gain = 100 * (at("multi-round", rule="middle") - at("random", rule="middle"))

    Args:
        runs: Of the study.
        task: Whose metrics are read unless another is named; empty: the only task of the runs.
        where: Values of the operating point that all runs looked at have; None: the point must not have it.
    """

    def __init__(self, runs: Iterable[Run], task: str = "", where: Mapping[str, Any] | None = None) -> None:
        self.runs = tuple(runs)
        self.task, self.where = task, dict(where or {})
        self._by_arm: dict[str, list[Run]] = {}
        for run in self.runs:
            self._by_arm.setdefault(run.method, []).append(run)

    def at(self, **place: Any) -> "Table":
        """The same table, looked at where points have these values, too."""
        table = Table((), self.task, {**self.where, **place})
        table.runs, table._by_arm = self.runs, self._by_arm
        return table

    @property
    def arms(self) -> tuple[str, ...]:
        """Keys of the arms that have runs, in the order of the runs."""
        return tuple(self._by_arm)

    @property
    def repeats(self) -> tuple[int, ...]:
        """Numbers of the repeats of all runs."""
        return tuple(sorted({run.repeat for run in self.runs}))

    def runs_of(self, arm: str, **place: Any) -> dict[int, Run]:
        """Repeat -> the run of an arm at this place; a repeat without one is missing.

        Raises:
            UmbelError: Several runs of one repeat are there, because the place leaves a value open.
        """
        where = {**self.where, **place}
        chosen: dict[int, Run] = {}
        for run in (run for run in self._by_arm.get(arm, ()) if contains(run.point, where)):
            if run.repeat in chosen:
                first, point = plain(chosen[run.repeat].point), plain(run.point)
                differing = sorted(n for n in {*first, *point} if first.get(n) != point.get(n))
                raise UmbelError(f"runs of {arm!r} at {where}: several of one repeat; also say {', '.join(differing)}")
            chosen[run.repeat] = run
        return chosen

    def __call__(self, arm: str, metric: str = "", split: str = "test", task: str = "", **place: Any) -> Values:
        """A metric of an arm at a place.

        Args:
            arm: Key of the arm; one without runs has no values.
            metric: Its name; empty: the task's first.
            split: "test" or "validation".
            task: Whose metric; empty: the table's.
            **place: Values of the operating point, beside those of `at`.

        Returns:
            A number for each repeat of the arm; NaN where nothing was measured at this place.
        """
        runs = self.runs_of(arm, **place)
        repeats = {run.repeat for run in self._by_arm.get(arm, ())}
        return Values({r: self._number(runs.get(r), metric, split, task) for r in repeats})

    def over(
        self, arm: str, x: str, metric: str = "", split: str = "test", task: str = "", **place: Any
    ) -> dict[float, Values]:
        """A metric of an arm over one value of its points: x -> numbers, rising, wherever the arm has a run.

        Args:
            arm: Key of the arm.
            x: The value of the operating point that varies.
            metric: As in a call of the table.
            split: Likewise.
            task: Likewise.
            **place: Likewise.
        """
        where = {**self.where, **place}
        points = [run.point for run in self._by_arm.get(arm, ()) if contains(run.point, where)]
        places = sorted({point[x] for point in points if is_number(point.get(x))})
        return {float(at): self(arm, metric, split, task, **{**place, x: at}) for at in places}

    def _number(self, run: Run | None, metric: str, split: str, task: str) -> float:
        if run is None:
            return math.nan
        by_task: Mapping[str, Mapping[str, float]] = getattr(run, _SPLITS[split])
        name = task or self.task or (next(iter(by_task)) if len(by_task) == 1 else "")
        metrics = by_task.get(name, {})
        return metrics.get(metric or next(iter(metrics), ""), math.nan)

    def series(self, arm: str, x: str, metric: str, *, task: str = "", label: str = "", **more: Any) -> Series | None:
        """A metric of an arm over one value of its points, as a line of a chart; None when nothing was measured there.

        Args:
            arm: Key of the arm.
            x: The value of the operating point that varies along the line.
            metric: Name of the metric.
            task: Whose; empty: the table's.
            label: Name in the legend; empty takes the arm's key.
            **more: `style`, `group` and `against` as `umbel.report.chart_series` takes them; values of the point.
        """
        looks = {name: more.pop(name) for name in ("style", "group", "against") if name in more}
        where, of_task = {**self.where, **more}, task or self.task
        runs = [run for run in self._by_arm.get(arm, ()) if contains(run.point, where)]
        if not any(metric in run.metrics.get(of_task, {}) for run in runs):
            return None
        return chart_series(runs, arm, x, of_task, metric, where, label=label, **{"group": arm, **looks})


def line(label: str, values: Mapping[float, Values], style: str = "line", group: str = "") -> Series | None:
    """A line of a chart from numbers at each x: mean and interval over repeats; None when nothing was measured.

    An x where no repeat has a number is left out; one where some have none is a gap.
    """
    known = {x: v.estimate for x, v in sorted(values.items()) if not all(map(math.isnan, v.values()))}
    if not known:
        return None
    widths = tuple(estimate.half_width for estimate in known.values())
    widths = widths if any(map(math.isfinite, widths)) else ()
    return Series(label, tuple(known), tuple(e.mean for e in known.values()), widths, style, group)
