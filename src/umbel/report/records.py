"""The parts of a results file: tasks, methods, runs, curves, matrices, pictures; claims are in `report.claims`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy

from umbel.core import Task, UmbelError, unknown
from umbel.report.schema import Point


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
        seconds_per_step: Time of one step of everything it needs, for each repeat.
        costs: Further costs by name, with the unit in the name: "multiply-accumulates", "peak bytes of a step".
    """

    key: str
    title: str
    description: str = ""
    parameters: int = 0
    seconds_per_step: tuple[float, ...] = ()
    costs: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run(Record):
    """The test of one trained model at one operating point.

    Attributes:
        method: Key of its method.
        repeat: Number of the repetition: its seed, or its fold.
        metrics: Task -> metric -> value on the test split.
        point: The operating point, as plain values.
        validation: The same on the validation split, at the checkpoint that was chosen.
        steps: Steps of training.
        seconds: Time of training.
        best_step: Step of the chosen checkpoint; None when the last was taken.
        settings: What was tuned on the validation split for this run (as fixed weights).
    """

    method: str
    repeat: int
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
        repeat: Number of the repetition.
        name: "loss", the name of a metric, or "cosine" (of the gradients of `task` and `other`).
        steps: When.
        values: What; NaN is a gap.
        split: "train" or "validation".
        task: Name of the task; empty for something of all tasks (as delta-m).
        other: The second task of a pair; empty otherwise.
    """

    method: str
    repeat: int
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
    """How the gradients of two tasks agreed over training, all repeats together.

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
        low, middle, high = (float(q) for q in numpy.quantile(values, (0.25, 0.5, 0.75)))
        return cls(method, first, second, float(values.mean()), float((values < 0).mean()), (low, middle, high))


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
class Matrix(Record):
    """Numbers between named things, drawn as a heat map: who helps whom, who can tell what from whose features.

    Attributes:
        title: Heading.
        rows: Names of the rows.
        columns: Names of the columns.
        values: For each row a number for each column; NaN is a blank cell.
        row_title: What the rows are.
        column_title: What the columns are.
        unit: Of the values; may be empty.
        note: What a reader must know to judge it, shown under the picture.
        section: Matrices and charts of one section stand together.
        centre: The value that is neither good nor bad and drawn without colour; None colours from low to high.

    Raises:
        UmbelError: Rows and columns do not fit the values.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    row_title: str = ""
    column_title: str = ""
    unit: str = ""
    note: str = ""
    section: str = ""
    centre: float | None = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "values", tuple(tuple(map(float, row)) for row in self.values))
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            shape = f"{len(self.rows)} names of rows and {len(self.columns)} of columns"
            raise UmbelError(f"matrix {self.title!r}: {shape} do not fit the values")


@dataclass(frozen=True)
class Profile(Record):
    """Several numbers side by side along one thing, of one method: reliability bins, times asked for and got.

    Attributes:
        method: Key of the method.
        name: What it is, as "reliability of round 1".
        columns: Name -> values, all of one length.
        repeat: Number of the repetition; None: all repetitions together.
        point: The operating point, as plain values.

    Raises:
        UmbelError: The columns have different lengths.
    """

    method: str
    name: str
    columns: dict[str, tuple[float, ...]]
    repeat: int | None = None
    point: Point = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = {name: tuple(map(float, values)) for name, values in self.columns.items()}
        object.__setattr__(self, "columns", plain)
        if len({len(values) for values in plain.values()}) > 1:
            raise UmbelError(f"profile {self.name!r}: its columns have different lengths")


@dataclass(frozen=True)
class Listing(Record):
    """A table of a study's own, for what is no metric of a method: who can tell what from whose features.

    Attributes:
        title: Heading.
        columns: Headings; the first column names the row.
        rows: For each row a text for each column.
        numbers: Headings of the columns whose texts begin with a number, by which they are sorted.
        note: What a reader must know to judge it, shown above the table.

    Raises:
        UmbelError: A row does not have a text for each column, or `numbers` names no column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rows", tuple(map(tuple, self.rows)))
        if any(len(row) != len(self.columns) for row in self.rows):
            raise UmbelError(f"listing {self.title!r}: every row needs {len(self.columns)} texts, one for each column")
        if unlisted := set(self.numbers) - set(self.columns):
            raise unknown(f"column of listing {self.title!r}", min(unlisted), self.columns)

    def without(self, columns: Sequence[str]) -> "Listing":
        """The same without some columns; those that it does not have are no matter."""
        kept = [index for index, name in enumerate(self.columns) if name not in columns]
        rows = tuple(tuple(row[index] for index in kept) for row in self.rows)
        numbers = tuple(name for name in self.numbers if name not in columns)
        return replace(self, columns=tuple(self.columns[index] for index in kept), rows=rows, numbers=numbers)
