"""Figures of a report: relative improvement, training curves, gradient conflicts, metrics over operating points."""

import base64
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from umbel.metrics import confidence_interval
from umbel.report.grid import MANY_TASKS, fixed, metric_text
from umbel.report.results import Results
from umbel.report.summary import Row, point_key, point_text, summary

# Okabe & Ito's palette, which people with any colour vision tell apart; markers differ too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#5B4A9E")
_MARKERS = "osD^vPX*"
_LINES = ("-", "--", ":", "-.")
_REFERENCE = "#444444"
_WIDTH = 5.2
MANY_MARKS = 40
"""With more dots than this a dot plot becomes a heat map."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "umbel",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Attributes:
        title: Heading on the page.
        alt: What it shows, for those who cannot see it.
        svg: The drawing.
    """

    title: str
    alt: str
    svg: bytes

    @property
    def data_uri(self) -> str:
        """The drawing as the address of an image that needs no file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


def _finished(figure: Figure, title: str, alt: str) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(title, alt, buffer.getvalue())


def _axes(height: float, width: float = _WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _looks(results: Results) -> dict[str, dict[str, str]]:
    """Method -> colour, marker and line; the reference is grey."""
    looks, index = {}, 0
    for method in results.methods:
        if method.key == results.reference:
            looks[method.key] = {"color": _REFERENCE, "marker": "o", "linestyle": "--"}
            continue
        wrapped, place = divmod(index, len(_COLOURS))
        line = _LINES[wrapped % len(_LINES)]
        looks[method.key] = {"color": _COLOURS[place], "marker": _MARKERS[place], "linestyle": line}
        index += 1
    return looks


def short(text: str, length: int = 26) -> str:
    """The text, cut where it is longer than a figure has room for."""
    return text if len(text) <= length else text[: length - 1] + "…"


def figures(results: Results) -> dict[str, list[Picture]]:
    """All figures by section: "improvement", "points", "conflicts", "curves". A section may be empty."""
    with matplotlib.rc_context(_STYLE):
        return {
            "improvement": [p for p in (_delta_figure(results), _relative_figure(results)) if p is not None],
            "points": list(_point_figures(results)),
            "conflicts": [*_conflict_maps(results), *_cosine_figures(results)],
            "curves": list(_curve_figures(results)),
        }


def _compared(results: Results) -> list[Row]:
    return [row for row in summary(results) if not row.is_reference and row.delta_m.known]


def _zero_line(axes: Axes, label: str) -> None:
    axes.axvline(0, color=_REFERENCE, linewidth=1, linestyle="--")
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")


def _delta_figure(results: Results) -> Picture | None:
    rows = _compared(results)
    if not rows:
        return None
    looks = _looks(results)
    figure, axes = _axes(0.9 + 0.32 * len(rows))
    for place, row in enumerate(rows):
        look = looks[row.method.key]
        width = row.delta_m.half_width if row.delta_m.has_interval else None
        axes.errorbar(row.delta_m.mean, place, xerr=width, fmt=look["marker"], color=look["color"], capsize=3)
    axes.set_yticks(range(len(rows)), [short(row.label, 32) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _zero_line(axes, f"Δm in %, to the right is better than {short(results.method(results.reference).title)}")
    told = "; ".join(f"{r.label} {fixed(r.delta_m.mean, 2, True)} %" for r in rows)
    return _finished(figure, "Improvement over all tasks (Δm)", f"Δm of each method with 95 % intervals: {told}.")


def _relative_figure(results: Results) -> Picture | None:
    rows = [row for row in summary(results) if not row.is_reference and any(e.known for e in row.relative.values())]
    if not rows:
        return None
    many = len(rows) * len(results.tasks) > MANY_MARKS
    figure = _relative_map(results, rows) if many else _relative_dots(results, rows)
    told = []
    for row in rows:
        known = {name: e.mean for name, e in row.relative.items() if e.known}
        low, high = min(known, key=known.get), max(known, key=known.get)
        told.append(
            f"{row.label}: from {fixed(known[low], 1, True)} % ({low}) to {fixed(known[high], 1, True)} % ({high})"
        )
    return _finished(figure, "Improvement for each task", f"Improvement over the reference. {'; '.join(told)}.")


def _relative_dots(results: Results, rows: Sequence[Row]) -> Figure:
    looks, count = _looks(results), len(rows)
    figure, axes = _axes(1.2 + len(results.tasks) * (0.16 + 0.14 * count))
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


def _heat(axes: Axes, values: numpy.ndarray, least: float, text: str, size: float) -> Any:
    """A diverging map around zero, orange below and blue above, with the numbers in it."""
    limit = max(least, float(numpy.nanmax(numpy.abs(values), initial=0.0)))
    image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
    axes.grid(visible=False)
    for place, value in numpy.ndenumerate(values):
        if math.isfinite(value):
            dark = abs(value) > 0.65 * limit
            told = format(value, text).replace("-", "−")
            colour = "white" if dark else "black"
            axes.text(place[1], place[0], told, ha="center", va="center", fontsize=size, color=colour)
    return image


def _relative_map(results: Results, rows: Sequence[Row]) -> Figure:
    values = numpy.array([[row.relative[t.name].mean for row in rows] for t in results.tasks])
    figure, axes = _axes(1.6 + 0.22 * len(results.tasks), max(_WIDTH, 1.9 + 0.5 * len(rows)))
    _heat(axes, values, 1.0, "+.1f", 8)
    axes.set_yticks(range(len(results.tasks)), [short(t.name) for t in results.tasks], fontsize=9)
    axes.set_xticks(range(len(rows)), [short(r.label, 18) for r in rows], rotation=35, ha="left", fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("improvement in %; purple is better, orange worse")
    return figure


def _band(axes: Axes, curves: Sequence[tuple[Sequence[int], Sequence[float]]], look: dict[str, str], label: str):
    """Mean over seeds with a band of its 95 % interval, at the steps that all seeds have, at most 200 of them."""
    common = sorted(set.intersection(*(set(steps) for steps, _ in curves)))
    if not common:
        return
    common = common[:: max(1, len(common) // 200)]
    tables = [dict(zip(steps, values, strict=True)) for steps, values in curves]
    intervals = [confidence_interval([t[step] for t in tables]) for step in common]
    mean = numpy.array([m for m, _ in intervals])
    width = numpy.nan_to_num(numpy.array([w for _, w in intervals]))
    axes.plot(common, mean, color=look["color"], linestyle=look["linestyle"], linewidth=1.6, label=label)
    if width.any():
        axes.fill_between(common, mean - width, mean + width, color=look["color"], alpha=0.15, linewidth=0)


def _curve_figures(results: Results) -> Iterator[Picture]:
    """For each thing that was logged over training: all methods against the step.

    With many tasks, the curves of single tasks are drawn for their main metrics only.
    """
    kinds: dict[tuple[str, str, str], None] = {}
    main = {(t.name, t.metric) for t in results.tasks}
    for curve in results.curves:
        few = len(results.tasks) <= MANY_TASKS or not curve.task
        if curve.name != "cosine" and (few or (curve.task, curve.name) in main):
            kinds[(curve.split, curve.task, curve.name)] = None
    looks = _looks(results)
    for split, task, name in sorted(kinds, key=lambda k: (k[0] != "validation", k[1] != "")):
        figure, axes = _axes(3.1)
        for method in results.methods:
            curves = [
                (c.steps, c.values)
                for c in results.curves
                if (c.method, c.split, c.task, c.name) == (method.key, split, task, name)
            ]
            if curves:
                _band(axes, curves, looks[method.key], short(method.title))
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        figure.legend(loc="outside lower left", ncols=2)
        whose = f"{task}: " if task else ""
        known = next((t for t in results.tasks if t.name == task and t.metric == name), None)
        title = f"{whose}{metric_text(known) if known else name} ({split})"
        yield _finished(figure, title, f"{title} against the step of training, mean and 95 % interval over seeds.")


def _conflict_maps(results: Results) -> Iterator[Picture]:
    """For each method: mean cosine of every pair of tasks."""
    for method in results.methods:
        found = [c for c in results.conflicts if c.method == method.key]
        names = [t.name for t in results.tasks if any(t.name in (c.first, c.second) for c in found)]
        if len(names) < 2:
            continue
        values = numpy.full((len(names), len(names)), numpy.nan)
        for conflict in found:
            if conflict.first in names and conflict.second in names:
                a, b = sorted((names.index(conflict.first), names.index(conflict.second)))
                values[b, a] = conflict.mean
        side = min(6.5, 2.2 + 0.45 * len(names))
        figure, axes = _axes(0.75 * side if len(names) < 8 else 0.85 * side, max(side, 4.2))
        image = _heat(axes, values[1:, :-1], 0.2, "+.2f", 8 if len(names) <= 8 else 5)
        axes.set_yticks(range(len(names) - 1), [short(n, 20) for n in names[1:]])
        axes.set_xticks(range(len(names) - 1), [short(n, 20) for n in names[:-1]], rotation=35, ha="right")
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, label="mean cosine", shrink=0.8)
        told = "; ".join(f"{c.first} and {c.second} {fixed(c.mean, 2, True)}" for c in found[:15])
        yield _finished(figure, f"Do gradients agree? {method.title}", f"Mean cosine of gradients: {told}.")


def _cosine_figures(results: Results) -> Iterator[Picture]:
    """For each method: cosine over training, a line for each pair, or the spread when there are many pairs."""
    for method in results.methods:
        pairs: dict[tuple[str, str], list] = {}
        for curve in results.curves:
            if curve.method == method.key and curve.name == "cosine":
                pairs.setdefault((curve.task, curve.other), []).append((curve.steps, curve.values))
        if not pairs:
            continue
        figure, axes = _axes(3.1)
        if len(pairs) <= 6:
            for index, ((first, second), curves) in enumerate(pairs.items()):
                look = {"color": _COLOURS[index], "linestyle": _LINES[index % 4]}
                _band(axes, curves, look, f"{short(first, 16)} / {short(second, 16)}")
            columns = 2 if len(pairs) > 2 else 1
        else:
            _spread(axes, [curve for curves in pairs.values() for curve in curves])
            columns = 1
        axes.axhline(0, color=_REFERENCE, linewidth=1, linestyle="--")
        axes.set_xlabel("step")
        axes.set_ylabel("cosine of gradients")
        figure.legend(loc="outside lower left", ncols=columns)
        told = f"Cosine of the tasks' gradients over training with {method.title}, {len(pairs)} pairs."
        yield _finished(figure, f"Agreement over training: {method.title}", told)


def _spread(axes: Axes, curves: Iterable[tuple[Sequence[int], Sequence[float]]]) -> None:
    by_step: dict[int, list[float]] = {}
    for steps, values in curves:
        for step, value in zip(steps, values, strict=True):
            if math.isfinite(value):
                by_step.setdefault(step, []).append(value)
    steps = sorted(by_step)
    low, middle, high = numpy.array([numpy.quantile(by_step[s], (0.1, 0.5, 0.9)) for s in steps]).reshape(-1, 3).T
    axes.plot(steps, middle, color=_COLOURS[0], linewidth=1.6, label="median of all pairs and seeds")
    axes.fill_between(steps, low, high, color=_COLOURS[0], alpha=0.2, linewidth=0, label="middle 80 %")


def _point_figures(results: Results) -> Iterator[Picture]:
    """For each task and each number that varies between operating points: the main metric against it."""
    rows, looks = summary(results), _looks(results)
    for axis in _varying(rows):
        for task in results.tasks:
            figure, axes = _axes(3.3)
            for (key, _), line in _lines(rows, axis).items():
                look = looks[key]
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
            yield _finished(figure, title, f"{metric_text(task)} of {task.name} against {axis} for each method.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _varying(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row.point)
    values = {name: {r.point[name] for r in rows if _is_number(r.point.get(name))} for name in names}
    return [name for name in names if len(values[name]) > 1]


def _lines(rows: Sequence[Row], axis: str) -> dict[tuple[str, str], list[Row]]:
    """(Method, the point's other values) -> rows in order of the axis."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if _is_number(row.point.get(axis)):
            rest = {name: value for name, value in row.point.items() if name != axis}
            lines.setdefault((row.method.key, point_key(rest)), []).append(row)
    return {key: sorted(line, key=lambda r: r.point[axis]) for key, line in lines.items()}
