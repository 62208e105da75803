"""Predictions that are not pictures, in words: right, wrong, or nothing to compare with."""

from dataclasses import dataclass
from typing import Any

import numpy

from umbel.core import Task

_COLOURS = {"✓": "#00663f", "✗": "#a3260a", "·": "#3b4148", "–": "#6b727b"}


@dataclass(frozen=True)
class Caption:
    """What is said of one task and sample.

    Attributes:
        mark: "✓" right, "✗" wrong, "·" a number (neither), "–" no label.
        text: For example "left digit: 3, target 7".
    """

    mark: str
    text: str

    @property
    def colour(self) -> str:
        """A colour that goes with the mark."""
        return _COLOURS[self.mark]

    @property
    def line(self) -> str:
        """Mark and text."""
        return f"{self.mark} {self.text}"


def caption(task: Task, target: numpy.ndarray | None, prediction: numpy.ndarray) -> Caption:
    """The prediction of one sample beside its target.

    Args:
        task: The task.
        target: Scalar, [1] or [K]; NaN, or negative in whole numbers, is missing. None when there is no label.
        prediction: In natural units (class probabilities for a classification), [K].
    """
    prediction = numpy.atleast_1d(prediction)
    if task.kind == "liveness":
        return _live(task, target, prediction)
    whole = target is not None and numpy.issubdtype(target.dtype, numpy.integer)
    if task.kind == "classification" or (whole and task.kind != "multilabel" and prediction.size > 1):
        return _class(task, target, prediction)
    if task.kind == "multilabel":
        return _answers(task, target, prediction)
    return _values(task, target, prediction)


def _label(task: Task, index: int) -> str:
    return task.labels[index] if index < len(task.labels) else str(index)


def _class(task: Task, target: Any, prediction: numpy.ndarray) -> Caption:
    guess = int(prediction.argmax())
    told = f"{task.name}: {_label(task, guess)}"
    if target is None or not (number := float(numpy.ravel(target)[0])) >= 0:
        return Caption("–", f"{told}, no label")
    wanted = int(number)
    return Caption("✓", told) if guess == wanted else Caption("✗", f"{told}, target {_label(task, wanted)}")


def _live(task: Task, target: Any, prediction: numpy.ndarray) -> Caption:
    live = bool(prediction[0] >= 0.5)
    told = f"{task.name}: {'' if live else 'attack, '}{task.labels[0]} {_numbers(prediction)}"
    if target is None or not (number := float(numpy.ravel(target)[0])) >= 0:
        return Caption("–", f"{told}, no label")
    wanted = int(number)
    said = f", target {_label(task, wanted)}" if wanted or not live else ""
    return Caption("✓" if live == (wanted == 0) else "✗", told + said)


def _answers(task: Task, target: Any, prediction: numpy.ndarray) -> Caption:
    said = prediction >= 0.5
    known = numpy.zeros(said.shape, bool) if target is None else numpy.atleast_1d(target) >= 0
    told = f"{task.name}: {_names(task, said)}"
    if not known.any():
        return Caption("–", f"{told}, no label")
    wanted = numpy.atleast_1d(target) >= 0.5
    if (said == wanted)[known].all():
        return Caption("✓", told)
    return Caption("✗", f"{told}, target {_names(task, wanted & known)}")


def _names(task: Task, chosen: numpy.ndarray) -> str:
    return " + ".join(_label(task, int(i)) for i in numpy.flatnonzero(chosen)) or "none"


def _values(task: Task, target: Any, prediction: numpy.ndarray) -> Caption:
    unit = f" {task.unit}" if task.unit else ""
    told = f"{task.name}: {_numbers(prediction)}{unit}"
    wanted = None if target is None else numpy.atleast_1d(target).astype(float)
    if wanted is None or numpy.isnan(wanted).all():
        return Caption("–", f"{told}, no label")
    return Caption("·", f"{told}, target {_numbers(wanted)}")


def _numbers(values: numpy.ndarray) -> str:
    shown = ["–" if numpy.isnan(v) else f"{v:.3g}".replace("-", "−") for v in values.ravel()[:4]]
    return ", ".join(shown) + (", …" if values.size > 4 else "")
