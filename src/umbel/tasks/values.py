"""Numbers and directions, for samples and for pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from umbel import losses
from umbel.arguments import instance, names, text, whole_number
from umbel.core import Task, UmbelError
from umbel.losses.standardising import moments, natural_units, standardised_error
from umbel.metrics import MeanAngularError
from umbel.tasks.arguments import numbers_of


def regression(
    name: str,
    outputs: int = 1,
    centre: Tensor | float | None = None,
    scale: Tensor | float | None = None,
    labels: Sequence[str] = (),
    unit: str = "",
) -> Task:
    """Real values. Prediction and target: float [B, K], the target in natural units; NaN is missing.

    The network predicts (target - centre) / scale; metrics are in natural units. Centre and scale are kept in double
    precision. A target of large numbers that differ little, as times and coordinates, must be float64: it is then
    centred in float64, and predictions in natural units are float64, too, where the centre is far from 0.
    Metrics: root mean squared error, mean absolute error.

    Centre and scale that are not given are the mean and standard deviation of each output's training targets, as soon
    as the task is in a `MultiTaskData`: its `tasks` have them, and learners are made of those. Before, they are 0 and
    1, and `fit` refuses targets that are far from that.

    Args:
        name: Name of the task.
        outputs: K.
        centre: Mean of the training targets, a number or [K]; None: that of the training split.
        scale: Their standard deviation, a number or [K]; None: that of the training split.
        labels: Names of the K values.
        unit: For example "years".

    Raises:
        UmbelError: A scale that is not positive, or centre, scale or labels that do not fit K.
    """
    text(name, "the name of a task")
    instance(unit, str, f"task {name!r}: unit", 'a text, as "years"')
    outputs = whole_number(outputs, f"task {name!r}: outputs", least=1)
    scales = {"centre": centre, "scale": scale}
    given = {what: numbers_of(value, f"task {name!r}: {what}") for what, value in scales.items() if value is not None}
    for what, values in given.items():
        if values.ndim and values.numel() not in (1, outputs):
            raise UmbelError(f"task {name!r}: {what} holds {values.numel()} numbers for {outputs} output(s)")
    known = {"centre": torch.tensor(0.0).double(), "scale": torch.tensor(1.0).double()} | given
    if not bool((known["scale"] > 0).all() and all(values.isfinite().all() for values in known.values())):
        raise UmbelError(f"task {name!r}: the scale must be positive, and centre finite; is a target constant?")
    return Task(
        name=name,
        outputs=outputs,
        loss=partial(standardised_error, **known),
        metrics={"RMSE": partial(MeanSquaredError, squared=False), "MAE": MeanAbsoluteError},
        higher_is_better=False,
        decode=partial(natural_units, **known),
        labels=names(labels, f"task {name!r}: labels"),
        unit=unit,
        kind="regression",
        from_training=partial(_standardised, given=given) if len(given) < len(scales) else None,
    )


def _standardised(task: Task, targets: Sequence[Tensor], given: Mapping[str, Tensor]) -> Task:
    """The task with the scales of the training targets, except for those that were given."""
    scales = {**moments(targets, task.outputs), **given}
    return replace(task, loss=partial(standardised_error, **scales), decode=partial(natural_units, **scales))


def dense_regression(
    name: str, centre: float | None = None, scale: float | None = None, unit: str = "", kind: str = "depth"
) -> Task:
    """A value for each pixel, as depth. Prediction and target: float [B, 1, H, W]; NaN is missing.

    Centre and scale are as for `regression`: those of the training split where they are not given.
    Metrics: root mean squared error, mean absolute error, in natural units.

    Raises:
        UmbelError: As `regression`.
    """
    text(kind, f"task {name!r}: kind")
    return replace(regression(name, 1, centre, scale, unit=unit), output="map", kind=kind)


def _unit_vectors(prediction: Tensor) -> Tensor:
    return torch.nn.functional.normalize(prediction.float(), dim=1)


def _has_direction(target: Tensor) -> Tensor:
    return ~torch.isnan(target).any(1)


def surface_normals(name: str) -> Task:
    """A direction for each pixel. Prediction and target: float [B, 3, H, W]; a pixel with any NaN is missing.

    Loss 1 - cosine; metric: mean angular error in degrees.
    """
    text(name, "the name of a task")
    return Task(
        name=name,
        outputs=3,
        loss=losses.angular,
        metrics={"mean angle": MeanAngularError},
        higher_is_better=False,
        output="map",
        labelled=_has_direction,
        decode=_unit_vectors,
        unit="°",
        kind="normals",
    )
