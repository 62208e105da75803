"""Drawings of the charts that a study made over its operating points."""

import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes

from umbel.report.chart_grid import place_text
from umbel.report.charts import Chart, Series
from umbel.report.drawing import COLOURS, MARKERS, REFERENCE, Picture, finished, looks_of, new_axes
from umbel.report.grid import decimals, fixed
from umbel.report.results import Results
from umbel.report.summary import Estimate

# Baselines stand back: greys that differ in lightness, hue and dashes.
_GREYS = (REFERENCE, "#8a8f96", "#7a6a58", "#5f7688", "#a39aa8")
_DASHES = ((0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (9, 3)))
_LEGEND_LETTERS = 37  # of a label in one of two columns of the legend
_MANY_POINTS = 16  # a series of more points is drawn without markers on its line
_AXES_HEIGHT, _LEGEND_LINE = 2.95, 0.18  # inches


def chart_pictures(results: Results) -> Iterator[Picture]:
    """A picture for each chart of the results, in their order; a group has the same colour in all."""
    own = looks_of(results)
    fixed_colours = {name: own[m.key]["color"] for m in results.methods for name in (m.key, m.title)}
    wanted = _spread(_coloured([s for chart in results.charts for s in chart.series]), fixed_colours)
    for chart in results.charts:
        yield _picture(chart, _spread(_coloured(chart.series), wanted))


def _group(series: Series) -> str:
    return series.group or series.label


def _coloured(series: Sequence[Series]) -> list[str]:
    """The groups that get a colour: those with something that is no baseline."""
    return list(dict.fromkeys(_group(s) for s in series if s.style != "dashed"))


def _spread(groups: Sequence[str], wanted: dict[str, str]) -> dict[str, str]:
    """Group -> colour: the wanted one where it is free, otherwise the first free one."""
    given: dict[str, str] = {}
    for group in sorted(groups, key=lambda g: g not in wanted):
        free = [c for c in COLOURS if c not in given.values()] or list(COLOURS)
        colour = wanted.get(group, free[0])
        given[group] = colour if colour not in given.values() or len(given) >= len(COLOURS) else free[0]
    return given


def _looks(chart: Chart, colours: dict[str, str]) -> list[dict[str, Any]]:
    """Colour, line and marker of each series."""
    seen: dict[str, int] = {}
    looks, baselines = [], 0
    for series in chart.series:
        group = _group(series)
        place = seen[group] = seen.get(group, -1) + 1
        hollow = place % 2 == 1
        if series.style == "dashed":
            colour = colours.get(group, _GREYS[baselines % len(_GREYS)])
            look = {"color": colour, "linestyle": _DASHES[baselines % len(_DASHES)], "linewidth": 1.4, "marker": ""}
            baselines += 1
        else:
            line = "-" if series.style == "line" else "none"
            marker = MARKERS[place % len(MARKERS)]
            marker = "" if line == "-" and len(series.x) > _MANY_POINTS else marker
            look = {"color": colours[group], "linestyle": line, "linewidth": 1.7, "marker": marker}
        look["markerfacecolor"] = "white" if hollow else look["color"]
        looks.append(look)
    return looks


def _picture(chart: Chart, colours: dict[str, str]) -> Picture:
    labels = [textwrap.fill(s.label, _LEGEND_LETTERS, break_long_words=True) for s in chart.series]
    figure, axes = new_axes(_AXES_HEIGHT + _LEGEND_LINE * _legend_lines(labels))
    for series, label, look in zip(chart.series, labels, _looks(chart, colours), strict=True):
        y = [value if math.isfinite(value) else math.nan for value in series.y]
        _errors(axes, series, y, look["color"])
        axes.plot(series.x, y, label=label, markersize=4.5, markeredgewidth=1.2, **look)
    _axis(axes, chart)
    figure.legend(loc="outside lower left", ncols=_columns(labels), handlelength=2.6, columnspacing=1.4)
    return finished(figure, chart.title, _told(chart))


def _columns(labels: Sequence[str]) -> int:
    return 2 if len(labels) > 1 else 1


def _legend_lines(labels: Sequence[str]) -> int:
    """How many lines of text the legend has; matplotlib fills it column by column."""
    heights = [label.count("\n") + 1 for label in labels]
    half = math.ceil(len(heights) / _columns(labels))
    return max(sum(heights[:half]), sum(heights[half:]))


def _errors(axes: Axes, series: Series, y: Sequence[float], colour: str) -> None:
    known = [
        (x, mean, width)
        for x, mean, width in zip(series.x, y, series.half_width or [math.nan] * len(y), strict=True)
        if math.isfinite(mean) and math.isfinite(width)
    ]
    if known:
        x, mean, width = zip(*known, strict=True)
        axes.errorbar(x, mean, yerr=width, fmt="none", ecolor=colour, elinewidth=1, capsize=2, alpha=0.75)


def _axis(axes: Axes, chart: Chart) -> None:
    axes.set_xlabel(textwrap.fill(chart.x_label, 62))
    axes.set_ylabel(textwrap.fill(chart.y_label, 36))
    every = sorted({x for series in chart.series for x in series.x})
    if chart.log_x:
        axes.set_xscale("log", base=2)
    if len(every) <= 9 and (chart.log_x or _even(every)):
        axes.set_xticks(every, [place_text(x) for x in every])
        axes.minorticks_off()


def _even(places: Sequence[float]) -> bool:
    """Whether the places are far enough apart for a tick at each."""
    steps = [b - a for a, b in itertools.pairwise(places)]
    return bool(steps) and min(steps) >= 0.09 * (places[-1] - places[0])


def _told(chart: Chart) -> str:
    """The first and the last value of each series."""
    places = decimals([Estimate(y) for s in chart.series for y in s.y if math.isfinite(y)])
    told = []
    for series in chart.series:
        known = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(y)]
        if not known:
            told.append(f"{series.label}: not measured")
            continue
        ends = known[:1] + known[1:][-1:]
        values = " to ".join(f"{fixed(y, places)} at {place_text(x)}" for x, y in ends)
        told.append(f"{series.label}: {values}")
    return f"{chart.y_label} against {chart.x_label}. {'; '.join(told)}."
