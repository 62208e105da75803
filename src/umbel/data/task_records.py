"""Tasks as plain values: what a run must know of them to predict without its data set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from umbel import tasks
from umbel.core import Task
from umbel.errors import UmbelError
from umbel.losses.standardising import natural_units
from umbel.tasks.liveness import calibrated_probability

_KINDS = {
    "classification": "probabilities of classes",
    "segmentation": "probabilities of classes",
    "multilabel": "probabilities",
    "boundaries": "probabilities",
    "liveness": "probabilities",
    "proxy map": "values from 0",
    "normals": "directions",
    "reconstruction": "pictures",
    "picture": "pictures",
    "detection": "boxes",
}

_LISTS = {"labels": str, "centre": float, "scale": float}
_PARTS = {"name": str, "kind": str, "answers": str, "outputs": int, "output": str, "unit": str, **_LISTS}


@dataclass(frozen=True)
class TaskRecord:
    """What of a task is needed to build its head and to read its predictions.

    Attributes:
        name: Of the task.
        kind: As the task has it.
        answers: What decoded predictions are: "probabilities of classes", "probabilities", "values" (raw ones are
            (value - centre) / scale), "values from 0" (raw ones below 0 are 0), "directions", "pictures" or "boxes";
            "code" of a task that was made by hand, whose parts no file holds.
        outputs: Size of the prediction.
        output: "vector", "map", "picture" or "boxes".
        labels: Names of the classes or outputs. A liveness has more of them than outputs: its one output is the first,
            "live"; the others are the types of attack.
        unit: Of the values.
        centre: Of the values, one number for all outputs or one each; empty where raw predictions have no centre.
        scale: Likewise.
    """

    name: str
    kind: str
    answers: str
    outputs: int
    output: str = "vector"
    labels: tuple[str, ...] = ()
    unit: str = ""
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def of(cls, task: Task) -> "TaskRecord":
        """The record of a task."""
        decode, answers, centre, scale = task.decode, "code", (), ()
        if isinstance(decode, partial) and decode.func is natural_units:
            answers = "values"
            centre, scale = (_listed(decode.keywords[part]) for part in ("centre", "scale"))
        elif isinstance(decode, partial) and decode.func is calibrated_probability:
            answers = _KINDS["liveness"]
        elif task.kind in _KINDS and decode is _model(task).decode:
            answers = _KINDS[task.kind]
        return cls(
            task.name, task.kind, answers, task.outputs, task.output, tuple(task.labels), task.unit, centre, scale
        )

    @property
    def output_labels(self) -> tuple[str, ...]:
        """The name of each output: its label, or its number where there are no labels."""
        return self.labels[: self.outputs] or tuple(map(str, range(self.outputs)))

    @classmethod
    def read(cls, given: Mapping[str, Any], where: str) -> "TaskRecord":
        """The record that `dataclasses.asdict` and JSON made plain.

        Raises:
            UmbelError: It is damaged.
        """
        try:
            record = cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
            _check_types(record)
            if record.answers != "code":
                record.task()
        except (TypeError, ValueError, KeyError, AttributeError, UmbelError) as error:
            raise UmbelError(f"{where}: its record of a task is damaged ({error})") from None
        return record

    def task(self) -> Task:
        """A task with the same head and predictions; its metrics and loss are those that its kind usually has.

        Raises:
            UmbelError: It was made by hand.
        """
        if self.answers == "code":
            raise UmbelError(f"task {self.name!r} was made by hand, which no file holds; build its network in Python")
        if self.answers == "values":
            centre, scale = (torch.tensor(part, dtype=torch.float64) for part in (self.centre, self.scale))
            made = tasks.regression(self.name, self.outputs, centre, scale)
        else:
            made = _model(self)
        return replace(
            made, outputs=self.outputs, output=self.output, kind=self.kind, labels=self.labels, unit=self.unit
        )


def _check_types(record: TaskRecord) -> None:
    """Refuse what JSON may hold and a record may not.

    Raises:
        TypeError: Names the part.
    """
    for part, kind in _PARTS.items():
        value = getattr(record, part)
        values = value if part in _LISTS else (value,)
        if not isinstance(values, tuple) or not all(isinstance(one, kind) for one in values):
            raise TypeError(f"{part} is {value!r}")


def _listed(numbers: torch.Tensor) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers.reshape(-1))


def _model(of: Task | TaskRecord) -> Task:
    """A task of that kind from `umbel.tasks`."""
    name, count = of.name, of.outputs
    makers = {
        "classification": lambda: tasks.classification(name, count),
        "segmentation": lambda: tasks.segmentation(name, count),
        "multilabel": lambda: tasks.multilabel(name, count),
        "boundaries": lambda: tasks.boundaries(name),
        "liveness": lambda: tasks.liveness(name, of.labels[1:]),
        "proxy map": lambda: tasks.proxy_map(name),
        "normals": lambda: tasks.surface_normals(name),
        "reconstruction": lambda: tasks.reconstruction(name, count),
        "picture": lambda: tasks.picture(name, count),
        "detection": lambda: tasks.boxes(name, count),
    }
    return makers[of.kind]()
