"""MNIST and Fashion-MNIST in their publishers' IDX files, gzipped or not, and pairs of them."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umbel.core import Batch
from umbel.data.digits import digit_tasks
from umbel.data.find import need
from umbel.data.overlay import overlay_data
from umbel.data.pairs import pair_data
from umbel.data.pictures import held_out, picture_data, with_reconstruction
from umbel.data.source import MultiTaskData
from umbel.errors import UmbelError
from umbel.tasks import classification

_MNIST_NOTE = (
    "MNIST: 60,000 + 10,000 digits, 28x28 (LeCun, Bottou, Bengio, Haffner, Proc. IEEE 1998); licence commonly stated "
    "as CC BY-SA 3.0. Validation is a fixed 15 % of the training part."
)
_FASHION_NOTE = (
    "Fashion-MNIST: 60,000 + 10,000 articles, 28x28 (Xiao, Rasul, Vollgraf, arXiv 1708.07747); MIT licence. "
    "Validation is a fixed 15 % of the training part. The group follows from the class."
)
FASHION = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
"""The ten classes of Fashion-MNIST."""
GROUPS = ("upper body", "trousers", "dress", "footwear", "bag")
"""Our coarse groups of them."""
_GROUP_OF = (0, 1, 0, 2, 0, 3, 0, 3, 4, 3)
_PAIRS = {"train": 50_000, "validation": 5_000, "test": 10_000}


def read_idx(path: Path) -> Tensor:
    """An IDX file of bytes, gzipped or not: uint8 of the shape that its head gives.

    Raises:
        UmbelError: The file is cut short or is something else.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UmbelError(f"{path} cannot be read ({error}); get it again") from error
    start = 4 + 4 * (content[3] if len(content) > 3 else 0)
    if content[:3] != b"\x00\x00\x08" or len(content) < start:
        raise UmbelError(f"{path} is not an IDX file of bytes; get it again")
    shape = np.frombuffer(content[4:start], ">i4")
    if len(content) - start != shape.prod():
        raise UmbelError(f"{path} holds {len(content) - start} bytes of data instead of {shape.prod()}; get it again")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _read(kind: str, name: str, download: bool) -> dict[str, tuple[Tensor, Tensor]]:
    """Pictures uint8 [n, 1, 28, 28] and labels int64 [n] of each split; `kind` is torchvision's class and folder."""

    def fetch(folder: Path) -> None:
        from torchvision import datasets  # noqa: PLC0415  (slow to import, and rarely needed)

        getattr(datasets, kind)(str(folder), download=True)

    def part(prefix: str) -> tuple[Tensor, Tensor]:
        files = [f"{kind}/raw/{prefix}-{rest}-ubyte" for rest in ("images-idx3", "labels-idx1")]
        hint = f"put the publisher's four files (gzipped or not) into {kind}/raw"
        paths = [need(name, file, f"{file}.gz", hint=hint, fetch=fetch, download=download) for file in files]
        pictures, labels = (read_idx(path) for path in paths)
        return pictures[:, None], labels.long()

    (pictures, labels), test = part("train"), part("t10k")
    train, validation = held_out(len(labels))
    return {
        "train": (pictures[train], labels[train]),
        "validation": (pictures[validation], labels[validation]),
        "test": test,
    }


def mnist(
    size: int | None = None,
    resolution: int | None = None,
    reconstruction: bool = False,
    download: bool = False,
) -> MultiTaskData:
    """MNIST. Tasks: digit (10), parity, large (5 to 9).

    Args:
        size: Number of training samples; None for all 51,000.
        resolution: Height and width in pixels; 28 by default.
        reconstruction: Add the reconstruction of the picture as a task.
        download: Let torchvision download the set when it is missing.
    """
    tasks = (*digit_tasks()[:2], classification("large", ("0 to 4", "5 to 9")))
    parts = {
        split: Batch(pictures, {"digit": digits, "parity": digits % 2, "large": (digits >= 5).long()})
        for split, (pictures, digits) in _read("MNIST", "mnist", download).items()
    }
    note = f"{_MNIST_NOTE} Parity and large follow from the digit."
    tasks = with_reconstruction(tasks, reconstruction, 1)
    return picture_data("mnist", "MNIST digits", tasks, parts, note, size, resolution)


def fashion_mnist(
    size: int | None = None,
    resolution: int | None = None,
    reconstruction: bool = False,
    download: bool = False,
) -> MultiTaskData:
    """Fashion-MNIST. Tasks: class (10), group (5).

    Args:
        size: Number of training samples; None for all 51,000.
        resolution: Height and width in pixels; 28 by default.
        reconstruction: Add the reconstruction of the picture as a task.
        download: Let torchvision download the set when it is missing.
    """
    group_of = torch.tensor(_GROUP_OF)
    parts = {
        split: Batch(pictures, {"class": classes, "group": group_of[classes]})
        for split, (pictures, classes) in _read("FashionMNIST", "fashion-mnist", download).items()
    }
    tasks = with_reconstruction((classification("class", FASHION), classification("group", GROUPS)), reconstruction, 1)
    return picture_data("fashion-mnist", "Fashion-MNIST", tasks, parts, _FASHION_NOTE, size, resolution)


def overlay_mnist(
    size: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    canvas: int = 36,
    download: bool = False,
) -> MultiTaskData:
    """Two MNIST digits, one over the other, in the manner of MultiMNIST; see `overlay_data` for the tasks.

    Differs from MultiMNIST (Sabour, Frosst, Hinton, NeurIPS 2017): either digit may be the higher one, one is dimmed,
    and there are three tasks besides the digits.

    Args:
        size: Number of training pairs; 50,000 by default.
        resolution: Height and width in pixels; that of the canvas by default.
        seed: Another seed makes other pairs.
        canvas: Height and width, in pixels, of the picture into which the 28x28 digits are laid; at least 32.
        download: Let torchvision download the set when it is missing.
    """
    digits = _read("MNIST", "overlay-mnist", download)
    title = "Two MNIST digits, one over the other"
    return overlay_data("overlay-mnist", title, digits, _PAIRS, canvas, seed, size, resolution, _MNIST_NOTE)


def digit_pairs(
    size: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    background: bool = False,
    download: bool = False,
) -> MultiTaskData:
    """Two MNIST digits side by side, independent of each other. Tasks: left (10), right (10).

    Args:
        size: Number of training pairs; 50,000 by default.
        resolution: Height in pixels, and half the width; 28 by default.
        seed: Another seed makes other pairs.
        background: Add a third independent task, background (4): how light it is.
        download: Let torchvision download the set when it is missing.
    """
    singles, names = _read("MNIST", "digit-pairs", download), [str(digit) for digit in range(10)]
    title = "Two MNIST digits, side by side"
    return pair_data("digit-pairs", title, names, singles, _PAIRS, _MNIST_NOTE, size, resolution, seed, background)


def garment_pairs(
    size: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
    background: bool = False,
    download: bool = False,
) -> MultiTaskData:
    """Two pieces of clothing of Fashion-MNIST side by side, independent of each other. Tasks: left (10), right (10).

    Args:
        size: Number of training pairs; 50,000 by default.
        resolution: Height in pixels, and half the width; 28 by default.
        seed: Another seed makes other pairs.
        background: Add a third independent task, background (4): how light it is.
        download: Let torchvision download the set when it is missing.
    """
    singles = _read("FashionMNIST", "garment-pairs", download)
    title, note = (
        "Two pieces of clothing, side by side",
        _FASHION_NOTE.removesuffix(" The group follows from the class."),
    )
    return pair_data("garment-pairs", title, FASHION, singles, _PAIRS, note, size, resolution, seed, background)
