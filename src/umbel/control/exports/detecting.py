"""A detector as a graph: one picture of bytes in, boxes out, written so that sizes and numbers of boxes stay free.

The detector's own forward pass reads sizes as Python numbers, which a traced graph would keep as they were.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.onnx.operators import shape_as_tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms, roi_align

from umbel.control.exports.answering import decoder_of
from umbel.core import Task, UmbelError
from umbel.nn.detection import DenseDetector, Detector, RegionDetector, RegionPool
from umbel.nn.pretrained import IMAGENET_MEAN, IMAGENET_STD

BOXES, SCORES, CLASSES = "boxes", "scores", "classes"
"""Names of what a graph of a detector gives."""
_SMALLEST = 1e-2  # pixels of a side; torchvision leaves out what is smaller


class Detecting(nn.Module):
    """A picture -> its boxes, best first, without those that overlap a better one of their class.

    Args:
        detector: Copied, in evaluation mode.
        tasks: Those of its further heads, which are decoded.

    Raises:
        UmbelError: A detector of another kind.
    """

    def __init__(self, detector: Detector, tasks: Sequence[Task]) -> None:
        super().__init__()
        if not isinstance(detector, RegionDetector | DenseDetector):
            raise UmbelError(f"a detector of type {type(detector).__name__} has no graph that could be exported")
        self.detector = copy.deepcopy(detector).cpu().float().eval()
        self.names = tuple(task.name for task in tasks)
        self.decoders = nn.ModuleList([decoder_of(task) for task in tasks])
        mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Boxes [d, 4] in pixels of this picture, scores [d], classes int64 [d], and the answers of further tasks.

        Args:
            picture: uint8 [3, H, W].
        """
        standard = (picture[None].float() - self.mean) / self.std
        stride = self.detector.stride
        below, right = (-picture.shape[axis] % stride for axis in (1, 2))
        padded = F.pad(standard, (0, right, 0, below))
        maps = self.detector.encoder(padded)
        levels = {"0": maps} if isinstance(maps, Tensor) else dict(maps)
        size = shape_as_tensor(picture)[1:]  # height and width
        found = _regions if isinstance(self.detector, RegionDetector) else _dense
        boxes, scores, classes = found(self.detector, padded, levels, size.flip(0).float())
        further = self._further(levels, size, padded)
        return boxes, scores, classes, *further

    def _further(self, levels: dict[str, Tensor], size: Tensor, padded: Tensor) -> list[Tensor]:
        """Decoded answers [outputs] of the further tasks."""
        if not self.names:
            return []
        maps = list(levels.values())[-1]
        cells = shape_as_tensor(maps)[2:]
        part = size / shape_as_tensor(padded)[2:] * cells  # cells that begin inside the picture
        rows, columns = (torch.arange(cells[axis]) < part[axis].clamp(min=1) for axis in (0, 1))
        inside = (rows[:, None] & columns[None, :]).float()
        pooled = (maps * inside).sum((2, 3)) / inside.sum()
        heads = self.detector.heads
        return [decode(heads[name](pooled))[0] for name, decode in zip(self.names, self.decoders, strict=True)]


def _regions(detector: RegionDetector, padded: Tensor, levels: dict[str, Tensor], limit: Tensor) -> tuple[Tensor, ...]:
    """Faster R-CNN; `limit` is the picture's width and height."""
    regions = _proposals(detector, padded, levels, limit)
    heads = detector.roi_heads
    logits, moves = heads.box_predictor(heads.box_head(_pooled(heads.box_roi_pool, levels, regions, padded)))
    boxes = _clipped(heads.box_coder.decode(moves, [regions]), limit)[:, 1:].reshape(-1, 4)
    scores = logits.softmax(-1)[:, 1:]
    classes = torch.arange(scores.shape[1]).expand_as(scores).reshape(-1)
    scores = scores.reshape(-1)
    kept = torch.where((scores > heads.score_thresh) & _large(boxes, _SMALLEST))[0]
    return _best(boxes[kept], scores[kept], classes[kept], limit, heads.nms_thresh, heads.detections_per_img)


def _proposals(detector: RegionDetector, padded: Tensor, levels: dict[str, Tensor], limit: Tensor) -> Tensor:
    """The regions [p, 4] that are worth a second look."""
    rpn, maps = detector.rpn, list(levels.values())
    objectness, deltas = rpn.head(maps)
    anchors = _anchors(rpn.anchor_generator, padded, maps)
    boxes, scores, level = [], [], []
    for number, (said, moved, own) in enumerate(zip(objectness, deltas, anchors, strict=True)):
        score = _by_anchor(said, 1)[:, 0]
        best, place = score.topk(_most(rpn._pre_nms_top_n["testing"], score))
        boxes.append(rpn.box_coder.decode_single(_by_anchor(moved, 4)[place], own[place]))
        scores.append(best)
        level.append(torch.full_like(place, number))
    every = _clipped(torch.cat(boxes), limit)
    kept = torch.where(_large(every, rpn.min_size))[0]
    most = rpn._post_nms_top_n["testing"]
    return _best(every[kept], torch.cat(scores)[kept], torch.cat(level)[kept], limit, rpn.nms_thresh, most)[0]


def _pooled(pool: nn.Module, levels: dict[str, Tensor], regions: Tensor, padded: Tensor) -> Tensor:
    if isinstance(pool, RegionPool):
        maps = levels[pool.level]
        return roi_align(maps, [regions], pool.side, maps.shape[3] / padded.shape[3], 2)
    return pool(levels, [regions], [tuple(padded.shape[2:])])


def _dense(detector: DenseDetector, padded: Tensor, levels: dict[str, Tensor], limit: Tensor) -> tuple[Tensor, ...]:
    """RetinaNet and FCOS; `limit` is the picture's width and height."""
    maps = list(levels.values())
    said = detector.head(maps)
    anchors = _anchors(detector.generator, padded, maps)
    scores, deltas, kinds = detector.scores(said)[0], said["bbox_regression"][0], len(detector.labels)
    boxes, values, classes, start = [], [], [], 0
    for own in anchors:
        end = start + shape_as_tensor(own)[0]
        flat = scores[start:end].reshape(-1)
        best, place = flat.topk(_most(detector.topk_candidates, flat))
        sure = torch.where(best > detector.score_thresh)[0]
        place = place[sure]
        anchor = torch.div(place, kinds, rounding_mode="floor")
        boxes.append(detector.moved(deltas[start:end][anchor], own[anchor]))
        values.append(best[sure])
        classes.append(place % kinds)
        start = end
    every, score, kind = _clipped(torch.cat(boxes), limit), torch.cat(values), torch.cat(classes)
    return _best(every, score, kind, limit, detector.nms_thresh, detector.detections_per_img)


def _anchors(generator: nn.Module, padded: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
    """The anchors [r, 4] of each level."""
    image = ImageList(padded, [(0, 0)])  # of the sizes only their number is read
    grids = [level.shape[-2:] for level in maps]
    every = generator(image, list(maps))[0]
    counts = [
        rows * columns * n for (rows, columns), n in zip(grids, generator.num_anchors_per_location(), strict=True)
    ]
    parts, start = [], 0
    for count in counts:
        parts.append(every[start : start + count])
        start = start + count
    return parts


def _by_anchor(level: Tensor, numbers: int) -> Tensor:
    """[1, A * numbers, h, w] as [A * h * w, numbers], in torchvision's order of anchors."""
    return level[0].permute(1, 2, 0).reshape(-1, numbers)


def _most(wanted: int, of: Tensor) -> int:
    """The smaller of a number and a length, as a graph computes it."""
    return torch.minimum(torch.tensor(wanted), shape_as_tensor(of)[0])  # type: ignore[return-value]  # topk takes it


def _clipped(boxes: Tensor, limit: Tensor) -> Tensor:
    """Boxes [..., 4] inside a picture of this width and height."""
    return torch.minimum(boxes.clamp(min=0), torch.cat([limit, limit]))


def _large(boxes: Tensor, side: float) -> Tensor:
    return ((boxes[:, 2:] - boxes[:, :2]) >= side).all(1)


def _best(
    boxes: Tensor, scores: Tensor, kinds: Tensor, limit: Tensor, overlap: float, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best boxes, of which none overlaps a better one of its kind: kinds are moved too far apart to overlap."""
    apart = boxes + (kinds.float() * (limit.max() + 1))[:, None]
    kept = nms(apart, scores, overlap)[:most]
    return boxes[kept], scores[kept], kinds[kept]
