"""Sets of streets in the layouts that their users have: Cityscapes, Foggy Cityscapes, KITTI, BDD100K."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from umbel.data.boxes.annotated import (
    SPLIT_WORDS,
    AnnotatedPicture,
    AnnotatedSet,
    corners_of,
    number,
    pictures_in,
    without_repeats,
)
from umbel.data.boxes.json_files import entry, read_json_file, records
from umbel.data.boxes.notes import Notes
from umbel.errors import UmbelError, shown

CITYSCAPES_THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Classes of which Cityscapes outlines each thing by itself; the usual eight of detection."""
KITTI_THINGS = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
"""Classes of KITTI; what it marks as DontCare is left out."""
_POLYGONS = "_gtFine_polygons.json"
_PICTURE = "_leftImg8bit"
_BDD_LABELS = ("labels/det_20/det_{}.json", "labels/bdd100k_labels_images_{}.json", "labels/bdd100k_labels_{}.json")


def _made(
    folder: Path, layout: str, pictures: list[AnnotatedPicture], classes: tuple[str, ...], notes: Notes
) -> AnnotatedSet:
    if not pictures:
        said = notes.sentences()
        raise UmbelError(f"{folder}: no labelled picture in {layout} layout{f' ({said[0]})' if said else ''}")
    return AnnotatedSet(folder, layout, without_repeats(pictures, notes), classes, notes)


def read_cityscapes(folder: Path, beta: float | None = None) -> AnnotatedSet:
    """Cityscapes: `leftImg8bit/{train,val}/CITY/*.png` and `gtFine/{train,val}/CITY/*_gtFine_polygons.json`.

    A box is the least one around a polygon. Groups ("cargroup"), which outline several things as one, are left out.

    Args:
        folder: The set.
        beta: None: clear pictures. A number: those of Foggy Cityscapes with this density of fog (0.005, 0.01 or 0.02),
            `leftImg8bit_foggy/{train,val}/CITY/*_leftImg8bit_foggy_beta_0.02.png`.

    Raises:
        UmbelError: A damaged file, no fog of this density (says which there is), or nothing in this layout.
    """
    root = folder / ("leftImg8bit" if beta is None else "leftImg8bit_foggy")
    ending = "" if beta is None else f"_foggy_beta_{beta:g}"
    layout = "Cityscapes" if beta is None else "Foggy Cityscapes"
    notes = Notes()
    pictures = []
    for split, of in (("train", "train"), ("val", "validation")):
        for path in pictures_in(root / split, deep=True):
            start, mark, end = path.stem.partition(_PICTURE)
            if not mark or end != ending:
                continue
            label = folder / "gtFine" / split / path.parent.name / f"{start}{_POLYGONS}"
            if not label.is_file():
                notes.add("pictures without polygons, left out", path.name)
                continue
            pictures.append(_outlined(path, label, of))
    if not pictures and beta is not None and (others := _betas(root)):
        raise UmbelError(f"{folder}: no picture with beta {beta:g}; there are {', '.join(others)}")
    return _made(folder, layout, pictures, CITYSCAPES_THINGS, notes)


def _betas(root: Path) -> list[str]:
    return sorted({p.stem.rpartition("_beta_")[2] for p in pictures_in(root, deep=True) if "_beta_" in p.stem})


def _outlined(path: Path, label: Path, split: str) -> AnnotatedPicture:
    content = read_json_file(label)
    content = content if isinstance(content, Mapping) else {}
    corners, classes = [], []
    for place, one in enumerate(records(entry(content, "objects", str(label)), f"{label}: objects")):
        where = f"{label}: objects[{place}]"
        name, polygon = entry(one, "label", where), entry(one, "polygon", where)
        if name not in CITYSCAPES_THINGS:
            continue
        points = _points(polygon, f"{where}.polygon")
        corners.append([*points.min(0), *points.max(0)])
        classes.append(name)
    width, height = content.get("imgWidth"), content.get("imgHeight")
    size = (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None
    return AnnotatedPicture(path.name, path, corners_of(corners), tuple(classes), True, size, split)


def _points(polygon: Any, where: str) -> np.ndarray:
    if not isinstance(polygon, list) or not polygon or not all(isinstance(p, list) and len(p) == 2 for p in polygon):
        raise UmbelError(f"{where} is {shown(polygon)}; a polygon is a list of points [x, y]")
    return np.array([[number(value, lambda: where) for value in point] for point in polygon], np.float64)


def read_kitti(folder: Path) -> AnnotatedSet:
    """KITTI: `training/image_2/*.png` and `training/label_2/*.txt`, a line for each thing; no split of the publisher.

    Raises:
        UmbelError: A line that is none of KITTI's, or nothing in this layout.
    """
    root = folder / "training" if (folder / "training").is_dir() else folder
    notes = Notes()
    pictures = []
    for path in pictures_in(root / "image_2"):
        label = root / "label_2" / f"{path.stem}.txt"
        if not label.is_file():
            notes.add("pictures without label file, left out", path.name)
            continue
        told = list(_kitti_lines(label))
        corners = corners_of(corners for _, corners in told)
        pictures.append(AnnotatedPicture(path.name, path, corners, tuple(name for name, _ in told)))
    return _made(folder, "KITTI", pictures, KITTI_THINGS, notes)


def _kitti_lines(path: Path) -> Iterator[tuple[str, list[float]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UmbelError(f"{path}: not a readable text file ({error}); fetch it again") from None
    for place, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0] == "DontCare":
            continue
        if words[0] not in KITTI_THINGS or len(words) < 8:
            raise UmbelError(f"{path}, line {place}: {line[:40]!r} is no line of KITTI's (class, ..., x1, y1, x2, y2)")
        yield words[0], [number(word, lambda k=place: f"{path}, line {k}: a corner") for word in words[4:8]]


def read_bdd100k(folder: Path) -> AnnotatedSet:
    """BDD100K: `images/100k/{train,val}/*.jpg` and `labels/det_20/det_{train,val}.json`, or the older names.

    Raises:
        UmbelError: A damaged file, or nothing in this layout.
    """
    notes = Notes()
    pictures: list[AnnotatedPicture] = []
    for split in ("train", "val"):
        labels = [folder / name.format(split) for name in _BDD_LABELS]
        label = next((path for path in labels if path.is_file()), None)
        places = [folder / "images" / "100k" / split, folder / "images" / split]
        root = next((place for place in places if place.is_dir()), None)
        if label is None or root is None:
            continue
        for place, one in enumerate(records(read_json_file(label), str(label))):
            pictures += _bdd_picture(one, root, f"{label}[{place}]", SPLIT_WORDS[split], notes)
    classes = sorted({name for picture in pictures for name in picture.classes})
    return _made(folder, "BDD100K", pictures, tuple(classes), notes)


def _bdd_picture(
    one: Mapping[str, Any], root: Path, where: str, split: str, notes: Notes
) -> Iterator[AnnotatedPicture]:
    name = entry(one, "name", where)
    if not isinstance(name, str) or Path(name).name != name or "\0" in name:
        raise UmbelError(f"{where}.name is {shown(name)}; it names a picture")
    if not (root / name).is_file():
        notes.add("pictures that a label file names and that are not there, left out", name)
        return
    corners, classes = [], []
    for place, label in enumerate(records(one.get("labels") or [], f"{where}.labels")):
        box, kind = label.get("box2d"), label.get("category")
        if box is None:  # a lane, or an area that can be driven on
            continue
        if not isinstance(box, Mapping) or not isinstance(kind, str) or not kind:
            raise UmbelError(f"{where}.labels[{place}]: a box has a category and box2d with x1, y1, x2, y2")
        sides = (box.get(side) for side in ("x1", "y1", "x2", "y2"))
        corners.append([number(side, lambda k=place: f"{where}.labels[{k}].box2d") for side in sides])
        classes.append(kind)
    yield AnnotatedPicture(name, root / name, corners_of(corners), tuple(classes), split=split)
