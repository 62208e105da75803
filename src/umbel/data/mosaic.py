"""Mosaics of four pictures: objects are cut off, and smaller or larger than they were."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.nn.utils.rnn import pad_sequence

from umbel.data.views import Sizes

_LEAST_SIDE = 3.0  # pixels; what is left of a box must be larger
_LEAST_PART = 0.25  # of its area


@dataclass(frozen=True)
class Crop:
    """A part of a picture, and where it goes.

    Attributes:
        top: First row of the part.
        left: First column.
        height: Of the part.
        width: Of the part.
        rows: First and last row (exclusive) of the place it is scaled to.
        columns: Likewise.
    """

    top: int
    left: int
    height: int
    width: int
    rows: tuple[int, int]
    columns: tuple[int, int]


def moved_boxes(target: Tensor, crop: Crop) -> Tensor:
    """The boxes [N, 5] of a picture where its crop has gone, cut at its border: [n, 5], without those hardly left.

    A box is dropped when less than a quarter of it is inside, or when a side is shorter than three pixels.
    """
    real = target[target[:, 4] >= 0]
    corner = real.new_tensor([crop.left, crop.top, crop.left, crop.top])
    limit = real.new_tensor([crop.width, crop.height, crop.width, crop.height])
    whole = real[:, :4] - corner
    inside = torch.minimum(whole.clamp(min=0), limit)
    high, wide = (end - start for start, end in (crop.rows, crop.columns))
    scale = real.new_tensor([wide / crop.width, high / crop.height] * 2)
    boxes = inside * scale + real.new_tensor([crop.columns[0], crop.rows[0]] * 2)
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = (sides > _LEAST_SIDE).all(1) & (_area(inside) >= _LEAST_PART * _area(whole))
    return torch.cat([boxes, real[:, 4:]], 1)[kept]


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def mosaic(pictures: Tensor, targets: Tensor, sizes: Sizes, number: int) -> tuple[Tensor, Tensor]:
    """One picture of four parts: of picture `number` and three others, each cut at random, with their boxes.

        ┌──────┬───┐    the lines cross at 0.2 to 0.8 of height and width; each part is cut
        │  1   │ 2 │    from a random place of its picture, at 0.8 to 1.2 of its size
        ├──────┼───┤
        │  3   │ 4 │
        └──────┴───┘

    So objects are cut off, scaled and out of their surroundings, as those that a detector misses: Chu et al. (AAAI
    2023) call it false-negative simulation.

    Args:
        pictures: Float [B, 3, H, W].
        targets: [B, N, 5]; see `tasks.boxes`.
        sizes: (height, width) of each.
        number: Of the first picture.

    Returns:
        The mosaic [3, H, W], which fills its size, and its boxes [n, 5].
    """
    height, width = pictures.shape[-2:]
    drawn = [number, *torch.randint(len(pictures), (3,)).tolist()]
    order = [drawn[place] for place in torch.randperm(4).tolist()]
    row, column = (round(side * (0.2 + 0.6 * float(torch.rand(())))) for side in (height, width))
    rows, columns = ((0, row), (row, height)), ((0, column), (column, width))
    places = [(r, c) for r in rows for c in columns]
    canvas, boxes = pictures.new_zeros(pictures.shape[1:]), []
    for source, (r, c) in zip(order, places, strict=True):
        if r[0] == r[1] or c[0] == c[1]:  # of pictures of one or two pixels
            continue
        crop = _crop(sizes[source], r, c)
        part = pictures[source, :, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        place = (r[1] - r[0], c[1] - c[0])
        canvas[:, r[0] : r[1], c[0] : c[1]] = interpolate(part[None], place, mode="bilinear", antialias=True)[0]
        boxes.append(moved_boxes(targets[source], crop))
    return canvas, torch.cat([targets.new_zeros(0, 5), *boxes])


def _crop(size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> Crop:
    """A part of a picture of this size about as large as its place, at random."""
    scale = 0.8 + 0.4 * float(torch.rand(()))
    sides = [
        max(1, min(side, round(scale * (end - start))))
        for side, (start, end) in zip(size, (rows, columns), strict=True)
    ]
    top, left = (int(float(torch.rand(())) * (side - part + 1)) for side, part in zip(size, sides, strict=True))
    return Crop(top, left, sides[0], sides[1], rows, columns)


def mosaics(pictures: Tensor, targets: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
    """A mosaic for each picture, with three others of the same batch in it.

    Args:
        pictures: Float [B, 3, H, W], B at least 1.
        targets: [B, N, 5].
        sizes: (height, width) of each.

    Returns:
        Mosaics [B, 3, H, W] and their boxes [B, n, 5], rows of -1 behind their end.
    """
    made = [mosaic(pictures, targets, sizes, number) for number in range(len(pictures))]
    boxes = [rows for _, rows in made]
    padded = pad_sequence([*boxes, targets.new_zeros(1, 5)], batch_first=True, padding_value=-1.0)
    return torch.stack([picture for picture, _ in made]), padded[:-1]
