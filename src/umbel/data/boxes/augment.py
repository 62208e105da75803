"""Mirrored pictures with their boxes."""

from dataclasses import replace

import torch
from torch import Tensor

from umbel.core import Batch, sizes_of


class FlipBoxes:
    """Mirror half of the pictures left to right, each within its own width, and its boxes with it.

    Args:
        picture: Name of the padded pictures among the inputs.
        target: Name of the boxes among the targets.
    """

    draws = 1

    def __init__(self, picture: str = "picture", target: str = "boxes") -> None:
        self.picture, self.target = picture, target

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The changed batch; see `Augmentation`."""
        if isinstance(batch.inputs, Tensor):
            return batch
        pictures, boxes = batch.inputs[self.picture], batch.targets[self.target]
        width = sizes_of(batch.inputs, self.picture)[:, 2].to(pictures.device)
        flipped = (uniform[:, 0] < 0.5).to(pictures.device)
        inputs = {**batch.inputs, self.picture: _mirrored(pictures, torch.where(flipped, width, 0))}
        turned = mirrored_boxes(boxes, width.to(boxes))
        targets = {**batch.targets, self.target: torch.where(flipped[:, None, None], turned, boxes)}
        return replace(batch, inputs=inputs, targets=targets)


def _mirrored(pictures: Tensor, width: Tensor) -> Tensor:
    """Pictures [B, C, H, W] whose first columns, `width` [B] of them, are in reverse order."""
    places = torch.arange(pictures.shape[3], device=pictures.device)
    columns = torch.where(places < width[:, None], width[:, None] - 1 - places, places)
    return pictures.gather(3, columns[:, None, None, :].expand_as(pictures))


def mirrored_boxes(boxes: Tensor, width: Tensor) -> Tensor:
    """Boxes of pictures that were mirrored left to right; rows without a class stay as they are.

    Args:
        boxes: [B, N, 5] as `tasks.boxes` has them.
        width: Of each picture, in pixels; [B].
    """
    mirrored = boxes.clone()
    mirrored[..., 0] = width[:, None] - boxes[..., 2]
    mirrored[..., 2] = width[:, None] - boxes[..., 0]
    return torch.where(boxes[..., 4:] >= 0, mirrored, boxes)
