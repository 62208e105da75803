"""The tables of a report as plain text in rows and columns, for any renderer."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from umbel.report.claims import NOT_SHOWN, REFUTED, SHOWN
from umbel.report.records import Matrix, TaskInfo
from umbel.report.results import Results
from umbel.report.summary import Estimate, Row, headline_rows, point_key, summary

MANY_TASKS = 6
"""With more tasks than this, the short table shows figures over tasks instead of one column each."""

DASH = "–"


@dataclass(frozen=True)
class Column:
    """A column: its heading, a second line under it, and whether it holds numbers."""

    title: str
    subtitle: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Entry:
    """A cell.

    Attributes:
        text: What is shown.
        best: The best of its column.
        value: What to sort by; None for text.
        mark: "good", "bad" or "".
    """

    text: str
    best: bool = False
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: every row has one entry for each column; the first column names the row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]


_COSTS = ("time per step", "parameters")
_MOST_DECIMALS = 6


def decimals(estimates: Iterable[Estimate]) -> int:
    """How many decimals a column needs for three digits of its largest value."""
    largest = max((abs(e.mean) for e in estimates if e.known), default=1.0)
    return min(_MOST_DECIMALS, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 3


def number(estimate: Estimate, places: int, sign: bool = False) -> str:
    """Mean and interval, "0.913 ± 0.004"; without interval "0.913 ± –"; a dash when nothing is known.

    Where so many decimals would show nothing of both, they have two digits of their own, "4.2e−07 ± 1.1e−07".
    """
    if not estimate.known:
        return DASH
    both = (estimate.mean, estimate.half_width if estimate.has_interval else 0.0)
    hidden = not sign and estimate.mean and not any(float(f"{value:.{places}f}") for value in both)
    mean, width = (f"{v:.1e}".replace("-", "−") if hidden else fixed(v, places) for v in both)
    mean = fixed(estimate.mean, places, sign) if sign else mean
    return f"{mean} ± {width if estimate.has_interval else DASH}"


def fixed(value: float, places: int, sign: bool = False) -> str:
    """A number with so many decimals, a true minus sign, and no negative zero."""
    text = f"{value:{'+' if sign else ''}.{places}f}"
    if float(text) == 0:
        text = text.replace("-", "").replace("+", "")
    return text.replace("-", "−")


def arrow(higher_is_better: bool) -> str:
    """Which way is better."""
    return "↑" if higher_is_better else "↓"


def metric_text(task: TaskInfo) -> str:
    """Metric, unit and direction, as in "RMSE in years ↓"."""
    unit = f" in {task.unit}" if task.unit else ""
    return f"{task.metric}{unit} {arrow(task.higher_is_better)}"


def _entries(
    estimates: Sequence[Estimate], higher_is_better: bool | None, sign: bool = False, groups: Sequence[str] = ()
) -> list[Entry]:
    """A column of estimates. The best are those that read the same as the best mean of their group.

    Args:
        estimates: From top to bottom.
        higher_is_better: Direction; None marks no best.
        sign: Percent with a sign and two decimals.
        groups: One name for each estimate, where only some can be compared (operating points).
    """
    places = 2 if sign else decimals(estimates)
    groups, texts = groups or [""] * len(estimates), [number(e, places, sign) for e in estimates]
    best = {} if higher_is_better is None else _best(estimates, groups, max if higher_is_better else min)
    means = [text.partition(" ±")[0] for text in texts]
    rows = list(zip(estimates, groups, means, strict=True))
    best_read = {group: mean for e, group, mean in rows if e.known and e.mean == best.get(group)}
    return [
        Entry(
            text,
            best=e.known and best_read.get(group) == mean,
            value=e.mean if e.known else None,
            mark={1: "good", -1: "bad", 0: ""}[e.clear_sign] if sign else "",
        )
        for text, (e, group, mean) in zip(texts, rows, strict=True)
    ]


def _best(
    estimates: Sequence[Estimate], groups: Sequence[str], pick: Callable[[list[float]], float]
) -> dict[str, float]:
    """The best mean of each group that has at least two to choose from."""
    means: dict[str, list[float]] = {}
    for estimate, group in zip(estimates, groups, strict=True):
        if estimate.known:
            means.setdefault(group, []).append(estimate.mean)
    return {group: pick(values) for group, values in means.items() if len(values) > 1}


def _points(rows: Sequence[Row]) -> list[str]:
    return [point_key(row.point) for row in rows]


def _delta_column(rows: Sequence[Row]) -> list[Entry]:
    shown = [Estimate() if row.is_reference else row.delta_m for row in rows]
    entries = _entries(shown, True, sign=True, groups=_points(rows))
    return [Entry("reference", value=0.0) if r.is_reference else e for r, e in zip(rows, entries, strict=True)]


def _assembled(title: str, columns: Sequence[tuple[Column, Sequence[Entry]]]) -> Grid:
    rows = zip(*(entries for _, entries in columns), strict=True)
    return Grid(title, tuple(column for column, _ in columns), tuple(rows))


def _costs(rows: Sequence[Row]) -> list[tuple[Column, list[Entry]]]:
    parameters = [Entry(f"{r.method.parameters:,}", value=r.method.parameters) for r in rows]
    milliseconds = _entries([r.milliseconds_per_step for r in rows], None)
    return [(Column(_COSTS[0], "ms"), milliseconds), (Column(_COSTS[1]), parameters)]


def without_costs(grid: Grid) -> Grid:
    """The grid without the columns of time and parameters, for narrow places."""
    kept = [i for i, column in enumerate(grid.columns) if column.title not in _COSTS]
    rows = tuple(tuple(row[i] for i in kept) for row in grid.rows)
    return Grid(grid.title, tuple(grid.columns[i] for i in kept), rows)


def _names(rows: Sequence[Row]) -> tuple[Column, list[Entry]]:
    return Column("method", numeric=False), [Entry(row.label) for row in rows]


def _title(results: Results) -> str:
    interval = f"mean ± {_interval(results)}" if len(results.repeat_numbers) > 1 else "no intervals"
    return f"{results.title}: {interval} over {results.repeats_text}{_part(results)}"


def _interval(results: Results) -> str:
    """What intervals are called; of folds, which share data, they are wider than their spread alone says."""
    return "95 % interval" if results.repeats == "seeds" else "95 % interval (folds share data: dependent)"


def _part(results: Results) -> str:
    """How many of the operating points the main table shows, where that is not all."""
    if not results.headline:
        return ""
    every, shown = (len({point_key(r.point) for r in rows(results)}) for rows in (summary, headline_rows))
    return f", {shown} of {every} operating points" if shown < every else ""


def full_grid(results: Results) -> Grid:
    """A row for each method and point of the headline; a column for each main metric, delta-m, time and size."""
    rows = headline_rows(results)
    return _assembled(_title(results), _measured(results, rows) + _costs(rows))


def _measured(results: Results, rows: Sequence[Row]) -> list[tuple[Column, list[Entry]]]:
    """Names, delta-m and the main metric of each task."""
    columns = [_names(rows)]
    if results.reference is not None:
        columns.append((Column("Δm", "% ↑"), _delta_column(rows)))
    for task in results.tasks:
        estimates = [row.metrics[task.name] for row in rows]
        entries = _entries(estimates, task.higher_is_better, groups=_points(rows))
        columns.append((Column(task.name, metric_text(task)), entries))
    return columns


def every_point_grid(results: Results) -> Grid | None:
    """All metrics at all operating points; None when the main table has them all."""
    rows = summary(results)
    if len(rows) == len(headline_rows(results)):
        return None
    columns = _measured(results, rows) + _further(results, rows)
    return _assembled(f"All operating points ({len(rows)} rows)", columns)


def short_grid(results: Results) -> Grid:
    """The full grid when there are few tasks; otherwise figures over tasks."""
    if len(results.tasks) <= MANY_TASKS:
        return full_grid(results)
    rows = headline_rows(results)
    columns = [_names(rows)]
    if results.reference is not None:
        columns.append((Column("Δm", "% ↑"), _delta_column(rows)))
    columns += [_mean_of_kind(rows, list(tasks)) for tasks in _by_metric(results.tasks)]
    if results.reference is not None:
        columns += _tallies(rows)
    return _assembled(f"{_title(results)}, {len(results.tasks)} tasks", columns + _costs(rows))


def _by_metric(tasks: Sequence[TaskInfo]) -> list[list[TaskInfo]]:
    """Tasks whose main metrics can be averaged: same kind, metric, unit and direction."""

    def kind(task: TaskInfo) -> tuple[str, str, str, bool]:
        return task.kind, task.metric, task.unit, task.higher_is_better

    return [list(group) for _, group in groupby(sorted(tasks, key=kind), key=kind)]


def _mean_of_kind(rows: Sequence[Row], tasks: list[TaskInfo]) -> tuple[Column, list[Entry]]:
    means = []
    for row in rows:
        values = [row.metrics[t.name] for t in tasks]
        mean = sum(v.mean for v in values) / len(values)  # NaN when one was not measured
        means.append(Estimate(mean=mean, count=min(v.count for v in values)))
    entries = _entries(means, tasks[0].higher_is_better, groups=_points(rows))
    plain = [Entry(e.text.removesuffix(f" ± {DASH}"), e.best, e.value) for e in entries]
    title = f"mean of {len(tasks)}" if len(tasks) > 1 else tasks[0].name
    return Column(title, f"{tasks[0].kind}: {metric_text(tasks[0])}"), plain


def _tallies(rows: Sequence[Row]) -> list[tuple[Column, list[Entry]]]:
    helped, hurt, worst, best = (list[Entry]() for _ in range(4))
    for row in rows:
        known = {name: e for name, e in row.relative.items() if e.known}
        if row.is_reference or not known:
            for column in (helped, hurt, worst, best):
                column.append(Entry(DASH))
            continue
        for column, sign in ((helped, 1), (hurt, -1)):
            total = sum(sign * e.mean > 0 for e in known.values())
            clear = sum(e.clear_sign == sign for e in known.values())
            column.append(Entry(f"{total} ({clear})", value=total))
        for column, pick in ((worst, min), (best, max)):
            name = pick(known, key=lambda n: known[n].mean)
            column.append(Entry(f"{name} {fixed(known[name].mean, 1, True)}", value=known[name].mean))
    return [
        (Column("helped", "tasks (clearly)"), helped),
        (Column("hurt", "tasks (clearly)"), hurt),
        (Column("worst task", "%"), worst),
        (Column("best task", "%"), best),
    ]


def relative_grid(results: Results) -> Grid | None:
    """Improvement over the reference for each task (rows) and method (columns), in percent; None without reference."""
    rows = [row for row in headline_rows(results) if not row.is_reference]
    if results.reference is None or not rows:
        return None
    columns = [(Column("task", numeric=False), [Entry(t.name) for t in results.tasks])]
    for row in rows:
        columns.append((Column(row.label, "% ↑"), _entries([row.relative[t.name] for t in results.tasks], None, True)))
    return _assembled(f"Improvement over {results.method(results.reference).title}, in percent", columns)


def metrics_grid(results: Results) -> Grid | None:
    """The metrics beside the main ones; None when there are none."""
    rows = headline_rows(results)
    columns = _further(results, rows)
    return _assembled("Further metrics", [_names(rows), *columns]) if columns else None


def _further(results: Results, rows: Sequence[Row]) -> list[tuple[Column, list[Entry]]]:
    columns = []
    for task in results.tasks:
        for metric in task.metrics:
            if metric != task.metric:
                entries = _entries([row.others[task.name][metric] for row in rows], None)
                columns.append((Column(task.name, metric), entries))
    return columns


CLAIM_SIGNS = {SHOWN: "✓ ", NOT_SHOWN: "? ", REFUTED: "✗ "}
"""What stands before a claim's state, for those who do not see its colour."""
_CLAIM_MARKS = {SHOWN: "good", NOT_SHOWN: "", REFUTED: "bad"}


def claims_grid(results: Results) -> Grid:
    """A row for each claim: measured value, interval, bar, and whether the interval shows it."""
    columns = [Column("claim", numeric=False), Column("measured"), Column(_interval(results)), Column("bar")]
    rows = []
    for claim in results.claims:
        unit = f" {claim.unit}" if claim.unit else ""
        bar = {">=": "≥", "<=": "≤"}.get(claim.comparison, claim.comparison)
        value = DASH if claim.value is None else f"{claim.value:.4g}{unit}".replace("-", "−")
        ends = DASH if claim.interval is None else "{:.4g} to {:.4g}".format(*claim.interval).replace("-", "−")
        told = f"{claim.state}: {claim.doubt}" if claim.doubt else claim.state
        entries = (
            Entry(claim.statement),
            Entry(value),
            Entry(ends),
            Entry(f"{bar} {claim.bar:g}{unit}".replace("-", "−")),
        )
        rows.append((*entries, Entry(CLAIM_SIGNS[claim.state] + told, mark=_CLAIM_MARKS[claim.state])))
    return Grid("Claims", (*columns, Column("result", numeric=False)), tuple(rows))


def matrix_grid(matrix: Matrix) -> Grid:
    """A matrix as a table, a row for each of its rows."""
    corner = " \\ ".join(filter(None, (matrix.row_title, matrix.column_title)))
    columns = (Column(corner, numeric=False), *(Column(name, matrix.unit) for name in matrix.columns))
    places = _places(matrix)
    rows = [
        (Entry(name), *(Entry(DASH) if math.isnan(v) else Entry(fixed(v, places), value=v) for v in values))
        for name, values in zip(matrix.rows, matrix.values, strict=True)
    ]
    return Grid(matrix.title, columns, tuple(rows))


def _places(matrix: Matrix) -> int:
    """Decimals: three digits of the largest value."""
    largest = max((abs(v) for row in matrix.values for v in row if math.isfinite(v)), default=0.0)
    return max(0, 2 - math.floor(math.log10(largest))) if largest > 0 else 0
