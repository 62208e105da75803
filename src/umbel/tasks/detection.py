"""Objects in a picture: boxes with a class each."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.arguments import text
from umbel.core import Task
from umbel.metrics import BoxPrecision, BoxPrecision50
from umbel.tasks.arguments import labels_of


def boxes(name: str, labels: Sequence[str] | int) -> Task:
    """Objects in a picture, each a box with a class. Metrics: mAP50 and mAP (IoU .5 to .95), as COCO has them.

    Target: float32 [B, N, 5], each row x1, y1, x2, y2 in pixels of the picture as it is in the batch (x to the right,
    y down, x2 > x1, y2 > y1) and the class, 0 to K - 1; background is no class. A row of -1 is no further box, so a
    picture without objects has nothing but such rows. A picture that nobody labelled is NaN throughout. N is at least
    1.

    Prediction: float32 [B, D, 6], each row x1, y1, x2, y2, score and class, the best score first; rows of -1 are
    nothing. It is what a detector says after it has dropped all but the best of boxes that overlap.

    A detector's own losses need its anchors (`nn.detection.Detector.detection_losses`), so the loss of the task is for
    validation only: what is missed, 1 minus the mean over true boxes of the greatest score * IoU of a detection of the
    same class (0 in a picture without objects).

    Args:
        name: Name of the task.
        labels: Names of the K classes, or their number.

    Raises:
        UmbelError: No class at all.
    """
    text(name, "the name of a task")
    named = labels_of(labels, 1, name)
    return Task(
        name=name,
        outputs=len(named),
        loss=missed,
        metrics={"mAP50": BoxPrecision50, "mAP": BoxPrecision},
        higher_is_better=True,
        output="boxes",
        labelled=_whole,
        padding=-1.0,
        labels=named,
        kind="detection",
    )


def missed(prediction: Tensor, target: Tensor) -> Tensor:
    """1 minus the mean over true boxes of the greatest score * IoU of a detection of the same class: [B].

    Args:
        prediction: [B, D, 6]; rows of -1 or NaN are no detection.
        target: [B, N, 5]; rows of -1 are no box. A picture without any misses nothing: 0.
    """
    prediction, target = prediction.float(), target.float()
    real = target[..., 4] >= 0
    alike = (prediction[:, None, :, 5] == target[..., None, 4]) & (prediction[:, None, :, 4] >= 0)
    low = torch.maximum(prediction[:, None, :, :2], target[:, :, None, :2])
    high = torch.minimum(prediction[:, None, :, 2:4], target[:, :, None, 2:4])
    shared = (high - low).clamp(min=0).prod(-1)
    area = _area(prediction)[:, None, :] + _area(target)[..., None] - shared
    met = torch.where(alike, prediction[:, None, :, 4] * shared / area.clamp(min=1e-9), 0).amax(-1)
    count = real.sum(1)
    return torch.where(count > 0, 1 - torch.where(real, met, 0).sum(1) / count.clamp(min=1), 0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:4] - boxes[..., :2]).clamp(min=0).prod(-1)


def _whole(target: Tensor) -> Tensor:
    """Which pictures somebody labelled. Rows of -1 may stand behind NaN where batches were joined."""
    return ~target.isnan().flatten(1).any(1)
