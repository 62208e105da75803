"""What a study shows over its operating points: charts of series, and series from runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umbel.core import UmbelError, unknown
from umbel.metrics import confidence_interval
from umbel.report.records import Record, Run
from umbel.report.schema import Point, contains, is_number, plain

STYLES = ("line", "dashed", "dots")
"""Ways to draw a series: solid with markers; dashed, for baselines and bounds; points without a line."""


@dataclass(frozen=True)
class Series(Record):
    """One line of a chart.

    Attributes:
        label: Name in the legend.
        x: Where, in the order in which the points are joined.
        y: What was measured there; NaN is a gap.
        half_width: Of the 95 % confidence interval of each y; NaN where there is none, empty when there is none
            at all.
        style: "line", "dashed" (baselines and bounds) or "dots".
        group: Series of one group share a colour and differ by marker. The key or title of a method takes that
            method's colour. Empty: a group of its own.

    Raises:
        UmbelError: Lengths differ, an x is not finite, a half-width is negative, or the style is unknown.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    half_width: tuple[float, ...] = ()
    style: str = "line"
    group: str = ""

    def __post_init__(self) -> None:
        for name in ("x", "y", "half_width"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        if self.style not in STYLES:
            raise unknown(f"style of series {self.label!r}", self.style, STYLES)
        for what, values in (("y", self.y), ("half_width", self.half_width or self.x)):
            if len(values) != len(self.x):
                raise UmbelError(f"series {self.label!r}: {len(self.x)} values of x but {len(values)} of {what}")
        if not all(map(math.isfinite, self.x)):
            raise UmbelError(f"series {self.label!r}: every x must be a finite number, got {list(self.x)}")
        if any(width < 0 for width in self.half_width):
            raise UmbelError(f"series {self.label!r}: a half-width is negative; give it as a distance from the mean")


@dataclass(frozen=True)
class Chart(Record):
    """A figure over operating points.

    Attributes:
        title: Heading.
        x_label: What is on the x-axis, with its unit.
        y_label: What is on the y-axis, with its unit.
        series: The lines; about ten are readable.
        note: What a reader must know to judge it, shown under the figure.
        section: Charts of one section stand together under it as a heading; empty: before all sections.
        log_x: Whether the x-axis is logarithmic.

    Raises:
        UmbelError: No series, two with the same label, or an x that has no logarithm.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    note: str = ""
    section: str = ""
    log_x: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        labels = [series.label for series in self.series]
        if not labels:
            raise UmbelError(f"chart {self.title!r} has no series")
        if repeated := {label for label in labels if labels.count(label) > 1}:
            raise UmbelError(f"chart {self.title!r}: two series are called {min(repeated)!r}")
        if self.log_x and any(x <= 0 for series in self.series for x in series.x):
            raise UmbelError(f"chart {self.title!r}: a logarithmic x-axis needs every x above 0")


def chart_series(
    runs: Sequence[Run],
    method: str,
    x: str,
    task: str,
    metric: str,
    where: Mapping[str, Any] | None = None,
    *,
    label: str = "",
    style: str = "line",
    group: str = "",
    against: str = "",
) -> Series:
    """A metric of one method over one value of its operating points: mean and 95 % half-width over repeats.

    Points at which x is not a finite number are left out. A mean over values of which one is not finite, or of
    which one was not measured, is a gap.

    Args:
        runs: As in `Results.runs`.
        method: Key of the method.
        x: The value of the operating point that varies along the series, as "snr_db".
        task: Name of the task.
        metric: Name of the metric.
        where: What the other values of the operating point must be.
        label: Name in the legend; empty takes the method's key.
        style: See `Series`.
        group: See `Series`.
        against: Another metric of the same task, whose mean is the place on the x-axis instead of `point[x]`:
            accuracy against mean delay, with one point for each threshold x.

    Raises:
        UmbelError: Nobody ran that method, nothing was measured there, or a repeat was measured several times at
            one x, because `where` leaves another value open.
    """
    chosen = _chosen(runs, method, x, where or {})
    for name in filter(None, (metric, against)):
        known = {m for run in chosen for m in run.metrics.get(task, {})}
        if name not in known:
            raise unknown(f"metric of task {task!r} in the runs of {method!r}", name, known)
    by_place: dict[float, list[Run]] = {}
    for run in chosen:
        by_place.setdefault(float(run.point[x]), []).append(run)
    places, means, widths = [], [], []
    for place in sorted(by_place):
        _check_repeats(by_place[place], method, x)
        where_on_axis = _estimate(by_place[place], task, against)[0] if against else place
        if math.isfinite(where_on_axis):
            mean, width = _estimate(by_place[place], task, metric)
            places.append(where_on_axis)
            means.append(mean)
            widths.append(width)
    known_widths = tuple(widths) if any(map(math.isfinite, widths)) else ()
    return Series(label or method, tuple(places), tuple(means), known_widths, style, group)


def _chosen(runs: Iterable[Run], method: str, x: str, where: Mapping[str, Any]) -> list[Run]:
    runs = list(runs)
    of_method = [run for run in runs if run.method == method]
    if not of_method:
        raise unknown("method with runs", method, {run.method for run in runs})
    chosen = [r for r in of_method if contains(r.point, where) and is_number(r.point.get(x))]
    if not chosen:
        named = ", ".join(f"{name} {value}" for name, value in where.items()) or "any point"
        seen = ", ".join(dict.fromkeys(str(plain(r.point)) for r in of_method[:3]))
        raise UmbelError(f"no run of {method!r} has a number {x!r} at {named}; it was run at points as {seen}")
    return chosen


def _check_repeats(runs: Sequence[Run], method: str, x: str) -> None:
    repeats = [run.repeat for run in runs]
    if len(set(repeats)) < len(repeats):
        points: list[Point] = [run.point for run in runs]
        names = dict.fromkeys(name for point in points for name in point)
        varied = [n for n in names if any(plain(p.get(n)) != plain(points[0].get(n)) for p in points)]
        open_values = ", ".join(varied) or "nothing: a run is there twice"
        raise UmbelError(
            f"runs of {method!r} at {x} {runs[0].point[x]}: several of one repeat; give `where` a value for each of "
            f"what differs ({open_values})"
        )


def _estimate(runs: Sequence[Run], task: str, metric: str) -> tuple[float, float]:
    return confidence_interval([float(run.metrics.get(task, {}).get(metric, math.nan)) for run in runs])
