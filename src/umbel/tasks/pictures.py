"""The input picture itself, pixel by pixel or as a whole."""

import math
from functools import partial

import torch
from torch import Tensor
from torchmetrics.image import PeakSignalNoiseRatio

from umbel import losses
from umbel.arguments import real_number, text, whole_number
from umbel.core import Batch, Task, UmbelError
from umbel.metrics import PicturePSNR, PictureSSIM


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
