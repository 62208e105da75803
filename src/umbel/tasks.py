"""The usual kinds of task. Each function gives a `Task`; missing labels are NaN (float) or negative (integer)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from umbel import losses
from umbel.core import Task, UmbelError
from umbel.metrics import MeanAngularError, PicturePSNR, PictureSSIM


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)


def _sigmoid(logits: Tensor) -> Tensor:
    return logits.float().sigmoid()


def _need(labels: Sequence[str], least: int, name: str) -> tuple[str, ...]:
    if len(labels) < least:
        raise UmbelError(f"task {name!r}: {len(labels)} label(s); at least {least} are needed")
    return tuple(labels)


def classification(name: str, labels: Sequence[str], class_weights: Tensor | None = None) -> Task:
    """One of several classes. Prediction: logits [B, C]. Target: int64 [B]; negative is missing.

    Metrics: accuracy, macro F1.
    """
    labels = _need(labels, 2, name)
    many = {"num_classes": len(labels), "validate_args": False}
    return Task(
        name=name,
        outputs=len(labels),
        loss=partial(losses.cross_entropy, weight=class_weights) if class_weights is not None else losses.cross_entropy,
        metrics={
            "accuracy": partial(MulticlassAccuracy, average="micro", **many),
            "macro F1": partial(MulticlassF1Score, average="macro", **many),
        },
        higher_is_better=True,
        decode=_softmax,
        labels=labels,
        kind="classification",
    )


def multilabel(name: str, labels: Sequence[str]) -> Task:
    """Several yes/no answers. Prediction: logits [B, K]. Target: 0, 1 or NaN, float [B, K].

    Metrics over all answers together: F1 at probability 0.5, area under the ROC curve.
    """
    labels = _need(labels, 1, name)
    return Task(
        name=name,
        outputs=len(labels),
        loss=losses.bernoulli,
        metrics={"F1": _Rounded, "AUROC": _RoundedArea},
        higher_is_better=True,
        decode=_sigmoid,
        labels=labels,
        kind="multilabel",
    )


class _Rounded(BinaryF1Score):
    """F1 of flat probabilities against 0/1 targets that arrive as floats."""

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds, target.round().long())


class _RoundedArea(BinaryAUROC):
    """AUROC likewise, in 1,000 bins so that memory does not grow with the set."""

    def __init__(self) -> None:
        super().__init__(thresholds=1000, validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds, target.round().long())


def regression(
    name: str,
    outputs: int = 1,
    centre: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
    labels: Sequence[str] = (),
    unit: str = "",
) -> Task:
    """Real values. Prediction and target: float [B, K], the target in natural units; NaN is missing.

    The network predicts (target - centre) / scale; metrics are in natural units.
    Metrics: root mean squared error, mean absolute error.

    Args:
        name: Name of the task.
        outputs: K.
        centre: Mean of the training targets, a number or [K].
        scale: Their standard deviation, a number or [K].
        labels: Names of the K values.
        unit: For example "years".
    """
    centre, scale = torch.as_tensor(centre, dtype=torch.float32), torch.as_tensor(scale, dtype=torch.float32)
    if bool((scale <= 0).any()):
        raise UmbelError(f"task {name!r}: the scale must be positive; is a target constant?")
    return Task(
        name=name,
        outputs=outputs,
        loss=partial(losses.standardised_squared_error, centre=centre, scale=scale),
        metrics={"RMSE": partial(MeanSquaredError, squared=False), "MAE": MeanAbsoluteError},
        higher_is_better=False,
        decode=partial(_natural, centre=centre, scale=scale),
        labels=tuple(labels),
        unit=unit,
        kind="regression",
    )


def _natural(prediction: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    return prediction.float() * scale.to(prediction.device) + centre.to(prediction.device)


def segmentation(name: str, labels: Sequence[str], class_weights: Tensor | None = None) -> Task:
    """A class for each pixel. Prediction: logits [B, C, H, W]. Target: int64 [B, H, W]; negative is void.

    Metrics: mean intersection over union, pixel accuracy.
    """
    many = {"num_classes": len(labels), "validate_args": False}
    metrics = {
        "mIoU": partial(MulticlassJaccardIndex, average="macro", **many),
        "pixel accuracy": partial(MulticlassAccuracy, average="micro", **many),
    }
    flat = classification(name, labels, class_weights)
    return replace(flat, metrics=metrics, output="map", kind="segmentation")


def boundaries(name: str) -> Task:
    """Whether a pixel lies on a boundary. Prediction: logits [B, 1, H, W]. Target: 0, 1 or NaN, float, same shape.

    Metrics: F1 at probability 0.5 without tolerance, area under the ROC curve.
    """
    return replace(multilabel(name, ("boundary",)), output="map", labels=(), kind="boundaries")


def dense_regression(name: str, centre: float = 0.0, scale: float = 1.0, unit: str = "", kind: str = "depth") -> Task:
    """A value for each pixel, as depth. Prediction and target: float [B, 1, H, W]; NaN is missing.

    Metrics: root mean squared error, mean absolute error, in natural units.
    """
    return replace(regression(name, 1, centre, scale, unit=unit), output="map", kind=kind)


def _unit_vectors(prediction: Tensor) -> Tensor:
    return torch.nn.functional.normalize(prediction.float(), dim=1)


def _has_direction(target: Tensor) -> Tensor:
    return ~torch.isnan(target).any(1)


def surface_normals(name: str) -> Task:
    """A direction for each pixel. Prediction and target: float [B, 3, H, W]; a pixel with any NaN is missing.

    Loss 1 - cosine; metric: mean angular error in degrees.
    """
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


def _inputs(batch) -> Tensor:
    return batch.inputs


def _clamped(prediction: Tensor) -> Tensor:
    return prediction.float().clamp(0, 1)


def reconstruction(name: str, channels: int) -> Task:
    """The input picture itself, with values in 0 to 1. Prediction: [B, channels, H, W]; the target is the input.

    Metric: peak signal-to-noise ratio over all pixels of the set, in dB.
    """
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
    """
    if not scale > 0:
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
