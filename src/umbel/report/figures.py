"""Figures of a report: relative improvement, and metrics over operating points; others are in training_figures."""

import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from umbel.report.chart_figures import chart_pictures
from umbel.report.drawing import REFERENCE, STYLE, WIDTH, Picture, finished, heat, looks_of, new_axes, short
from umbel.report.grid import MANY_TASKS, fixed, metric_text
from umbel.report.matrix_figures import matrix_figures
from umbel.report.results import Results
from umbel.report.schema import is_number
from umbel.report.summary import Row, headline_rows, point_key, point_text, summary
from umbel.report.training_figures import conflict_maps, cosine_figures, curve_figures

MANY_MARKS = 40
"""With more dots than this a dot plot becomes a heat map."""

SECTIONS = ("improvement", "points", "matrices", "conflicts", "curves")


def figures(results: Results, sections: Sequence[str] = SECTIONS) -> dict[str, list[Picture]]:
    """The figures of the named sections. A section may be empty.

    Args:
        results: What the study measured.
        sections: Any of `SECTIONS`.
    """
    makers: dict[str, Callable[[Results], Iterable[Picture]]] = {
        "improvement": _improvement,
        "points": _point_figures,
        "matrices": matrix_figures,
        "conflicts": _conflicts,
        "curves": curve_figures,
    }
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Names of tasks may hold emoji and scripts that the font lacks; a box in the drawing is enough.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        return {section: list(makers[section](results)) for section in sections}


def _improvement(results: Results) -> Iterator[Picture]:
    for picture in (_delta_figure(results), _relative_figure(results)):
        if picture is not None:
            yield picture


def _conflicts(results: Results) -> Iterator[Picture]:
    yield from conflict_maps(results)
    yield from cosine_figures(results)


def _compared(results: Results) -> list[Row]:
    return [row for row in headline_rows(results) if not row.is_reference and row.delta_m.known]


def _zero_line(axes: Axes, label: str) -> None:
    axes.axvline(0, color=REFERENCE, linewidth=1, linestyle="--")
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")


def _wrapped(row: Row) -> str:
    """Name of the method and, under it, the operating point."""
    items = point_text(row.point).replace(" ", "\u00a0").replace(",\u00a0", ", ")  # break between values only
    return "\n".join([short(row.method.title, 32), *textwrap.wrap(items, 34)[:3]])


def _delta_figure(results: Results) -> Picture | None:
    rows = _compared(results)
    if not rows:
        return None
    looks, labels = looks_of(results), [_wrapped(row) for row in rows]
    figure, axes = new_axes(0.9 + sum(0.16 + 0.16 * (label.count("\n") + 1) for label in labels))
    for place, row in enumerate(rows):
        look = looks[row.method.key]
        width = row.delta_m.half_width if row.delta_m.has_interval else None
        axes.errorbar(row.delta_m.mean, place, xerr=width, fmt=look["marker"], color=look["color"], capsize=3)
    axes.set_yticks(range(len(rows)), labels, fontsize=9 if any(row.point for row in rows) else None)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _zero_line(axes, "Δm in %, to the right is better")
    told = "; ".join(f"{r.label} {fixed(r.delta_m.mean, 2, True)} %" for r in rows)
    return finished(figure, "Improvement over all tasks (Δm)", f"Δm of each method with 95 % intervals: {told}.")


def _relative_figure(results: Results) -> Picture | None:
    rows = [r for r in headline_rows(results) if not r.is_reference and any(e.known for e in r.relative.values())]
    if not rows:
        return None
    many = len(rows) * len(results.tasks) > MANY_MARKS or any(row.point != rows[0].point for row in rows)
    figure = _relative_map(results, rows) if many else _relative_dots(results, rows)
    told = []
    for row in rows:
        known = {name: e.mean for name, e in row.relative.items() if e.known}
        low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        told.append(
            f"{row.label}: from {fixed(known[low], 1, True)} % ({low}) to {fixed(known[high], 1, True)} % ({high})"
        )
    return finished(figure, "Improvement for each task", f"Improvement over the reference. {'; '.join(told)}.")


def _relative_dots(results: Results, rows: Sequence[Row]) -> Figure:
    looks, count = looks_of(results), len(rows)
    figure, axes = new_axes(1.2 + len(results.tasks) * (0.16 + 0.14 * count))
    for index, row in enumerate(rows):
        look = looks[row.method.key]
        means = [row.relative[t.name].mean for t in results.tasks]
        widths = [row.relative[t.name].half_width for t in results.tasks]
        places = [t + (index - (count - 1) / 2) * 0.7 / max(count, 1) for t in range(len(means))]
        axes.errorbar(
            means, places, xerr=numpy.nan_to_num(widths), fmt=look["marker"], color=look["color"], capsize=2,
            markersize=5, linewidth=1.3, label=short(row.label),
        )  # fmt: skip
    axes.set_yticks(range(len(results.tasks)), [short(t.name) for t in results.tasks])
    axes.set_ylim(len(results.tasks) - 0.5, -0.5)
    for border in range(1, len(results.tasks)):
        axes.axhline(border - 0.5, color="#eeeeee", linewidth=1)
    _zero_line(axes, "improvement in %, to the right is better")
    figure.legend(loc="outside upper left", ncols=2 if count > 1 else 1)
    return figure


def _relative_map(results: Results, rows: Sequence[Row]) -> Figure:
    values = numpy.array([[row.relative[t.name].mean for row in rows] for t in results.tasks])
    if len(results.tasks) <= MANY_TASKS and any(row.point for row in rows):
        return _relative_map_of_points(results, rows, values.T)
    figure, axes = new_axes(1.6 + 0.22 * len(results.tasks), max(WIDTH, 1.9 + 0.5 * len(rows)))
    heat(axes, values, 1.0, "+.1f", 8)
    axes.set_yticks(range(len(results.tasks)), [short(t.name) for t in results.tasks], fontsize=9)
    axes.set_xticks(range(len(rows)), [short(r.label, 28) for r in rows], rotation=35, ha="left", fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("improvement in %; purple is better, orange worse")
    return figure


def _relative_map_of_points(results: Results, rows: Sequence[Row], values: numpy.ndarray) -> Figure:
    """Few tasks at several operating points: a row for each method and point, so that their names have room."""
    labels = [_wrapped(row) for row in rows]
    figure, axes = new_axes(1.25 + sum(0.1 + 0.16 * (label.count("\n") + 1) for label in labels))
    heat(axes, values, 1.0, "+.1f", 8)
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.set_xticks(range(len(results.tasks)), [short(t.name, 18) for t in results.tasks], rotation=20, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("improvement in %;\npurple is better, orange worse")
    return figure


def _point_figures(results: Results) -> Iterator[Picture]:
    """The study's charts; without any, for each task and each number that varies: the main metric against it."""
    if results.charts:
        yield from chart_pictures(results)
        return
    rows, looks = summary(results), looks_of(results)
    for axis in _varying(rows):
        for task in results.tasks:
            figure, axes = new_axes(3.3)
            for (key, _), line in _lines(rows, axis).items():
                look: dict[str, Any] = {**looks[key]}
                known = [r for r in line if r.metrics[task.name].known]
                means = [r.metrics[task.name].mean for r in known]
                widths = numpy.nan_to_num([r.metrics[task.name].half_width for r in known])
                rest = point_text({n: v for n, v in line[0].point.items() if n != axis})
                label = short(f"{line[0].method.title} {f'({rest})' if rest else ''}".strip(), 34)
                where = [r.point[axis] for r in known]
                axes.errorbar(where, means, yerr=widths, capsize=2, markersize=4, label=label, **look)
            axes.set_xlabel(axis)
            axes.set_ylabel(metric_text(task))
            figure.legend(loc="outside lower left", ncols=2)
            title = f"{task.name} over {axis}"
            yield finished(figure, title, f"{metric_text(task)} of {task.name} against {axis} for each method.")


def _varying(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row.point)
    values = {name: {r.point[name] for r in rows if is_number(r.point.get(name))} for name in names}
    return [name for name in names if len(values[name]) > 1]


def _lines(rows: Sequence[Row], axis: str) -> dict[tuple[str, str], list[Row]]:
    """(Method, the point's other values) -> rows in order of the axis."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if is_number(row.point.get(axis)):
            rest = {name: value for name, value in row.point.items() if name != axis}
            lines.setdefault((row.method.key, point_key(rest)), []).append(row)
    return {key: sorted(line, key=lambda r: r.point[axis]) for key, line in lines.items()}
