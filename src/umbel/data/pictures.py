"""What the picture sets share: splits carved with a fixed seed, quick subsets, other resolutions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from umbel.core import Batch, Task
from umbel.data.source import Augmentation, MultiTaskData, TensorSource, seeded
from umbel.errors import UmbelError
from umbel.tasks import reconstruction

VALIDATION = 0.15
"""Share of the training part that is held out for validation."""

_SPLIT_SEED = 15  # of the data, not of the run: every run of every user gets the same splits


def held_out(count: int, fraction: float = VALIDATION, salt: int = 0) -> tuple[Tensor, Tensor]:
    """Split 0 to count-1 at random, the same way at every call.

    Args:
        count: Number of samples.
        fraction: Share that is held out; at least one sample.
        salt: Another number gives another split.

    Returns:
        Indices int64 of the rest and of the held-out samples, each in ascending order.
    """
    order = torch.randperm(count, generator=seeded(_SPLIT_SEED, salt))
    held = max(1, round(count * fraction))
    return order[held:].sort().values, order[:held].sort().values


def held_out_groups(groups: Sequence[str] | np.ndarray, fraction: float = VALIDATION, salt: int = 0) -> np.ndarray:
    """Hold out whole groups, such as all pictures of one person.

    Args:
        groups: Group of each sample, [n].
        fraction: Share of the groups that is held out.
        salt: Another number gives another split.

    Returns:
        Bool [n]: the sample belongs to a held-out group.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    mask = np.zeros(len(names), dtype=bool)
    mask[held_out(len(names), fraction, salt)[1].numpy()] = True
    return mask[group]


def subset(count: int, size: int | None) -> Tensor:
    """Indices int64 of `size` of `count` samples, drawn at random but always the same; all of them for None.

    Raises:
        UmbelError: The size is not at least 1.
    """
    if size is not None and size < 1:
        raise UmbelError(f"size is {size}; give at least 1 training sample, or leave it out for all")
    if size is None or size >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=seeded(_SPLIT_SEED, 1))[:size].sort().values


def resized(pictures: Tensor, resolution: int | None) -> Tensor:
    """Square pictures at another resolution, by antialiased bilinear interpolation.

    Args:
        pictures: uint8 [n, C, H, W].
        resolution: New height and width in pixels; None leaves the pictures as they are.

    Returns:
        uint8 [n, C, resolution, resolution].
    """
    if resolution is None or pictures.shape[-2:] == (resolution, resolution):
        return pictures
    if resolution < 4:
        raise UmbelError(f"resolution is {resolution}; it must be at least 4 pixels")
    shape = {"size": (resolution, resolution), "mode": "bilinear", "antialias": True}
    return torch.cat([torch.nn.functional.interpolate(piece, **shape) for piece in pictures.split(4096)])


def labels_of(values: np.ndarray, names: Sequence[str]) -> Tensor:
    """Number of each value in `names`, int64 [n]; -1 for a value that is not among them (as "")."""
    numbers = np.full(len(values), -1, dtype=np.int64)
    for number, name in enumerate(names):
        numbers[values == name] = number
    return torch.from_numpy(numbers)


def channels_first(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 [n, H, W, C], as most files hold them, as uint8 [n, C, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))


def with_reconstruction(tasks: Sequence[Task], wanted: bool, channels: int) -> tuple[Task, ...]:
    """The tasks, and "reconstruction" of the picture after them where it is wanted."""
    return (*tasks, reconstruction("reconstruction", channels)) if wanted else tuple(tasks)


def picture_data(
    name: str,
    title: str,
    tasks: Sequence[Task],
    parts: Mapping[str, Batch],
    note: str,
    size: int | None = None,
    resolution: int | None = None,
    augment: Augmentation | None = None,
) -> MultiTaskData:
    """A set of pictures from its splits.

    Args:
        name: As on the command line.
        title: One line.
        tasks: In the order of the tables.
        parts: The samples of "train", "validation" and "test"; pictures uint8 [n, C, H, W].
        note: Source, licence, caveats.
        size: Number of training samples to use; None for all.
        resolution: Height and width in pixels; None for the set's own.
        augment: For training batches.
    """
    parts = dict(parts)
    parts["train"] = parts["train"][subset(len(parts["train"]), size)]
    parts = {split: replace(part, inputs=resized(part.inputs, resolution)) for split, part in parts.items()}
    sources = {split: TensorSource(part, augment if split == "train" else None) for split, part in parts.items()}
    return MultiTaskData(
        name, title, tuple(tasks), **sources, input_shape=tuple(parts["test"].inputs.shape[1:]), note=note
    )
