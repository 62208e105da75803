"""`pascal_context`: segmentation, edges and saliency on PASCAL pictures, in the layout of ASTMT.

The layout was read from github.com/SimonVandenhende/Multi-Task-Learning-PyTorch (`data/pascal_context.py`), which
took it from github.com/facebookresearch/astmt.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor

from umbel import tasks
from umbel.core import Batch, Task, UmbelError
from umbel.data.augment import FlipMaps
from umbel.data.find import need
from umbel.data.folders import Size, carved, checked_labels, nearest, opened
from umbel.data.maps import boundaries_of, chosen_tasks
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
TASKS = ("segmentation", "boundaries", "saliency")
_VOID = 255
_NOTE = (
    "PASCAL-Context with the labels that ASTMT collected: VOC classes, edges of the 459-class label maps, and saliency "
    "distilled from a network (not annotated by people). The published val split is the test split here; validation "
    "is a fixed part of train. Cite: Chen et al., CVPR 2014; Mottaghi et al., CVPR 2014; Maninis, Radosavovic, "
    "Kokkinos, CVPR 2019. See the publishers for the licence."
)


def _identifiers(root: Path, split: str) -> list[str]:
    path = root / "ImageSets" / "Context" / f"{split}.txt"
    if not path.is_file():
        raise UmbelError(f"{path}: no such file; unpack the whole set (PASCAL_MT)")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise UmbelError(f"{path}: no sample in it; unpack the set again")
    return names


def _existing(*paths: Path) -> Path:
    for path in paths:
        if path.is_file():
            return path
    raise UmbelError(f"{' and '.join(map(str, paths))}: no such file, though the split lists it; unpack the whole set")


def _fitted(full: Size, resolution: int) -> Size:
    """Height and width of a picture scaled so that its longer side is `resolution`."""
    factor = resolution / max(full)
    return max(1, round(full[0] * factor)), max(1, round(full[1] * factor))


def _padded(values: Tensor, resolution: int, fill: int) -> Tensor:
    """[..., H, W] with `fill` below and to the right."""
    height, width = values.shape[-2:]
    return torch.nn.functional.pad(values, [0, resolution - width, 0, resolution - height], value=fill)


def _label_map(path: Path) -> Tensor:
    """The 459 classes of PASCAL-Context, int64 [H, W]."""
    try:
        return torch.from_numpy(loadmat(path)["LabelMap"].astype(np.int64))
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise UmbelError(f"{path}: not a label map of PASCAL-Context ({error}); fetch the file again") from error


def _of_size(labels: Tensor, full: Size, path: Path) -> Tensor:
    if labels.shape != full:
        raise UmbelError(
            f"{path}: {labels.shape[0]}×{labels.shape[1]} pixels, its picture has {full[0]}×{full[1]} (height×width)"
        )
    return labels


def _target(root: Path, name: str, sample: str, full: Size) -> Tensor:
    """One label map [H, W], int64, -1 for void."""
    if name == "boundaries":
        path = _existing(root / "pascal-context" / "trainval" / f"{sample}.mat")
        return _of_size(_label_map(path), full, path)
    if name == "saliency":
        path = _existing(root / "sal_distill" / f"{sample}.png")
        return torch.from_numpy((np.array(opened(path, full).convert("L")) > 127).astype(np.int64))
    path = _existing(*(root / "semseg" / part / f"{sample}.png" for part in ("VOC12", "pascal-context")))
    labels = torch.from_numpy(np.array(opened(path, full)).astype(np.int64))
    return checked_labels(labels, len(CLASSES), _VOID, path)


def _batch(root: Path, samples: Sequence[str], resolution: int, names: Sequence[str]) -> Batch:
    shape = (len(samples), resolution, resolution)
    pictures = torch.zeros(len(samples), 3, resolution, resolution, dtype=torch.uint8)
    maps = {name: torch.full(shape, -1, dtype=torch.int64) for name in names}
    for k, sample in enumerate(samples):
        image = opened(_existing(root / "JPEGImages" / f"{sample}.jpg"), None).convert("RGB")
        full = image.size[::-1]
        size = _fitted(full, resolution)
        small = torch.from_numpy(np.array(image.resize(size[::-1], Image.Resampling.BOX))).movedim(2, 0)
        pictures[k] = _padded(small, resolution, 0)
        for name, labels in maps.items():
            labels[k] = _padded(nearest(_target(root, name, sample, full), size), resolution, -1)
    targets = {name: boundaries_of(labels) if name == "boundaries" else labels for name, labels in maps.items()}
    return Batch(pictures, targets)


def _task(name: str) -> Task:
    if name == "boundaries":
        return tasks.boundaries(name)
    return tasks.segmentation(name, CLASSES if name == "segmentation" else ("rest", "salient"))


def pascal_context(
    size: int | None = None,
    resolution: int = 128,
    names: Sequence[str] | str = TASKS[:2],
    validation: float = 0.1,
    augment: bool = True,
) -> MultiTaskData:
    """PASCAL-Context as ASTMT and MTI-Net users have it (`PASCAL_MT.tgz`).

    Layout, in a folder `PASCAL_MT` (or `pascal_context`): `ImageSets/Context/{train,val}.txt` list the samples;
    `JPEGImages/*.jpg`; `semseg/VOC12/*.png`, or `semseg/pascal-context/*.png` where that is missing, 0 to 20 and 255
    for void; `pascal-context/trainval/*.mat` with `LabelMap`; `sal_distill/*.png`. The pictures have many sizes: each
    is scaled so that its longer side is `resolution` and padded to a square with black, which has no label. Everything
    is held in memory: about 0.35 MB a sample at 128×128 with two tasks.

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all that validation leaves.
        resolution: Height and width of the squares, 16 or more.
        names: Which tasks: "segmentation" (21 classes), "boundaries" (where the 459-class map changes), "saliency".
        validation: Share of train kept for validation; the published val is the test split.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set or a listed file is not here; labels out of range or of another size than their picture.

    Differs from ASTMT: boundaries are not thinned, and are found after resizing; human parts and the distilled normals
    are not read.
    """
    names = chosen_tasks(names, TASKS, "pascal-context")
    if resolution < 16:
        raise UmbelError(f"pascal-context: resolution {resolution} is too low; give 16 or more")
    hint = "get PASCAL_MT.tgz of github.com/facebookresearch/astmt and unpack it"
    root = need("pascal-context", "PASCAL_MT", "pascal_context", hint=hint)
    published = _identifiers(root, "train")
    learnt, kept = carved(len(published), validation, "pascal-context")
    learnt = learnt[subset(len(learnt), size)]
    parts = [published[k] for k in learnt], [published[k] for k in kept], _identifiers(root, "val")
    train, held, test = (_batch(root, part, resolution, names) for part in parts)
    return MultiTaskData(
        name="pascal-context",
        title=f"PASCAL-Context, {resolution}×{resolution}",
        tasks=tuple(_task(name) for name in names),
        train=TensorSource(train, FlipMaps(names) if augment else None),
        validation=TensorSource(held),
        test=TensorSource(test),
        input_shape=(3, resolution, resolution),
        note=_NOTE,
    )
