"""The usual kinds of task. Each function gives a `Task`; missing labels are NaN (float) or negative (integer)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from umbel import losses
from umbel.arguments import instance, names, real_number, text, whole_number
from umbel.core import Batch, Task, UmbelError
from umbel.errors import shown
from umbel.metrics import AreaUnderROC, AveragePrecision, MeanAngularError, PicturePSNR, PictureSSIM
from umbel.metrics.yes_no import YesNoF1

__all__ = [
    "boundaries",
    "classification",
    "dense_regression",
    "multilabel",
    "picture",
    "reconstruction",
    "regression",
    "segmentation",
    "surface_normals",
]


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)


def _sigmoid(logits: Tensor) -> Tensor:
    return logits.float().sigmoid()


def _labels(labels: Sequence[str] | int, least: int, name: str) -> tuple[str, ...]:
    """The labels; for a number "0", "1" and so on."""
    what = f"task {name!r}: labels"
    if hasattr(labels, "__index__"):
        return tuple(map(str, range(whole_number(labels, what, least))))
    listed = tuple(labels) if isinstance(labels, str) else names(labels, what)
    if len(listed) < least:
        raise UmbelError(f"task {name!r}: {len(listed)} label(s); at least {least} are needed")
    return listed


def _numbers(value: object, what: str) -> Tensor:
    """A number, or several, in double precision."""
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UmbelError(f"{what} is {shown(value)}; give a number, or a tensor of numbers") from error


def _accuracy(classes: int) -> Callable[[], Any]:
    return partial(MulticlassAccuracy, num_classes=classes, average="micro", validate_args=False)


def classification(name: str, labels: Sequence[str] | int, class_weights: Tensor | None = None) -> Task:
    """One of several classes. Prediction: logits [B, C]. Target: int64 [B]; negative is missing.

    Metrics: accuracy, macro F1.

    Args:
        name: Name of the task.
        labels: Names of the C classes, of a text its letters; or C, and they are called "0", "1" and so on.
        class_weights: A factor w of the loss for each class [C], for unbalanced classes. The loss is torch's
            `F.cross_entropy(..., weight=w)`: Σ w_y l / Σ w_y over the labels, also of several processes together.

    Raises:
        UmbelError: Fewer than two classes, or weights that do not fit them or are negative, not finite or all 0.
    """
    text(name, "the name of a task")
    labels = _labels(labels, 2, name)
    if class_weights is not None:
        instance(class_weights, Tensor, f"task {name!r}: class_weights", "a tensor, a number for each class")
        if class_weights.shape != (len(labels),):
            raise UmbelError(
                f"task {name!r}: class_weights has shape {list(class_weights.shape)}; give one for each of the "
                f"{len(labels)} classes"
            )
        if not bool(class_weights.isfinite().all() and (class_weights >= 0).all() and (class_weights > 0).any()):
            raise UmbelError(f"task {name!r}: class_weights must be finite, 0 or more, and not all 0")
    return Task(
        name=name,
        outputs=len(labels),
        loss=partial(losses.cross_entropy, weight=class_weights) if class_weights is not None else losses.cross_entropy,
        metrics={
            "accuracy": _accuracy(len(labels)),
            "macro F1": partial(MulticlassF1Score, num_classes=len(labels), average="macro", validate_args=False),
        },
        higher_is_better=True,
        weigh=partial(_weights_of, class_weights=class_weights) if class_weights is not None else None,
        decode=_softmax,
        labels=labels,
        kind="classification",
    )


def _weights_of(classes: Tensor, class_weights: Tensor) -> Tensor:
    return class_weights.to(classes.device)[classes]


def multilabel(name: str, labels: Sequence[str] | int) -> Task:
    """Several yes/no answers. Prediction: logits [B, K]. Target: 0, 1 or NaN, float [B, K].

    Metrics: F1 at probability 0.5 over all answers together; area under the ROC curve and average precision, each the
    mean over the K labels (without those that have only one answer, or no yes) and "pooled", over all answers together.

    Args:
        name: Name of the task.
        labels: Names of the K answers; or K, and they are called "0", "1" and so on.

    Raises:
        UmbelError: No answer at all.
    """
    text(name, "the name of a task")
    labels = _labels(labels, 1, name)
    return Task(
        name=name,
        outputs=len(labels),
        loss=losses.bernoulli,
        metrics={
            "F1": YesNoF1,
            "AUROC": AreaUnderROC,
            "average precision": AveragePrecision,
            "pooled AUROC": partial(AreaUnderROC, pooled=True),
            "pooled average precision": partial(AveragePrecision, pooled=True),
        },
        higher_is_better=True,
        decode=_sigmoid,
        labels=labels,
        kind="multilabel",
    )


def regression(
    name: str,
    outputs: int = 1,
    centre: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
    labels: Sequence[str] = (),
    unit: str = "",
) -> Task:
    """Real values. Prediction and target: float [B, K], the target in natural units; NaN is missing.

    The network predicts (target - centre) / scale; metrics are in natural units. Centre and scale are kept in double
    precision. A target of large numbers that differ little, as times and coordinates, must be float64: it is then
    centred in float64, and predictions in natural units are float64, too, where the centre is far from 0.
    Metrics: root mean squared error, mean absolute error.

    Args:
        name: Name of the task.
        outputs: K.
        centre: Mean of the training targets, a number or [K].
        scale: Their standard deviation, a number or [K].
        labels: Names of the K values.
        unit: For example "years".

    Raises:
        UmbelError: A scale that is not positive, or centre, scale or labels that do not fit K.
    """
    text(name, "the name of a task")
    instance(unit, str, f"task {name!r}: unit", 'a text, as "years"')
    outputs = whole_number(outputs, f"task {name!r}: outputs", least=1)
    centre, scale = _numbers(centre, f"task {name!r}: centre"), _numbers(scale, f"task {name!r}: scale")
    for what, values in (("centre", centre), ("scale", scale)):
        if values.ndim and values.numel() not in (1, outputs):
            raise UmbelError(f"task {name!r}: {what} holds {values.numel()} numbers for {outputs} output(s)")
    if not bool((scale > 0).all() and scale.isfinite().all() and centre.isfinite().all()):
        raise UmbelError(f"task {name!r}: the scale must be positive, and centre finite; is a target constant?")
    return Task(
        name=name,
        outputs=outputs,
        loss=partial(_standardised_error, centre=centre, scale=scale),
        metrics={"RMSE": partial(MeanSquaredError, squared=False), "MAE": MeanAbsoluteError},
        higher_is_better=False,
        decode=partial(_natural, centre=centre, scale=scale),
        labels=names(labels, f"task {name!r}: labels"),
        unit=unit,
        kind="regression",
    )


FAR = 100.0
"""A centre so many scales from 0 costs predictions in float32 two of their seven digits: they are float64 then."""


def _standardised_error(prediction: Tensor, target: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """The squared error in standard units. A target in double precision is centred in it; the loss is single."""
    error = losses.standardised_squared_error(prediction, target, centre, scale)
    return error if prediction.dtype == torch.float64 else error.float()


def _natural(prediction: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Natural units: float32, or float64 where the centre is so far from 0 that float32 would lose what was learnt."""
    far = bool((centre.abs() > FAR * scale).any())
    kind = torch.float64 if far else torch.float32
    return prediction.to(kind) * scale.to(prediction.device, kind) + centre.to(prediction.device, kind)


def segmentation(name: str, labels: Sequence[str] | int, class_weights: Tensor | None = None) -> Task:
    """A class for each pixel. Prediction: logits [B, C, H, W]. Target: int64 [B, H, W]; negative is void.

    Metrics: mean intersection over union, pixel accuracy.

    Args:
        name: Name of the task.
        labels: As for `classification`.
        class_weights: As for `classification`.

    Raises:
        UmbelError: As `classification`.
    """
    flat = classification(name, labels, class_weights)
    metrics: Mapping[str, Callable[[], Any]] = {
        "mIoU": partial(MulticlassJaccardIndex, num_classes=flat.outputs, average="macro", validate_args=False),
        "pixel accuracy": _accuracy(flat.outputs),
    }
    return replace(flat, metrics=metrics, output="map", kind="segmentation")


def boundaries(name: str) -> Task:
    """Whether a pixel lies on a boundary. Prediction: logits [B, 1, H, W]. Target: 0, 1 or NaN, float, same shape.

    Metrics: F1 at probability 0.5 without tolerance, area under the ROC curve, average precision.
    """
    metrics = {"F1": YesNoF1, "AUROC": AreaUnderROC, "average precision": AveragePrecision}
    return replace(multilabel(name, ("boundary",)), metrics=metrics, output="map", labels=(), kind="boundaries")


def dense_regression(name: str, centre: float = 0.0, scale: float = 1.0, unit: str = "", kind: str = "depth") -> Task:
    """A value for each pixel, as depth. Prediction and target: float [B, 1, H, W]; NaN is missing.

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


def _inputs(batch: Batch) -> Tensor:
    if not isinstance(batch.inputs, Tensor):
        raise UmbelError("a picture is its own target, and these inputs are several tensors; give the task a target")
    return batch.inputs


def _clamped(prediction: Tensor) -> Tensor:
    return prediction.float().clamp(0, 1)


def reconstruction(name: str, channels: int) -> Task:
    """The input picture itself, with values in 0 to 1. Prediction: [B, channels, H, W]; the target is the input.

    Metric: peak signal-to-noise ratio over all pixels of the set, in dB.

    Raises:
        UmbelError: No channel at all.
    """
    text(name, "the name of a task")
    channels = whole_number(channels, f"task {name!r}: channels", least=1)
    return Task(
        name=name,
        outputs=channels,
        loss=losses.squared_error,
        metrics={"PSNR": partial(PeakSignalNoiseRatio, data_range=1.0)},
        higher_is_better=True,
        output="map",
        target=_inputs,
        decode=_clamped,
        unit="dB",
        kind="reconstruction",
    )


def _whole(target: Tensor) -> Tensor:
    return ~torch.isnan(target).flatten(1).any(1)


def picture(name: str, channels: int, scale: float = 1.0) -> Task:
    """The input picture, judged as a whole, as in image communication. Prediction: [B, channels, H, W].

    Unlike `reconstruction`, whose elements are pixels, its elements are pictures: the loss is each picture's mean
    squared error, and metrics are means over pictures: peak signal-to-noise ratio in dB, structural similarity.

    Args:
        name: Name of the task.
        channels: Of the picture.
        scale: Factor of the loss. Squared errors of values in 0 to 1 are small beside a cross-entropy; 10 to 100
            makes their gradients comparable.

    Raises:
        UmbelError: No channel at all, or a scale that is not positive.
    """
    text(name, "the name of a task")
    channels = whole_number(channels, f"task {name!r}: channels", least=1)
    scale = real_number(scale, f"task {name!r}: scale")
    if not 0 < scale < math.inf:
        raise UmbelError(f"task {name!r}: scale is {scale}; it must be greater than 0")
    return Task(
        name=name,
        outputs=channels,
        loss=partial(losses.mean_squared_error_of_each, scale=scale),
        metrics={"PSNR": PicturePSNR, "SSIM": PictureSSIM},
        higher_is_better=True,
        output="picture",
        labelled=_whole,
        target=_inputs,
        decode=_clamped,
        unit="dB",
        kind="picture",
    )
