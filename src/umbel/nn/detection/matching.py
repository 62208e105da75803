"""Which proposals or anchors teach what: overlaps with padded true boxes, matches, a balanced sample. No loop."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = 0.5
"""An overlap with an ignored box of this much, by IoU or by the part of the candidate that lies in it, is enough."""


def pairwise_overlaps(boxes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """How much each box and each candidate of the same picture overlap.

    Args:
        boxes: [B, N, 4].
        candidates: [B, R, 4], or [1, R, 4] where they are the same for all pictures.

    Returns:
        The IoU [B, N, R], and the part of each candidate that lies in the box [B, N, R].
    """
    shared, area, own = _shared(boxes, candidates)
    return _iou(shared, area, own), shared / own.clamp(min=1e-9)


def _shared(boxes: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas: what is shared [B, N, R], of the boxes [B, N, 1], of the candidates [B, 1, R]."""
    # Axis by axis: a last axis of two numbers would be several times slower than long rows.
    mine, theirs = boxes[:, :, None].unbind(3), candidates[:, None].unbind(3)
    shared = _length(mine, theirs, 0).mul_(_length(mine, theirs, 1))
    return shared, _area(boxes)[:, :, None], _area(candidates)[:, None, :]


def _iou(shared: Tensor, area: Tensor, own: Tensor) -> Tensor:
    return shared / (area + own).sub_(shared).clamp_(min=1e-9)


def _length(mine: Sequence[Tensor], theirs: Sequence[Tensor], axis: int) -> Tensor:
    """What two boxes share along an axis."""
    return torch.minimum(mine[axis + 2], theirs[axis + 2]).sub_(torch.maximum(mine[axis], theirs[axis])).clamp_(min=0)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


@dataclass(frozen=True)
class Matches:
    """What R candidates of each of B pictures are to be.

    Attributes:
        box: int64 [B, R]: the true box that a candidate stands for; any number where it is not an object.
        object: Bool [B, R]: it stands for a true box.
        background: Bool [B, R]: it is no object. What is neither teaches nothing.
    """

    box: Tensor
    object: Tensor
    background: Tensor

    def among(self, usable: Tensor) -> "Matches":
        """The same, where those that are not usable (bool, broadcast to [B, R]) teach nothing."""
        return Matches(self.box, self.object & usable, self.background & usable)


def match(
    true: Tensor,
    candidates: Tensor,
    least: float,
    most: float,
    keep_best: bool = False,
    ignored: Tensor | None = None,
) -> Matches:
    """Match candidates with true boxes by their IoU, as torchvision's `Matcher`, for all pictures at once.

    Args:
        true: [B, N, 5]: boxes and classes; rows with a negative or no class are no box.
        candidates: [B, R, 4] or [1, R, 4].
        least: From this IoU on a candidate is an object.
        most: Below it a candidate is background; between the two it teaches nothing.
        keep_best: The best candidates of each true box are objects, however small their IoU.
        ignored: [B, M, 4]; rows of -1 or NaN are nothing. Candidates that overlap one of these boxes (`IGNORED`) and
            stand for no true box are not background.
    """
    real = true[..., 4] >= 0
    iou = _iou(*_shared(torch.where(real[..., None], true[..., :4], 0), candidates))
    iou.masked_fill_(~real[..., None], -1)
    best, box = iou.max(1)
    is_object = best >= least
    if keep_best:
        highest = iou.amax(2, keepdim=True)
        is_object = is_object | (iou == highest.masked_fill(highest <= 0, 2)).any(1)  # no IoU is 2
    background = ~is_object & (best < most)
    if ignored is not None:
        background = background & ~overlapping(ignored, candidates)
    return Matches(box, is_object, background)


def overlapping(ignored: Tensor, candidates: Tensor) -> Tensor:
    """Which candidates overlap an ignored box by `IGNORED` or more: bool [B, R].

    Args:
        ignored: [B, M, 4]; rows of -1 or NaN are nothing.
        candidates: [B, R, 4] or [1, R, 4].
    """
    real = ignored[..., 2] > ignored[..., 0]
    iou, part = pairwise_overlaps(torch.where(real[..., None], ignored, 0), candidates)
    return (real[..., None] & ((iou >= IGNORED) | (part >= IGNORED))).any(1)


@dataclass(frozen=True)
class Sample:
    """Candidates that were drawn, of all pictures one after the other.

    Attributes:
        picture: int64 [S]: whose they are.
        candidate: int64 [S].
        object: Bool [S].
        weight: [S]: 1 / (how many were drawn of the picture), so that a sum is a mean over each picture.
    """

    picture: Tensor
    candidate: Tensor
    object: Tensor
    weight: Tensor


def balanced_sample(matches: Matches, count: int, objects: float) -> Sample:
    """Draw candidates of each picture: up to a share of objects, background for the rest.

    Args:
        matches: What they are.
        count: Of each picture; fewer where it has not so many.
        objects: The largest share of them that are objects.
    """
    # Random keys instead of a permutation for each picture: the smallest are drawn.
    key = torch.rand(matches.object.shape, device=matches.object.device)
    of_objects = _smallest(key, matches.object, int(count * objects))
    rest = count - of_objects.sum(1, keepdim=True)
    drawn = of_objects | _smallest(key, matches.background, count, rest)
    picture, candidate = drawn.nonzero(as_tuple=True)
    weight = 1 / drawn.sum(1).clamp(min=1)
    return Sample(picture, candidate, of_objects[picture, candidate], weight[picture])


def _smallest(key: Tensor, among: Tensor, most: int, allowed: Tensor | None = None) -> Tensor:
    """Those of the `among` with the smallest keys, at most `most` a row, or `allowed` [B, 1] where that is less."""
    values, places = key.masked_fill(~among, 2.0).topk(min(most, key.shape[1]), 1, largest=False)
    chosen = values < 1.5
    if allowed is not None:
        chosen = chosen & (torch.arange(chosen.shape[1], device=key.device) < allowed)
    return torch.zeros_like(among).scatter(1, places, chosen)
