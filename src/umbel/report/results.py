"""What a study measured, as one file: `results.json`. Its form is described in docs/results-schema.md."""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy

import umbel
from umbel.core import Task, UmbelError, unknown
from umbel.report.files import write_atomically
from umbel.report.schema import Point, build, plain

SCHEMA = 1
FILE_NAME = "results.json"
_COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


def _frozen(record: Any) -> None:
    """Lists in a record's fields become tuples, so that records made by hand and records read are equal."""
    for entry in fields(record):
        if isinstance(value := getattr(record, entry.name), list):
            object.__setattr__(record, entry.name, tuple(value))


class _Record:
    def __post_init__(self) -> None:
        _frozen(self)


@dataclass(frozen=True)
class DataInfo(_Record):
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
class TaskInfo(_Record):
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
class MethodInfo(_Record):
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
class Run(_Record):
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
class Curve(_Record):
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
class Conflict(_Record):
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
class SampleSheet(_Record):
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
class Claim(_Record):
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


@dataclass(frozen=True)
class Results(_Record):
    """Everything that a study measured.

    Attributes:
        study: Its name on the command line.
        title: Its name for people.
        command: The exact command that made it.
        data: The data set.
        tasks: The tasks.
        methods: The arms, in the order of the tables.
        runs: One for each method, seed and operating point.
        reference: Key of the method (single-task networks) that delta-m compares with; None when there is none.
        settings: Resolved settings, nested.
        environment: See `umbel.report.environment`.
        curves: What was measured over training.
        conflicts: Agreement of gradients.
        samples: Pictures beside the file.
        claims: What the study set out to show, and whether it did.
        verdict: Plain sentences, the most important first.
        warnings: What a reader must know before trusting the numbers.
        version: Version of Umbel.
        created: Date and time in UTC, ISO 8601.
        schema: Version of this form.
    """

    study: str
    title: str
    command: str
    data: DataInfo
    tasks: tuple[TaskInfo, ...]
    methods: tuple[MethodInfo, ...]
    runs: tuple[Run, ...]
    reference: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    samples: tuple[SampleSheet, ...] = ()
    claims: tuple[Claim, ...] = ()
    verdict: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    version: str = umbel.__version__
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        super().__post_init__()
        for what, names in (("task", [t.name for t in self.tasks]), ("method", [m.key for m in self.methods])):
            if repeated := {name for name in names if names.count(name) > 1}:
                raise UmbelError(f"results of {self.study!r}: two {what}s are called {min(repeated)!r}")
        keys = {m.key for m in self.methods}
        named = [r.method for r in (*self.runs, *self.curves, *self.conflicts, *self.samples)]
        for key in [*named, *([self.reference] if self.reference is not None else [])]:
            if key not in keys:
                raise unknown("method", key, keys)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of all runs, in order."""
        return tuple(sorted({run.seed for run in self.runs}))

    def method(self, key: str) -> MethodInfo:
        """The method of that key.

        Raises:
            UmbelError: There is none.
        """
        for method in self.methods:
            if method.key == key:
                return method
        raise unknown("method", key, [m.key for m in self.methods])

    def to_json(self) -> str:
        """The whole as JSON text. Numbers that are not finite become "NaN", "Infinity" and "-Infinity"."""
        record = plain(self)
        ordered = {"schema": record.pop("schema"), **record}
        return json.dumps(ordered, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = FILE_NAME) -> "Results":
        """Read what `to_json` wrote.

        Args:
            text: The JSON.
            where: Name of the file, for errors.

        Raises:
            UmbelError: Not JSON, another version of the schema, or a key that is missing or of another type.
        """
        try:
            record = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UmbelError(f"{where} is not valid JSON ({error}); it is damaged, or not a results file") from error
        if not isinstance(record, dict) or "schema" not in record:
            raise UmbelError(f"{where}: schema is missing; this is not a results file of Umbel")
        if record["schema"] != SCHEMA:
            raise UmbelError(
                f"{where}: schema is {record['schema']!r}, this version reads {SCHEMA}; "
                "use the version of Umbel that wrote it, or run the study again"
            )
        try:
            return build(cls, record, f"{where}: ")
        except UmbelError as error:
            raise error if str(error).startswith(where) else UmbelError(f"{where}: {error}") from error

    def write(self, folder: Path | str) -> Path:
        """Write `results.json` into a folder, whole or not at all; returns its path."""
        return write_atomically(Path(folder) / FILE_NAME, self.to_json())

    @classmethod
    def read(cls, path: Path | str) -> "Results":
        """Read a results file, or the one in a folder.

        Raises:
            UmbelError: No such file, or it cannot be read as results.
        """
        path = Path(path)
        file = path / FILE_NAME if path.is_dir() else path
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UmbelError(f"no results at {file}; give a folder that `umbel run` made") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UmbelError(f"{file} cannot be read as text ({error}); is it a results file?") from error
        return cls.from_json(text, str(file))
