"""Two pictures side by side, drawn independently: tasks that have nothing to do with each other."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from umbel.core import Batch, Task
from umbel.data.pictures import picture_data, resized
from umbel.data.source import MultiTaskData, seeded
from umbel.errors import UmbelError
from umbel.tasks import classification

BACKGROUNDS = ("black", "dark", "medium", "light")
"""Classes of the background."""
_LEVELS = (0, 40, 80, 120)  # grey, of 255


def pair_tasks(classes: Sequence[str], background: bool = False) -> tuple[Task, ...]:
    """What is on the left, what is on the right, and how light the background is."""
    sides = (classification("left", classes), classification("right", classes))
    return (*sides, classification("background", BACKGROUNDS)) if background else sides


def pairs(pictures: Tensor, labels: Tensor, count: int, background: bool, generator: torch.Generator) -> Batch:
    """Pictures side by side, each drawn by itself: the label of one side says nothing about the other.

    Args:
        pictures: uint8 [n, C, H, W].
        labels: int64 [n].
        count: Number of pairs N.
        background: Whether pixels darker than a grey level are lifted to it; it is drawn for each pair by itself.
        generator: The only source of randomness.

    Returns:
        Pictures uint8 [N, C, H, 2 W] and targets "left", "right" and, with it, "background", int64 [N].
    """
    left, right = (torch.randint(len(pictures), (count,), generator=generator) for _ in range(2))
    level = torch.randint(len(_LEVELS), (count,), generator=generator)
    both = torch.cat([pictures[left], pictures[right]], 3)
    targets = {"left": labels[left], "right": labels[right]}
    if not background:
        return Batch(both, targets)
    grey = torch.tensor(_LEVELS, dtype=torch.uint8)[level].view(-1, 1, 1, 1)
    return Batch(torch.maximum(both, grey), {**targets, "background": level})


def pair_data(
    name: str,
    title: str,
    classes: Sequence[str],
    singles: Mapping[str, tuple[Tensor, Tensor]],
    counts: Mapping[str, int],
    note: str,
    size: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    background: bool = False,
) -> MultiTaskData:
    """A set of pairs; they are made within each split, so that no picture is in two.

    Args:
        name: As on the command line.
        title: One line.
        classes: Names of the classes of either side.
        singles: Pictures uint8 [n, C, S, S] and labels int64 [n] of each split.
        counts: Number of pairs of each split; `size` replaces that of "train".
        note: Source and licence of the pictures.
        size: Number of training pairs, or None.
        resolution: Height in pixels, and half the width; None for the pictures' own.
        seed: Of the pairs.
        background: Add a third task: how light the background is.

    Raises:
        UmbelError: No training pair, or a resolution of less than 4 pixels.
    """
    if size is not None and size < 1:
        raise UmbelError(f"size is {size}; give at least 1 training pair, or leave it out for {counts['train']}")
    counts = {**counts, "train": size or counts["train"]}
    parts = {}
    for number, split in enumerate(("train", "validation", "test")):
        pictures, labels = singles[split]
        parts[split] = pairs(resized(pictures, resolution), labels, counts[split], background, seeded(seed, number))
    note = (
        f"{note} Pairs are made by us: two pictures of the same split side by side, each drawn by itself, so that the "
        "tasks are independent" + ("; so is the background." if background else ".")
    )
    return picture_data(name, title, pair_tasks(classes, background), parts, note)
