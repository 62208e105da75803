"""Boxes of a teacher as labels of a student."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from umbel.core import UmbelError


@dataclass(frozen=True)
class PseudoLabels:
    """What a teacher says of B pictures.

    Attributes:
        target: [B, N, 5]: the boxes that teach, as `tasks.boxes` has them; rows of -1 are nothing.
        ignored: [B, M, 4]: boxes of which it is not sure enough, which teach neither object nor background.
    """

    target: Tensor
    ignored: Tensor

    def counts(self) -> Tensor:
        """How many boxes teach, of each picture: int64 [B]."""
        return (self.target[..., 4] >= 0).sum(1)


def pseudo_labels(
    detections: Tensor, threshold: float | Sequence[float], least: float = 1.0, most_per_class: int | None = None
) -> PseudoLabels:
    """A teacher's sure boxes as labels, its unsure ones to be ignored.

    Args:
        detections: [B, D, 6]; see `tasks.boxes`. Overlapping ones of a class are gone already.
        threshold: From which score on a box teaches; one for all classes, or one for each.
        least: From which share of its threshold on a box that does not teach is ignored; below it is background. 1
            ignores nothing.
        most_per_class: At most so many teach of a class in a picture, the surest; None: all. The others are ignored.

    Raises:
        UmbelError: A threshold or share that is no probability, or fewer thresholds than classes in the detections.
    """
    limits = _limits(detections, threshold, least)
    score, kind = detections[..., 4], detections[..., 5].long().clamp(min=0)
    real = detections[..., 5] >= 0
    sure = real & (score >= limits[kind])
    if most_per_class is not None:
        same = (kind.unsqueeze(2) == kind.unsqueeze(1)) & sure.unsqueeze(1)
        rank = same.tril(-1).sum(2)  # of its class, counting surer ones; detections come surest first
        sure &= rank < most_per_class
    unsure = real & ~sure & (score >= least * limits[kind])
    kept = torch.cat([detections[..., :4], detections[..., 5:]], 2)
    return PseudoLabels(_packed(kept, sure), _packed(detections[..., :4], unsure & (least < 1)))


def _limits(detections: Tensor, threshold: float | Sequence[float], least: float) -> Tensor:
    """The threshold of each class: [K]."""
    classes = int(detections[..., 5].amax().clamp(min=0)) + 1 if detections.numel() else 1
    given = [threshold] * classes if isinstance(threshold, int | float) else list(threshold)
    for value in (*given, least):
        if not 0 <= value <= 1:
            raise UmbelError(f"{value:g} is no score that boxes could be chosen by; give numbers from 0 to 1")
    if len(given) < classes:
        raise UmbelError(f"{len(given)} thresholds for detections of {classes} classes; give one for each")
    return detections.new_tensor(given)


def _packed(boxes: Tensor, chosen: Tensor) -> Tensor:
    """The chosen rows [B, D] of [B, D, C] at the front, rows of -1 behind them; one row at least."""
    rows = [picture[mask] for picture, mask in zip(boxes, chosen, strict=True)]
    padded = pad_sequence([*rows, boxes.new_zeros(1, boxes.shape[2])], batch_first=True, padding_value=-1.0)
    return padded[:-1]
