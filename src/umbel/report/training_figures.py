"""Figures over training: curves of losses and metrics, and how the gradients of tasks agree."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy
from matplotlib.axes import Axes

from umbel.report.drawing import COLOURS, LINES, REFERENCE, Picture, band, finished, heat, looks_of, new_axes, short
from umbel.report.grid import MANY_TASKS, fixed, metric_text
from umbel.report.results import Results


def curve_figures(results: Results) -> Iterator[Picture]:
    """For each thing that was logged over training: all methods against the step.

    With many tasks, the curves of single tasks are drawn for their main metrics only.
    """
    kinds: dict[tuple[str, str, str], None] = {}
    main = {(t.name, t.metric) for t in results.tasks}
    for curve in results.curves:
        few = len(results.tasks) <= MANY_TASKS or not curve.task
        if curve.name != "cosine" and (few or (curve.task, curve.name) in main):
            kinds[(curve.split, curve.task, curve.name)] = None
    looks = looks_of(results)
    for split, task, name in sorted(kinds, key=lambda k: (k[0] != "validation", k[1] != "")):
        figure, axes = new_axes(3.1)
        for method in results.methods:
            curves = [
                (c.steps, c.values)
                for c in results.curves
                if (c.method, c.split, c.task, c.name) == (method.key, split, task, name)
            ]
            if curves:
                band(axes, curves, looks[method.key], short(method.title))
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        figure.legend(loc="outside lower left", ncols=2)
        whose = f"{task}: " if task else ""
        known = next((t for t in results.tasks if t.name == task and t.metric == name), None)
        title = f"{whose}{metric_text(known) if known else name} ({split})"
        yield finished(figure, title, f"{title} against the step of training, mean and 95 % interval over seeds.")


def conflict_maps(results: Results) -> Iterator[Picture]:
    """For each method: mean cosine of every pair of tasks."""
    for method in results.methods:
        conflicts = [c for c in results.conflicts if c.method == method.key]
        names = [t.name for t in results.tasks if any(t.name in (c.first, c.second) for c in conflicts)]
        if len(names) < 2:
            continue
        values = numpy.full((len(names), len(names)), numpy.nan)
        for conflict in conflicts:
            if conflict.first in names and conflict.second in names:
                a, b = sorted((names.index(conflict.first), names.index(conflict.second)))
                values[b, a] = conflict.mean
        side = min(6.5, 2.2 + 0.45 * len(names))
        figure, axes = new_axes(0.75 * side if len(names) < 8 else 0.85 * side, max(side, 4.2))
        image = heat(axes, values[1:, :-1], 0.2, "+.2f", 8 if len(names) <= 8 else 5)
        axes.set_yticks(range(len(names) - 1), [short(n, 20) for n in names[1:]])
        axes.set_xticks(range(len(names) - 1), [short(n, 20) for n in names[:-1]], rotation=35, ha="right")
        axes.tick_params(length=0)
        figure.colorbar(image, ax=axes, label="mean cosine", shrink=0.8)
        told = "; ".join(f"{c.first} and {c.second} {fixed(c.mean, 2, True)}" for c in conflicts[:15])
        yield finished(figure, f"Do gradients agree? {method.title}", f"Mean cosine of gradients: {told}.")


def cosine_figures(results: Results) -> Iterator[Picture]:
    """For each method: cosine over training, a line for each pair, or the spread when there are many pairs."""
    for method in results.methods:
        pairs: dict[tuple[str, str], list[tuple[tuple[int, ...], tuple[float, ...]]]] = {}
        for curve in results.curves:
            if curve.method == method.key and curve.name == "cosine":
                pairs.setdefault((curve.task, curve.other), []).append((curve.steps, curve.values))
        if not pairs:
            continue
        figure, axes = new_axes(3.1)
        if len(pairs) <= 6:
            for index, ((first, second), curves) in enumerate(pairs.items()):
                look = {"color": COLOURS[index], "linestyle": LINES[index % 4]}
                band(axes, curves, look, f"{short(first, 16)} / {short(second, 16)}")
            columns = 2 if len(pairs) > 2 else 1
        else:
            _spread(axes, [curve for curves in pairs.values() for curve in curves])
            columns = 1
        axes.axhline(0, color=REFERENCE, linewidth=1, linestyle="--")
        axes.set_xlabel("step")
        axes.set_ylabel("cosine of gradients")
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -1.05), min(high, 1.05))  # a band over few seeds may promise more than a cosine can be
        figure.legend(loc="outside lower left", ncols=columns)
        told = f"Cosine of the tasks' gradients over training with {method.title}, {len(pairs)} pairs."
        yield finished(figure, f"Agreement over training: {method.title}", told)


def _spread(axes: Axes, curves: Iterable[tuple[Sequence[int], Sequence[float]]]) -> None:
    by_step: dict[int, list[float]] = {}
    for steps, values in curves:
        for step, value in zip(steps, values, strict=True):
            if math.isfinite(value):
                by_step.setdefault(step, []).append(value)
    steps = sorted(by_step)
    low, middle, high = numpy.array([numpy.quantile(by_step[s], (0.1, 0.5, 0.9)) for s in steps]).reshape(-1, 3).T
    axes.plot(steps, middle, color=COLOURS[0], linewidth=1.6, label="median of all pairs and seeds")
    axes.fill_between(steps, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="middle 80 %")
