"""Drawings of the charts that a study made over its operating points."""

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes

from umbel.report.chart_grid import MANY_POINTS, place_text
from umbel.report.charts import Chart, Series
from umbel.report.drawing import COLOURS, MARKERS, REFERENCE, Picture, finished, looks_of, new_axes
from umbel.report.grid import decimals, fixed
from umbel.report.results import Results
from umbel.report.summary import Estimate

# Baselines stand back: greys that differ in lightness, hue and dashes.
_GREYS = (REFERENCE, "#8a8f96", "#7a6a58", "#5f7688", "#a39aa8")
_DASHES = ((0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (9, 3)))
_LEGEND_LETTERS, _LEGEND_SIZE = 32, 8.5  # what fits into one of two columns of the legend
_AXES_HEIGHT, _LEGEND_LINE = 3.05, 0.172  # inches


def chart_pictures(results: Results) -> Iterator[Picture]:
    """A picture for each chart of the results, in their order; a group has the same colour in all."""
    own = looks_of(results)
    methods = [m for m in results.methods if m.key != results.reference]  # its grey is that of the baselines here
    fixed_colours = {name: own[m.key]["color"] for m in methods for name in (m.key, m.title)}
    wanted = _spread(_coloured([s for chart in results.charts for s in chart.series]), fixed_colours)
    for chart in results.charts:
        yield _picture(chart, _spread(_coloured(chart.series), wanted))


def _group(series: Series) -> str:
    return series.group or series.label


def _coloured(series: Sequence[Series]) -> list[str]:
    """The groups that get a colour: those with something that is no baseline."""
    return list(dict.fromkeys(_group(s) for s in series if s.style != "dashed"))


def _spread(groups: Sequence[str], wanted: dict[str, str]) -> dict[str, str]:
    """Group -> colour: the wanted one where it is free, otherwise the first of those that are used least."""
    given: dict[str, str] = {}
    for group in sorted(groups, key=lambda g: g not in wanted):
        used = Counter(given.values())
        colour = wanted.get(group, "")
        given[group] = colour if colour and not used[colour] else min(COLOURS, key=lambda c: used[c])
    return given


def _looks(chart: Chart, colours: dict[str, str]) -> list[dict[str, Any]]:
    """Colour, line and marker of each series; those of one colour differ by marker."""
    drawn: Counter[str] = Counter()
    looks, baselines = [], 0
    for series in chart.series:
        if series.style == "dashed":
            colour = colours.get(_group(series), _GREYS[baselines % len(_GREYS)])
            look = {"color": colour, "linestyle": _DASHES[baselines % len(_DASHES)], "linewidth": 1.4, "marker": ""}
            baselines += 1
        else:
            colour = colours[_group(series)]
            line = series.style == "line"
            marker = "" if line and len(series.x) > MANY_POINTS else MARKERS[drawn[colour] % len(MARKERS)]
            look = {"color": colour, "linestyle": "-" if line else "none", "linewidth": 1.7, "marker": marker}
            look["markerfacecolor"] = "white" if drawn[colour] % 2 else colour
            drawn[colour] += 1
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
    figure.legend(
        loc="outside lower left", ncols=_columns(labels), fontsize=_LEGEND_SIZE, handlelength=2.6, columnspacing=1.2
    )
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
            told.append(f"{series.label} not measured")
            continue
        ends = known[:1] + known[1:][-1:]
        values = " to ".join(f"{fixed(y, places)} at {place_text(x)}" for x, y in ends)
        told.append(f"{series.label} {values}")
    where = f"{chart.section}: " if chart.section else ""
    return f"{where}{chart.y_label} against {chart.x_label}. {'; '.join(told)}."
