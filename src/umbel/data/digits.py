"""Real digits that come with scikit-learn, one at a time, two overlaid, and two side by side. Nothing is downloaded."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from umbel.core import Batch, Task
from umbel.data.overlay import overlay_data
from umbel.data.pairs import pair_data
from umbel.data.pictures import held_out, picture_data, with_reconstruction
from umbel.data.source import MultiTaskData
from umbel.tasks import classification

_NOTE = (
    "Digits: the 1,797 test digits of UCI 'Optical recognition of handwritten digits' (Alpaydin and Kaynak, 1998), "
    "8x8 in 17 grey levels, as scikit-learn ships them; CC BY 4.0. "
    "Writers are not recorded, so the same hand may appear in several splits."
)


def digit_tasks() -> tuple[Task, ...]:
    """Digit, parity and loops: the last two follow from the first."""
    return (
        classification("digit", [str(digit) for digit in range(10)]),
        classification("parity", ("even", "odd")),
        classification("loops", ("none", "one or more")),
    )


def digit_targets(digits: Tensor) -> dict[str, Tensor]:
    """Targets of `digit_tasks` from the digits, int64 [n]. 0, 6, 8 and 9 have loops; 4 is often left open."""
    return {"digit": digits, "parity": digits % 2, "loops": torch.isin(digits, torch.tensor([0, 6, 8, 9])).long()}


def _digits() -> dict[str, tuple[Tensor, Tensor]]:
    """Pictures uint8 [n, 1, 8, 8] and digits int64 [n] of each split: about 68, 12 and 20 % of the digits."""
    bunch = load_digits()
    levels = torch.from_numpy(np.asarray(bunch.images))  # 0 to 16
    pictures = (levels * (255 / 16)).round().to(torch.uint8)[:, None]
    digits = torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))
    rest, test = held_out(len(digits), 0.2)
    train, validation = (rest[index] for index in held_out(len(rest)))
    indices = {"train": train, "validation": validation, "test": test}
    return {split: (pictures[index], digits[index]) for split, index in indices.items()}


def digits(size: int | None = None, resolution: int | None = None, reconstruction: bool = False) -> MultiTaskData:
    """scikit-learn's 1,797 digits. Tasks: digit (10), parity, loops.

    Args:
        size: Number of training samples; None for all.
        resolution: Height and width in pixels; 8 by default.
        reconstruction: Add the reconstruction of the picture as a task.
    """
    parts = {split: Batch(pictures, digit_targets(labels)) for split, (pictures, labels) in _digits().items()}
    tasks = with_reconstruction(digit_tasks(), reconstruction, 1)
    note = f"{_NOTE} Our own fixed split. Parity and loops follow from the digit."
    return picture_data("digits", "scikit-learn's digits, 8x8", tasks, parts, note, size, resolution)


def overlay_digits(
    size: int | None = None, resolution: int | None = None, seed: int = 0, canvas: int = 16
) -> MultiTaskData:
    """Two of scikit-learn's digits, one over the other; see `overlay_data` for the tasks.

    No digit picture is in two splits: the digits are split first, the pairs made within each split.

    Args:
        size: Number of training pairs; 20,000 by default.
        resolution: Height and width in pixels; that of the canvas by default.
        seed: Another seed makes other pairs of the same digits.
        canvas: Height and width, in pixels, of the picture into which the 8x8 digits are laid; at least 12.
    """
    counts = {"train": 20_000, "validation": 2_000, "test": 4_000}
    title = "Two of scikit-learn's digits, one over the other"
    return overlay_data("overlay-digits", title, _digits(), counts, canvas, seed, size, resolution, _NOTE)


def digits_pairs(
    size: int | None = None, resolution: int | None = None, seed: int = 0, background: bool = False
) -> MultiTaskData:
    """Two of scikit-learn's digits side by side, independent of each other. Tasks: left (10), right (10).

    Args:
        size: Number of training pairs; 20,000 by default.
        resolution: Height in pixels, and half the width; 8 by default.
        seed: Another seed makes other pairs of the same digits.
        background: Add a third independent task, background (4): how light it is.
    """
    counts = {"train": 20_000, "validation": 2_000, "test": 4_000}
    title, names = "Two of scikit-learn's digits, side by side", [str(digit) for digit in range(10)]
    return pair_data("digits-pairs", title, names, _digits(), counts, _NOTE, size, resolution, seed, background)
