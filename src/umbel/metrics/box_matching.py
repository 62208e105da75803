"""Which boxes of a detector are right, at a given score: thresholds of the best F1, recall of each picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou


@dataclass(frozen=True)
class OperatingScore:
    """A score from which on boxes of a class count, and what comes of it.

    Attributes:
        threshold: The score; 0.5 for a class that never occurs or is never found.
        precision: Part of the boxes that are right.
        recall: Part of the true boxes that are found.
    """

    threshold: float
    precision: float
    recall: float


def right_boxes(detections: Tensor, target: Tensor, overlap: float = 0.5) -> Tensor:
    """Which boxes of a picture are right: each takes the best free true box of its class, surest first: bool [D].

    Args:
        detections: [D, 6], surest first; see `tasks.boxes`. Rows of -1 are never right.
        target: [N, 5]; rows of -1 are nothing.
        overlap: Least IoU.
    """
    true = target[target[:, 4] >= 0]
    right = torch.zeros(len(detections), dtype=torch.bool)
    if not len(true) or not len(detections):
        return right
    overlaps = box_iou(detections[:, :4], true[:, :4]).masked_fill(detections[:, 5:6] != true[None, :, 4], 0)
    free = torch.ones(len(true), dtype=torch.bool)
    for number in (detections[:, 5] >= 0).nonzero()[:, 0].tolist():
        best, place = (overlaps[number] * free).max(0)
        if float(best) >= overlap:
            right[number], free[place] = True, False
    return right


def best_f1(detections: Tensor, targets: Tensor, classes: int) -> tuple[OperatingScore, ...]:
    """For each class, the score from which on its boxes have the best F1: what labels of a domain say once and for all.

    Args:
        detections: [B, D, 6].
        targets: [B, N, 5]; pictures without label (NaN) are passed over.
        classes: K.

    Returns:
        K of them.
    """
    known = ~targets[:, 0, 0].isnan()
    detections, targets = detections[known].cpu().float(), targets[known].cpu()
    right = torch.stack([right_boxes(d, t) for d, t in zip(detections, targets, strict=True)]) if len(targets) else None
    return tuple(_best(detections, targets, right, k) for k in range(classes))


def _best(detections: Tensor, targets: Tensor, right: Tensor | None, kind: int) -> OperatingScore:
    of_class = detections[..., 5] == kind
    total = int((targets[..., 4] == kind).sum())
    if right is None or not total or not bool((right & of_class).any()):
        return OperatingScore(0.5, float("nan"), float("nan"))
    scores, order = detections[..., 4][of_class].sort(descending=True, stable=True)
    hits = right[of_class][order].double().cumsum(0)
    count = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    best = int((2 * hits / (count + total)).argmax())
    below = float(scores[best + 1]) if best + 1 < len(scores) else 0.0
    middle = 0.5 * (float(scores[best]) + below)  # half-way to the next one, so that it is not that very box's score
    return OperatingScore(round(middle, 4), float(hits[best] / count[best]), float(hits[best] / total))


def recalls(detections: Tensor, targets: Tensor, thresholds: Sequence[float]) -> Tensor:
    """The part of its true boxes that is found in each picture: [B]; NaN where there is none or no label.

    Args:
        detections: [B, D, 6].
        targets: [B, N, 5].
        thresholds: From which score on a box counts, for each class.
    """
    limits = torch.tensor(tuple(thresholds))
    found = []
    for boxes, target in zip(detections.cpu().float(), targets.cpu(), strict=True):
        sure = boxes[(boxes[:, 5] >= 0) & (boxes[:, 4] >= limits[boxes[:, 5].long().clamp(min=0)])]
        total = int((target[:, 4] >= 0).sum())
        found.append(float(right_boxes(sure, target).sum()) / total if total else float("nan"))
    return torch.tensor(found)
