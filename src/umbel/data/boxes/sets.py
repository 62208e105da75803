"""Sets of boxes that are known by name: blood cells of two laboratories, and streets."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from umbel.data.boxes.annotated import AnnotatedSet
from umbel.data.boxes.building import Wanted, boxes_data
from umbel.data.boxes.splitting import SplitWish
from umbel.data.boxes.streets import read_bdd100k, read_cityscapes, read_kitti
from umbel.data.boxes.voc import read_voc
from umbel.data.find import need
from umbel.data.source import MultiTaskData, seeded
from umbel.data.weather import blur, fog, illumination, smooth_fields
from umbel.errors import UmbelError

CELLS = ("RBC", "WBC")
"""Red and white blood cells: what both laboratories labelled."""
STRENGTH = "strength"
"""Name of the target, of no task, that holds how strong the weather of each picture is."""
_LABORATORIES = {
    "a": ("blood-cells", "detection/bccd", 160, "Blood cells, 364 pictures of one laboratory"),
    "b": ("blood-cells-b", "detection/blood_b", 128, "Blood cells, 100 pictures of another laboratory"),
}
_HINT = "put JPEGImages, Annotations and ImageSets of {} there"
_SOURCES = {
    "a": "github.com/Shenggan/BCCD_Dataset (MIT)",
    "b": "github.com/draaslan/blood-cell-detection-dataset (MIT)",
}
_CAVEATS = {
    "a": "Labels of red cells are known to be incomplete, and a few come twice. Platelets are left out.",
    "b": "Another microscope, camera and stain than blood-cells; the default sizes show cells about as large.",
}
Weather = Literal["fog", "blur", "illumination"]
_RANGES = {"fog": (0.0, 3.0), "blur": (0.0, 4.0), "illumination": (0.0, 1.0)}


def blood_cells(
    laboratory: Literal["a", "b"] = "a",
    size: int | None = None,
    resolution: int | None = None,
    classes: Sequence[str] | str = CELLS,
    count: bool = False,
    presence: bool = False,
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """Red and white blood cells under the microscope of one of two laboratories, in VOC layout.

    Args:
        laboratory: "a": BCCD, 640x480; "b": draaslan's set, 256x256.
        size: At most so many training pictures; None: all.
        resolution: Pixels of the longer side; None: 160 and 128, at which cells of both are about as large.
        classes: Only these.
        count: A further task: the number of boxes of each class.
        presence: A further task: which classes there are.
        folds: Cut all pictures into so many parts; None: the publisher's split.
        fold: Which of them is the test.
        seed: Of the folds; given alone, another random split.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here, or see `boxes_folder`.
    """
    name, place, usual, title = _LABORATORIES[laboratory]
    root = need(name, place, hint=_HINT.format(_SOURCES[laboratory]))
    wish = SplitWish((), folds, fold, seed)
    wanted = Wanted(classes, resolution or usual, size, count, presence, wish, augment)
    note = f"{_SOURCES[laboratory]}. {_CAVEATS[laboratory]}"
    return boxes_data(name, title, read_voc(root), wanted, note)


def blood_cells_fog(
    kind: Weather = "fog",
    strengths: Sequence[float] = (),
    weather_seed: int = 0,
    size: int | None = None,
    resolution: int | None = None,
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """The pictures of `blood_cells`, each in weather of a strength of its own, which is known.

    The strength of each picture is in the target "strength", float32 [N], of no task. It and all else that is random
    about the weather follow from `weather_seed` and the name of the picture, whatever the split.

    Args:
        kind: "fog" (strength: beta of a fog about 1 thick), "blur" (sigma in pixels) or "illumination" (the
            logarithm of gamma and of gain goes up to it, either way).
        strengths: Least and greatest, uniform in between; none: 0/3, 0/4 and 0/1.
        weather_seed: Other weather.
        size: As for `blood_cells`, and so are the others.
        resolution: Pixels of the longer side.
        folds: Parts of all pictures.
        fold: Which is the test.
        seed: Of the folds.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: As `blood_cells`, or a range that is none.
    """
    if len(strengths) not in (0, 2):
        raise UmbelError(f"strengths are {'/'.join(map(str, strengths))}; give the least and the greatest, as in 0/3")
    least, most = strengths or _RANGES[kind]
    if not 0 <= least < most:
        raise UmbelError(f"strengths are {'/'.join(map(str, strengths))}; give the least and the greatest, as in 0/3")
    wish = SplitWish((), folds, fold, seed)
    _, place, usual, title = _LABORATORIES["a"]
    root = need("blood-cells-fog", place, hint=_HINT.format(_SOURCES["a"]))
    change = _Weather(kind, least, most, weather_seed)
    wanted = Wanted(CELLS, resolution or usual, size, split=wish, augment=augment, change=change)
    return boxes_data(
        "blood-cells-fog",
        f"{title}, each with {kind} of its own strength",
        read_voc(root),
        wanted,
        f"{_SOURCES['a']}. {_CAVEATS['a']} Pictures are changed: {kind}, strength {least:g} to {most:g}.",
    )


@dataclass(frozen=True)
class _Weather:
    """What happens to a picture; see `blood_cells_fog`."""

    kind: Weather
    least: float
    most: float
    seed: int

    def __call__(self, name: str, picture: Tensor) -> tuple[Tensor, dict[str, float]]:
        generator = seeded(self.seed, zlib.crc32(name.encode()))
        strength = self.least + (self.most - self.least) * torch.rand(1, generator=generator)
        pictures = picture[None]
        if self.kind == "fog":
            distance = 0.5 + smooth_fields(1, tuple(picture.shape[1:]), generator)
            changed = fog(pictures, strength, distance)
        elif self.kind == "blur":
            changed = blur(pictures, strength)
        else:
            gamma, gains = (strength * (2 * torch.rand(n, generator=generator) - 1) for n in (1, 3))
            changed = illumination(pictures, gamma.exp(), (0.5 * gains).exp()[None])
        return changed[0], {STRENGTH: float(strength)}


_STREETS: dict[str, tuple[str, tuple[str, ...], Callable[[Path], AnnotatedSet], tuple[str, ...], str]] = {
    "cityscapes-boxes": (
        "Cityscapes streets, boxes around outlined things",
        ("cityscapes/leftImg8bit", "Cityscapes/leftImg8bit"),
        lambda root: read_cityscapes(root.parent),
        (),
        "Cordts et al., CVPR 2016; www.cityscapes-dataset.com. The published val is the test.",
    ),
    "sim10k": (
        "Sim10k: cars of a computer game",
        ("sim10k/VOC2012", "sim10k", "Sim10k/VOC2012", "Sim10k"),
        lambda root: read_voc(root, "Sim10k"),
        ("car",),
        "Johnson-Roberson et al., ICRA 2017; fcav.engin.umich.edu/projects/driving-in-the-matrix.",
    ),
    "kitti": (
        "KITTI streets",
        ("kitti/training/label_2", "KITTI/training/label_2"),
        lambda root: read_kitti(root.parent.parent),
        ("Car",),
        "Geiger, Lenz, Urtasun, CVPR 2012; www.cvlibs.net/datasets/kitti.",
    ),
    "bdd100k": (
        "BDD100K streets",
        ("bdd100k/images", "BDD100K/images"),
        lambda root: read_bdd100k(root.parent),
        (),
        "Yu et al., CVPR 2020; www.bdd100k.com. The published val is the test.",
    ),
}


def streets(
    name: Literal["cityscapes-boxes", "sim10k", "kitti", "bdd100k"] = "cityscapes-boxes",
    size: int | None = None,
    resolution: int | None = 600,
    classes: Sequence[str] | str = (),
    count: bool = False,
    presence: bool = False,
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """A set of streets in the layout that its publisher gives it; see `umbel.data.boxes.streets`.

    Args:
        name: Which.
        size: At most so many training pictures; None: all.
        resolution: Pixels of the longer side.
        classes: Only these, in this order; none: all that occur, of Sim10k and KITTI the cars.
        count: A further task: the number of boxes of each class.
        presence: A further task: which classes there are.
        folds: Cut all pictures into so many parts; None: the publisher's split, or a random one where there is none.
        fold: Which of them is the test.
        seed: Of the random order.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here, or see `boxes_folder`.
    """
    title, places, read, usual, note = _STREETS[name]
    root = need(name, *places, hint="put it there as its publisher packs it")
    wanted = Wanted(classes or usual, resolution, size, count, presence, SplitWish((), folds, fold, seed), augment)
    return boxes_data(name, title, read(root), wanted, f"{note} See the publisher for the licence.")


def foggy_cityscapes(
    beta: float = 0.02,
    size: int | None = None,
    resolution: int | None = 600,
    classes: Sequence[str] | str = (),
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """Foggy Cityscapes: the streets of Cityscapes with computed fog, `leftImg8bit_foggy` beside Cityscapes' `gtFine`.

    Args:
        beta: Density of the fog, which the file names tell: 0.005, 0.01 or 0.02.
        size: As for `streets`, and so are the others.
        resolution: Pixels of the longer side.
        classes: Only these.
        folds: Parts of all pictures.
        fold: Which is the test.
        seed: Of the random order.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here, there is no fog of this density, or see `boxes_folder`.
    """
    name = "foggy-cityscapes"
    places = [f"{folder}/leftImg8bit_foggy" for folder in ("cityscapes", "Cityscapes", "foggy_cityscapes")]
    root = need(name, *places, hint="put leftImg8bit_foggy beside Cityscapes' gtFine there")
    wanted = Wanted(classes, resolution, size, split=SplitWish((), folds, fold, seed), augment=augment)
    note = "Sakaridis, Dai, Van Gool, IJCV 2018. The published val is the test. See the publisher for the licence."
    return boxes_data(name, f"Foggy Cityscapes, beta {beta:g}", read_cityscapes(root.parent, beta), wanted, note)
