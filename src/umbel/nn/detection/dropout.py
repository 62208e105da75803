"""Dropout in the heads of a detector: no detector of torchvision has any, and Monte-Carlo dropout needs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from umbel.arguments import real_number
from umbel.core import UmbelError
from umbel.core.modes import modes_kept


@contextmanager
def dropout_alone(module: nn.Module) -> Iterator[None]:
    """Inside, dropout is switched on and everything else in evaluation mode; afterwards all is as it was."""
    with modes_kept(module):
        module.eval()
        for part in module.modules():
            if isinstance(part, _DropoutNd):
                part.train()
        yield


class BoxHead(nn.Module):
    """Torchvision's two layers of the box head, with dropout behind each; weights have the same names.

    Args:
        head: Whose layers are taken over.
        rate: Of the dropout.
    """

    def __init__(self, head: TwoMLPHead, rate: float) -> None:
        super().__init__()
        self.fc6 = head.fc6
        self.fc7 = head.fc7
        self.dropout = nn.Dropout(rate)

    def forward(self, regions: Tensor) -> Tensor:
        """Pooled regions [S, C, r, r] -> [S, F]."""
        first = self.dropout(F.relu(self.fc6(regions.flatten(1))))
        return self.dropout(F.relu(self.fc7(first)))


def insert_dropout(detector: nn.Module, rate: float) -> nn.Module:
    """Put dropout into the heads of a detector; names of weights stay as they are.

    Faster R-CNN gets it behind both layers of the box head (behind each fully connected layer, where the head has
    convolutions before them), RetinaNet and FCOS before the last convolution of each head. It drops in training mode
    and in `Detector.box_samples` only.

    Args:
        detector: A `Detector`; changed in place. Dropout that it has gets the new rate.
        rate: Share of the numbers that are dropped: 0 or more, less than 1.

    Returns:
        The same detector.

    Raises:
        UmbelError: No such rate, or heads of another kind.
    """
    rate = real_number(rate, "dropout")
    if not 0 <= rate < 1:
        raise UmbelError(f"dropout is {rate}; give a rate of at least 0 and less than 1")
    heads = detector.roi_heads if detector.family == "fasterrcnn" else detector.head
    present = [part for part in heads.modules() if isinstance(part, _DropoutNd)]
    for part in present:
        part.p = rate
    if not present:
        (_into_box_head if detector.family == "fasterrcnn" else _into_dense_heads)(heads, rate)
    return detector


def _into_box_head(roi_heads: nn.Module, rate: float) -> None:
    head = roi_heads.box_head
    if isinstance(head, TwoMLPHead):
        roi_heads.box_head = BoxHead(head, rate)
        return
    parts = list(head.named_children()) if isinstance(head, nn.Sequential) else []
    linear = False
    for name, part in parts:
        if linear and isinstance(part, nn.ReLU):
            head.set_submodule(name, nn.Sequential(part, nn.Dropout(rate)))
        linear = isinstance(part, nn.Linear)
    if not any(isinstance(part, nn.Linear) for _, part in parts):
        raise UmbelError(
            f"no place for dropout in a box head of type {type(head).__name__}; give one of torchvision's, or with "
            "dropout of its own"
        )


def _into_dense_heads(head: nn.Module, rate: float) -> None:
    for part in (head.classification_head, head.regression_head):
        part.conv.append(nn.Dropout(rate))  # behind all but the last convolution; numbers of the others stay
