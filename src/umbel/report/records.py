"""The parts of a results file: tasks, methods, runs, curves, conflicts, pictures and claims."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy

from umbel.core import Task, UmbelError, unknown
from umbel.report.schema import Point

_COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


def _frozen(record: Any) -> None:
    """Lists in a record's fields become tuples, so that records made by hand and records read are equal."""
    for entry in fields(record):
        if isinstance(value := getattr(record, entry.name), list):
            object.__setattr__(record, entry.name, tuple(value))


class Record:
    """A part of the results; lists given to it become tuples."""

    def __post_init__(self) -> None:
        _frozen(self)


@dataclass(frozen=True)
class DataInfo(Record):
    """The data set of a study.

    Attributes:
        name: Name on the command line.
        title: Name for people.
        note: Where it comes from and what was done to it.
        sizes: Split -> number of samples.
    """

    name: str
    title: str = ""
    note: str = ""
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskInfo(Record):
    """A task as reports need it.

    Attributes:
        name: Unique within the study.
        kind: "classification", "depth", ...
        metric: The main metric, by which the task is judged.
        higher_is_better: Direction of the main metric.
        unit: Unit of the main metric; may be empty.
        labels: Names of the classes or outputs.
        metrics: Names of all metrics, the main one first.
    """

    name: str
    kind: str
    metric: str
    higher_is_better: bool
    unit: str = ""
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @classmethod
    def of(cls, task: Task) -> "TaskInfo":
        """The description of a task."""
        names = tuple(task.metrics)
        return cls(task.name, task.kind, names[0], task.higher_is_better, task.unit, tuple(task.labels), names)


@dataclass(frozen=True)
class MethodInfo(Record):
    """One arm of a study: a way to train.

    Attributes:
        key: Unique within the study.
        title: Name in tables.
        description: One sentence on what it does.
        parameters: Trainable parameters of everything this arm needs to serve all tasks (for single-task
            references: all networks together).
        seconds_per_step: One per seed.
    """

    key: str
    title: str
    description: str = ""
    parameters: int = 0
    seconds_per_step: tuple[float, ...] = ()


@dataclass(frozen=True)
class Run(Record):
    """The test of one trained model at one operating point.

    Attributes:
        method: Key of its method.
        seed: Seed of the repetition.
        metrics: Task -> metric -> value on the test split.
        point: The operating point, as plain values.
        validation: The same on the validation split, at the checkpoint that was chosen.
        steps: Steps of training.
        seconds: Time of training.
        best_step: Step of the chosen checkpoint; None when the last was taken.
        settings: What was tuned on the validation split for this run (as fixed weights).
    """

    method: str
    seed: int
    metrics: dict[str, dict[str, float]]
    point: Point = field(default_factory=dict)
    validation: dict[str, dict[str, float]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve(Record):
    """Something measured over training.

    Attributes:
        method: Key of the method.
        seed: Seed of the repetition.
        name: "loss", the name of a metric, or "cosine" (of the gradients of `task` and `other`).
        steps: When.
        values: What; NaN is a gap.
        split: "train" or "validation".
        task: Name of the task; empty for something of all tasks (as delta-m).
        other: The second task of a pair; empty otherwise.
    """

    method: str
    seed: int
    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    split: str = "train"
    task: str = ""
    other: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.steps) != len(self.values):
            raise UmbelError(f"curve {self.name!r}: {len(self.steps)} steps but {len(self.values)} values")


@dataclass(frozen=True)
class Conflict(Record):
    """How the gradients of two tasks agreed over training, all seeds together.

    Attributes:
        method: Key of the method.
        first: A task.
        second: Another.
        mean: Mean cosine between their gradients of the shared parameters.
        fraction_negative: Part of the measurements with a negative cosine, 0 to 1.
        quartiles: 25 %, 50 % and 75 % point of the cosine.
    """

    method: str
    first: str
    second: str
    mean: float
    fraction_negative: float
    quartiles: tuple[float, float, float]

    @classmethod
    def of(cls, method: str, first: str, second: str, cosines: Sequence[float]) -> "Conflict":
        """The statistics of measured cosines; those that are NaN (a task without labels in the batch) are left out.

        Raises:
            UmbelError: No cosine is left.
        """
        values = numpy.asarray(list(cosines), dtype=float)
        values = values[~numpy.isnan(values)]
        if not values.size:
            raise UmbelError(f"method {method!r}: no gradient cosine of {first!r} and {second!r} was measured")
        quartiles = tuple(float(q) for q in numpy.quantile(values, (0.25, 0.5, 0.75)))
        return cls(method, first, second, float(values.mean()), float((values < 0).mean()), quartiles)


@dataclass(frozen=True)
class SampleSheet(Record):
    """A picture of samples, stored beside `results.json`.

    Attributes:
        method: Key of the method whose predictions it shows.
        file: Its path relative to the folder of `results.json`.
        title: Heading; may be empty.
        alt: What it shows, for those who cannot see it.
    """

    method: str
    file: str
    title: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Claim(Record):
    """A statement that the study tests.

    Attributes:
        name: Short name.
        statement: What is claimed, in words.
        bar: What the value is compared with.
        comparison: ">=", ">", "<=" or "<".
        value: What was measured; None when it could not be.
        interval: Its 95 % confidence interval; None when there is none (one seed).
        holds: Whether value and bar compare so; None when not measured.
        reason: Why it could not be measured.
        unit: Unit of value and bar.
    """

    name: str
    statement: str
    bar: float
    comparison: str = ">="
    value: float | None = None
    interval: tuple[float, float] | None = None
    holds: bool | None = None
    reason: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.comparison not in _COMPARISONS:
            raise unknown("comparison", self.comparison, _COMPARISONS)

    @classmethod
    def measured(
        cls,
        name: str,
        statement: str,
        value: float,
        bar: float,
        comparison: str = ">=",
        half_width: float | None = None,
        unit: str = "",
    ) -> "Claim":
        """A claim with its value; whether it holds follows from value, comparison and bar.

        Args:
            name: Short name.
            statement: What is claimed.
            value: What was measured. NaN makes the claim one that was not measured.
            bar: What it is compared with.
            comparison: ">=", ">", "<=" or "<".
            half_width: Of the 95 % confidence interval; None or NaN when there is none.
            unit: Unit of value and bar.
        """
        if comparison not in _COMPARISONS:
            raise unknown("comparison", comparison, _COMPARISONS)
        if numpy.isnan(value):
            return cls.not_measured(name, statement, bar, "the measured value is not a number", comparison, unit)
        known = half_width is not None and not numpy.isnan(half_width)
        interval = (float(value - half_width), float(value + half_width)) if known else None
        holds = bool(_COMPARISONS[comparison](value, bar))
        return cls(name, statement, float(bar), comparison, float(value), interval, holds, "", unit)

    @classmethod
    def not_measured(
        cls, name: str, statement: str, bar: float, reason: str, comparison: str = ">=", unit: str = ""
    ) -> "Claim":
        """A claim that could not be tested, and why."""
        return cls(name, statement, float(bar), comparison, reason=reason, unit=unit)

    @property
    def certain(self) -> bool:
        """Whether the whole interval lies on the same side of the bar as the value."""
        if self.interval is None or self.value is None:
            return False
        compare = _COMPARISONS[self.comparison]
        return compare(self.interval[0], self.bar) == compare(self.interval[1], self.bar)
