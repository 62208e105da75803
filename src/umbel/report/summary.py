"""What the tables and figures show, computed from the runs and stored nowhere."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from umbel.core import UmbelError
from umbel.metrics import confidence_interval, mean_relative_improvement, relative_improvement
from umbel.report.records import MethodInfo, Run, TaskInfo
from umbel.report.results import Results
from umbel.report.schema import plain


@dataclass(frozen=True)
class Estimate:
    """A mean over repetitions.

    Attributes:
        mean: NaN when nothing was measured.
        half_width: Of the 95 % confidence interval; NaN with fewer than two.
        count: Number of repetitions.
    """

    mean: float = math.nan
    half_width: float = math.nan
    count: int = 0

    @classmethod
    def of(cls, values: Iterable[float], test_to_train: float = 0.0) -> "Estimate":
        """The estimate from one value per repetition; values that are not finite make it "not measured".

        Args:
            values: One for each repetition.
            test_to_train: Of folds; see `umbel.metrics.confidence_interval`.
        """
        values = [float(value) for value in values]
        if not values or not all(math.isfinite(v) for v in values):
            return cls(count=len(values))
        return cls(*confidence_interval(values, test_to_train), len(values))

    @property
    def known(self) -> bool:
        """Whether there is a mean."""
        return not math.isnan(self.mean)

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.half_width)

    @property
    def clear_sign(self) -> int:
        """1 or -1 when the whole interval is above or below zero, otherwise 0."""
        if not (self.known and self.has_interval) or abs(self.mean) <= self.half_width:
            return 0
        return 1 if self.mean > 0 else -1

    def text(self, unit: str = "", places: int = 1, signed: bool = True, unknown: str = "an unknown amount") -> str:
        """In words, with the interval where there is one: "+1.2 ± 0.4 points".

        Args:
            unit: Behind the number.
            places: Decimals.
            signed: Whether a plus sign stands before positive numbers, as for differences.
            unknown: What to say when nothing was measured.
        """
        if not self.known:
            return unknown
        interval = f" ± {self.half_width:.{places}f}" if self.has_interval else ""
        return f"{self.mean:{'+' if signed else ''}.{places}f}{interval}{' ' if unit else ''}{unit}"


@dataclass(frozen=True)
class Row:
    """One method at one operating point.

    Attributes:
        method: The method.
        point: The operating point.
        metrics: Task -> main metric.
        others: Task -> metric -> value, for the metrics that are not the main one.
        relative: Task -> improvement over the reference in percent, positive is better; empty without reference.
        delta_m: Mean of these over the tasks, per repeat and then over repeats; unknown without reference.
        milliseconds_per_step: Time of a step of training.
        is_reference: Whether this is the method that the others are compared with.
    """

    method: MethodInfo
    point: dict[str, Any]
    metrics: dict[str, Estimate]
    others: dict[str, dict[str, Estimate]]
    relative: dict[str, Estimate]
    delta_m: Estimate
    milliseconds_per_step: Estimate
    is_reference: bool

    @property
    def label(self) -> str:
        """Name of the method, with the operating point where there is one."""
        return f"{self.method.title} ({point_text(self.point)})" if self.point else self.method.title


def point_text(point: Mapping[str, Any]) -> str:
    """An operating point in words: "snr_db 7, width 0.5"; empty for the point without values."""
    return ", ".join(f"{name} {_value_text(value)}" for name, value in point.items())


def _value_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{n} {_value_text(v)}" for n, v in value.items()) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def point_key(point: Mapping[str, Any]) -> str:
    """A text that is equal for equal operating points, in whatever order their values were named."""
    return json.dumps(plain(point), sort_keys=True)


def summary(results: Results) -> list[Row]:
    """One row for each method and operating point that was run, in the order of the methods.

    delta-m compares each run with the reference of the same repeat at the same operating point; a reference that
    was run at a single point serves all. A repeat without its reference is left out of delta-m, and delta-m is
    unknown when a task's metric is not finite or its reference is 0.
    """
    return _rows(results, lambda point: True)


def headline_rows(results: Results) -> list[Row]:
    """The rows of `summary` that the main table shows."""
    return _rows(results, results.in_headline)


def _rows(results: Results, wanted: Callable[[dict[str, Any]], bool]) -> list[Row]:
    runs_at: dict[tuple[str, str], list[Run]] = {}
    keys: dict[str, dict[str, Any]] = {}
    for run in results.runs:
        key = point_key(run.point)
        keys.setdefault(key, run.point)
        runs_at.setdefault((run.method, key), []).append(run)
    references = _references(results)
    return [
        _row(results, method, point, runs_at[method.key, key], references)
        for method in results.methods
        for key, point in keys.items()
        if (method.key, key) in runs_at and wanted(point)
    ]


def _references(results: Results) -> dict[int, dict[str, Run]]:
    """Repeat -> operating point -> run of the reference."""
    references: dict[int, dict[str, Run]] = {}
    for run in results.runs:
        if run.method == results.reference:
            references.setdefault(run.repeat, {}).setdefault(point_key(run.point), run)
    return references


def _row(
    results: Results,
    method: MethodInfo,
    point: dict[str, Any],
    runs: Sequence[Run],
    references: dict[int, dict[str, Run]],
) -> Row:
    pairs = [(run, reference) for run in runs if (reference := _reference(references, run)) is not None]
    has_reference, ratio = results.reference is not None, results.test_to_train
    return Row(
        method=method,
        point=point,
        metrics={t.name: _metric(runs, t.name, t.metric, ratio) for t in results.tasks},
        others={
            t.name: {m: _metric(runs, t.name, m, ratio) for m in (t.metrics or [t.metric]) if m != t.metric}
            for t in results.tasks
        },
        relative={t.name: Estimate.of((_relative(t, r, s) for r, s in pairs), ratio) for t in results.tasks}
        if has_reference
        else {},
        delta_m=Estimate.of((delta_m(results.tasks, r, s) for r, s in pairs), ratio),
        milliseconds_per_step=Estimate.of(1000 * s for s in method.seconds_per_step),
        is_reference=method.key == results.reference,
    )


def _metric(runs: Sequence[Run], task: str, metric: str, ratio: float) -> Estimate:
    """Over the runs that have this task; a task that a method does not serve is not measured."""
    return Estimate.of((r.metrics[task][metric] for r in runs if metric in r.metrics.get(task, {})), ratio)


def _reference(references: Mapping[int, Mapping[str, Run]], run: Run) -> Run | None:
    """The reference's run of that repeat at that point; one that was run at a single point serves all."""
    candidates = references.get(run.repeat, {})
    alone = next(iter(candidates.values())) if len(candidates) == 1 else None
    return candidates.get(point_key(run.point), alone)


def _value(run: Run, task: TaskInfo, split: str = "test") -> float:
    metrics = run.validation if split == "validation" else run.metrics
    return float(metrics.get(task.name, {}).get(task.metric, math.nan))


def _relative(task: TaskInfo, run: Run, reference: Run) -> float:
    try:
        return relative_improvement(_value(run, task), _value(reference, task), task.higher_is_better)
    except UmbelError:  # a reference of 0
        return math.nan


def delta_m(tasks: Sequence[TaskInfo], run: Run, reference: Run, split: str = "test") -> float:
    """delta-m of one run in percent, positive is better; NaN when a task was not measured or its reference is 0.

    Source: `umbel.metrics.mean_relative_improvement`.

    Args:
        tasks: The tasks to average over.
        run: The run to judge.
        reference: The single-task run of the same repeat.
        split: "test" or "validation".
    """
    values, references = ({t.name: _value(r, t, split) for t in tasks} for r in (run, reference))
    try:
        return mean_relative_improvement(values, references, {t.name: t.higher_is_better for t in tasks})
    except UmbelError:
        return math.nan
