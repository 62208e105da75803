"""`nyuv2` and `cityscapes`: dense tasks as one NumPy file for each sample and map, the layout of MTAN and LibMTL.

The layout was read from LibMTL's loaders (github.com/median-research-group/LibMTL, `examples/nyu` and
`examples/cityscapes`) and MTAN's (github.com/lorenmt/mtan). `pascal_context` and `celeba` are here by name as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umbel import tasks
from umbel.core import Batch, Task, UmbelError
from umbel.data.augment import FlipMaps
from umbel.data.celeba import celeba
from umbel.data.find import need
from umbel.data.folders import Size, carved, checked_labels, listed, nearest, partners, scaled
from umbel.data.maps import centre_and_scale, chosen_tasks
from umbel.data.pascal_context import pascal_context
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource

__all__ = ["CITYSCAPES_CLASSES", "NYUV2_CLASSES", "celeba", "cityscapes", "nyuv2", "pascal_context"]

NYUV2_CLASSES = (
    *("bed", "books", "ceiling", "chair", "floor", "furniture", "objects"),
    *("picture", "sofa", "table", "tv", "wall", "window"),
)
CITYSCAPES_CLASSES = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")
_NYUV2_NOTE = (
    "NYUv2 as prepared by MTAN: 795 + 654 indoor frames, 13 classes, depth in metres, normals computed by Eigen & "
    "Fergus. The published val split is the test split here; validation is a fixed part of train. Cite: Silberman, "
    "Hoiem, Kohli, Fergus, ECCV 2012; Liu, Johns, Davison, CVPR 2019. See the publishers for the licence."
)
_CITYSCAPES_NOTE = (
    "Cityscapes as prepared by MTAN: 2,975 + 500 street frames, 7 categories, depth as the files have it (inverse "
    "depth, from disparity). The published val split is the test split here; validation is a fixed part of train. "
    "Cite: Cordts et al., CVPR 2016; Liu, Johns, Davison, CVPR 2019. See the publishers for the licence."
)

_Ready = Callable[[Tensor, Path], Tensor]


@dataclass(frozen=True)
class _Layout:
    """What a set in this layout consists of; `folders` gives each task's."""

    name: str
    title: str
    classes: tuple[str, ...]
    folders: dict[str, str]
    depth_unit: str
    note: str


_NYUV2 = _Layout(
    "nyuv2",
    "NYUv2 indoor frames",
    NYUV2_CLASSES,
    {"segmentation": "label", "depth": "depth", "normals": "normal"},
    "m",
    _NYUV2_NOTE,
)
_CITYSCAPES = _Layout(
    "cityscapes",
    "Cityscapes street frames",
    CITYSCAPES_CLASSES,
    {"segmentation": "label", "depth": "depth"},
    "",
    _CITYSCAPES_NOTE,
)


def _array(path: Path, channels: int, full: Size | None) -> Tensor:
    """One file as [channels, H, W]; [H, W] is one channel.

    Raises:
        UmbelError: Not a NumPy array of numbers, or of another form.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UmbelError(f"{path}: not a readable NumPy array ({error}); fetch the file again") from error
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] != channels or array.dtype.kind not in "fiub":
        raise UmbelError(f"{path}: {array.dtype} of shape {array.shape}; numbers [H, W, {channels}] are expected")
    if full is not None and array.shape[:2] != full:
        raise UmbelError(
            f"{path}: {array.shape[0]}×{array.shape[1]} pixels, but the pictures before it have {full[0]}×{full[1]}; "
            "all must have one size (height×width)"
        )
    return torch.from_numpy(np.moveaxis(array, 2, 0).copy())


def _picture(array: Tensor, path: Path) -> Tensor:
    """Bytes, from floats 0 to 1 or bytes."""
    if array.is_floating_point():
        if not bool(((array > -1e-3) & (array < 1 + 1e-3)).all()):
            raise UmbelError(f"{path}: values outside 0 to 1 (or NaN); pictures are floats in 0 to 1, or bytes")
        array = (array * 255).round().clamp(0, 255)
    return array.to(torch.uint8)


def _depth(array: Tensor) -> Tensor:
    """0 is missing in the files."""
    array = array.float()
    return array.masked_fill(array == 0, torch.nan)


def _normals(array: Tensor) -> Tensor:
    """(0, 0, 0) is missing in the files."""
    array = array.float()
    return array.masked_fill((array == 0).all(0), torch.nan)


def _pictures(files: Sequence[Path], resolution: int | None, where: str) -> tuple[Tensor, Size]:
    full = tuple(_array(files[0], 3, None).shape[1:])
    size = scaled(full, resolution, where)
    out = torch.empty(len(files), 3, *size, dtype=torch.uint8)
    for row, path in zip(out, files, strict=True):
        picture = _picture(_array(path, 3, full), path)
        if size != full:
            picture = torch.nn.functional.interpolate(picture[None].float(), size, mode="area")[0].round()
        row.copy_(picture)
    return out, full


def _maps(
    files: Sequence[Path], channels: int, full: Size, size: Size, ready: Callable[[Tensor, Path], Tensor]
) -> Tensor:
    return torch.stack([nearest(ready(_array(path, channels, full), path), size) for path in files])


def _target(name: str, files: Sequence[Path], full: Size, size: Size, classes: int) -> Tensor:
    if name == "segmentation":
        return _maps(files, 1, full, size, lambda a, path: checked_labels(_whole(a, path), classes, -1, path)[0])
    if name == "depth":
        return _maps(files, 1, full, size, lambda a, path: _depth(a))
    return _maps(files, 3, full, size, lambda a, path: _normals(a))


def _whole(array: Tensor, path: Path) -> Tensor:
    if array.is_floating_point() and not bool((array == array.round()).all()):
        raise UmbelError(f"{path}: labels that are not whole numbers; is it the right folder?")
    return array.long()


def _files(root: Path, split: str, layout: _Layout, names: Sequence[str]) -> dict[str, list[Path]]:
    """All files of a split, by task; the pictures' under "image"."""
    pictures = listed(root / split / "image", (".npy",))
    return {
        "image": pictures,
        **{name: partners(pictures, root / split / layout.folders[name], (".npy",)) for name in names},
    }


def _batch(files: dict[str, list[Path]], index: Tensor, layout: _Layout, resolution: int | None) -> Batch:
    chosen = {name: [paths[k] for k in index.tolist()] for name, paths in files.items()}
    pictures, full = _pictures(chosen.pop("image"), resolution, layout.name)
    size = tuple(pictures.shape[-2:])
    return Batch(pictures, {n: _target(n, paths, full, size, len(layout.classes)) for n, paths in chosen.items()})


def _task(name: str, layout: _Layout, train: Batch) -> Task:
    if name == "segmentation":
        return tasks.segmentation(name, layout.classes)
    if name == "depth":
        return tasks.dense_regression(name, *centre_and_scale(train.target(name)), unit=layout.depth_unit)
    return tasks.surface_normals(name)


def _load(
    layout: _Layout,
    root: Path,
    size: int | None,
    resolution: int | None,
    names: Sequence[str] | str,
    share: float,
    flip: bool,
) -> MultiTaskData:
    names = chosen_tasks(names, layout.folders, layout.name)
    files, test_files = _files(root, "train", layout, names), _files(root, "val", layout, names)
    learnt, kept = carved(len(files["image"]), share, layout.name)
    learnt = learnt[subset(len(learnt), size)]
    train = _batch(files, learnt, layout, resolution)
    validation = _batch(files, kept, layout, resolution)
    test = _batch(test_files, torch.arange(len(test_files["image"])), layout, resolution)
    height, width = train.inputs.shape[-2:]
    return MultiTaskData(
        name=layout.name,
        title=f"{layout.title}, {height}×{width}",
        tasks=tuple(_task(name, layout, train) for name in names),
        train=TensorSource(train, FlipMaps(names, mirrored_x=("normals",)) if flip else None),
        validation=TensorSource(validation),
        test=TensorSource(test),
        input_shape=(3, height, width),
        note=layout.note,
    )


def nyuv2(
    size: int | None = None,
    resolution: int | None = None,
    names: Sequence[str] | str = tuple(_NYUV2.folders),
    validation: float = 0.1,
    augment: bool = True,
) -> MultiTaskData:
    """NYUv2 as MTAN prepared it and LibMTL reads it.

    Layout, in a folder `nyuv2` (or `NYUv2`): `{train,val}/{image,label,depth,normal}/0.npy` and on. `image` float
    [288, 384, 3] in 0 to 1; `label` [288, 384], 0 to 12 and -1 for void; `depth` [288, 384, 1] in metres, 0 where
    missing; `normal` [288, 384, 3] with x to the right, (0, 0, 0) where missing. The published val is the test split;
    validation is carved from train, always the same samples. Any one picture size will do.

    Everything is held in memory: 3 MB a sample at full size (4.5 GB in all), a quarter of it at `resolution=144`.

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all that validation leaves.
        resolution: Rows after resizing (the width follows); None keeps the size. Labels, depth and normals take the
            nearest pixel.
        names: Which tasks: "segmentation" (13 classes), "depth" (m), "normals".
        validation: Share of train kept for validation.
        augment: Mirror half of the training pictures; normals change the sign of x.

    Raises:
        UmbelError: The set is not here; a file without partner; mixed sizes; a label out of range.

    Differs from LibMTL: a normal is missing if all its components are 0; there, if they add up to 0.
    """
    root = need("nyuv2", "nyuv2", "NYUv2", hint="get the prepared set that github.com/lorenmt/mtan links to")
    return _load(_NYUV2, root, size, resolution, names, validation, augment)


def cityscapes(
    size: int | None = None,
    resolution: int | None = None,
    names: Sequence[str] | str = tuple(_CITYSCAPES.folders),
    validation: float = 0.1,
    augment: bool = True,
) -> MultiTaskData:
    """Cityscapes as MTAN prepared it and LibMTL reads it.

    Layout, in a folder `cityscapes2` (or `cityscapes`): `{train,val}/{image,label,depth}/0.npy` and on. `image` float
    [128, 256, 3] in 0 to 1; `label` [128, 256], 0 to 6 and -1 for void; `depth` [128, 256, 1], inverse depth from
    disparity in the files' own unit, 0 where missing. Splits as for `nyuv2`. The files do not name the classes; the
    names here are Cityscapes' categories in their official order.

    Everything is held in memory: 0.5 MB a sample at full size (1.7 GB in all).

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all that validation leaves.
        resolution: Rows after resizing (the width follows); None keeps the size.
        names: Which tasks: "segmentation" (7 classes), "depth".
        validation: Share of train kept for validation.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here; a file without partner; mixed sizes; a label out of range.
    """
    hint = "get the prepared 128×256 set that github.com/lorenmt/mtan links to"
    root = need("cityscapes", "cityscapes2", "cityscapes", hint=hint)
    return _load(_CITYSCAPES, root, size, resolution, names, validation, augment)
