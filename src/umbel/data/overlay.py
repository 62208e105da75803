"""Two real digits laid over each other: tasks that share a picture, and attributes that neither digit determines."""

from collections.abc import Mapping

import torch
from torch import Tensor

from umbel.core import Batch, Task
from umbel.data.pictures import picture_data
from umbel.data.source import MultiTaskData, seeded
from umbel.errors import UmbelError
from umbel.tasks import classification, regression

DIM = 0.6
"""Brightness of the dimmer digit, as a share of its own."""


def overlay_tasks(least_gap: int, most_gap: int) -> tuple[Task, ...]:
    """Left and right digit, which one is brighter, which one is higher, and how far apart they are."""
    gaps = torch.arange(least_gap, most_gap + 1).float()
    names = [str(digit) for digit in range(10)]
    return (
        classification("left", names),
        classification("right", names),
        classification("brighter", ("left", "right")),
        classification("higher", ("left", "right")),
        regression("gap", 1, float(gaps.mean()), float(gaps.std(unbiased=False)), ("gap",), unit="pixels"),
    )


def gap_range(canvas: int, side: int) -> tuple[int, int]:
    """Least and most horizontal distance, in pixels, between digits of `side` on a canvas: half the room, and all."""
    room = canvas - side
    return room // 2, room


def overlay(pictures: Tensor, digits: Tensor, count: int, canvas: int, generator: torch.Generator) -> Batch:
    """Pairs of different pictures, pasted and combined by the brighter pixel.

    Everything but the two pictures (where they are, which is dimmed) is drawn independently of the digits.

    Args:
        pictures: uint8 [n, 1, S, S], n at least 2.
        digits: int64 [n].
        count: Number of pairs N.
        canvas: Height and width of the result in pixels.
        generator: The only source of randomness.

    Returns:
        Pictures uint8 [N, 1, canvas, canvas] and targets "left", "right", "brighter", "higher" (0 left, 1 right)
        int64 [N], and "gap" float [N, 1] in pixels.
    """
    side = pictures.shape[-1]
    least, most = gap_range(canvas, side)

    def draw(low: int | Tensor, high: int | Tensor) -> Tensor:
        """Whole numbers from `low` to `high`, both included: int64 [count]."""
        return low + (torch.rand(count, generator=generator, dtype=torch.float64) * (high - low + 1)).long()

    left = draw(0, len(pictures) - 1)
    right = (left + draw(1, len(pictures) - 1)) % len(pictures)
    gap, rise = draw(least, most), draw(1, least)
    higher, brighter = draw(0, 1), draw(0, 1)
    x_left, top = draw(0, most - gap), draw(0, most - rise)
    y_left, y_right = top + rise * (higher == 1), top + rise * (higher == 0)
    first = _paste(_dimmed(pictures[left], brighter == 1), y_left, x_left, canvas)
    second = _paste(_dimmed(pictures[right], brighter == 0), y_right, x_left + gap, canvas)
    targets = {"left": digits[left], "right": digits[right], "brighter": brighter, "higher": higher}
    return Batch(torch.maximum(first, second), {**targets, "gap": gap[:, None].float()})


def _dimmed(pictures: Tensor, mask: Tensor) -> Tensor:
    levels = (torch.arange(256) * DIM).round().to(torch.uint8)
    return torch.where(mask.view(-1, 1, 1, 1), levels[pictures.int()], pictures)


def _paste(pictures: Tensor, y: Tensor, x: Tensor, canvas: int) -> Tensor:
    """Each picture [N, 1, S, S] with its top left corner at (y, x), int64 [N], of its own dark canvas."""
    result = pictures.new_zeros(len(pictures), 1, canvas, canvas)
    steps = torch.arange(pictures.shape[-1])
    rows, columns = y[:, None, None] + steps[:, None], x[:, None, None] + steps
    result[torch.arange(len(pictures))[:, None, None], 0, rows, columns] = pictures[:, 0]
    return result


def overlay_data(
    name: str,
    title: str,
    digits: Mapping[str, tuple[Tensor, Tensor]],
    counts: Mapping[str, int],
    canvas: int,
    seed: int,
    size: int | None,
    resolution: int | None,
    note: str,
) -> MultiTaskData:
    """A set of overlaid pairs; pairs are made within each split.

    Args:
        name: As on the command line.
        title: One line.
        digits: Pictures uint8 [n, 1, S, S] and digits int64 [n] of each split.
        counts: Number of pairs of each split; `size` replaces that of "train".
        canvas: Height and width in pixels on which the digits are laid.
        seed: Of the pairs.
        size: Number of training pairs, or None.
        resolution: Height and width in pixels to which the result is resized, or None.
        note: Source and licence of the digits.

    Raises:
        UmbelError: The canvas leaves too little room to move the digits.
    """
    side = digits["train"][0].shape[-1]
    if canvas < side + 4:
        raise UmbelError(f"canvas is {canvas}; for digits of {side} pixels it must be at least {side + 4}")
    if size is not None and size < 1:
        raise UmbelError(f"size is {size}; give at least 1 training pair, or leave it out for {counts['train']}")
    counts = {**counts, "train": size or counts["train"]}
    parts = {
        split: overlay(*digits[split], counts[split], canvas, seeded(seed, number))
        for number, split in enumerate(("train", "validation", "test"))
    }
    note = (
        f"{note} Pairs are made by us: two different digits of the same split, moved at random, one of them dimmed, "
        "combined by the brighter pixel. Brightness, height and gap are drawn independently of the digits. "
        "The gap is in pixels of the canvas."
    )
    return picture_data(name, title, overlay_tasks(*gap_range(canvas, side)), parts, note, None, resolution)
