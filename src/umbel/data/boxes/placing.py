"""Boxes in the pixels that a network sees: what does not fit its picture is put right or left out, and counted."""

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from umbel.data.boxes.annotated import AnnotatedPicture, AnnotatedSet
from umbel.data.boxes.notes import Notes
from umbel.data.picture_files import opened_picture
from umbel.errors import UmbelError

LEAST_RESOLUTION = 16
"""Pixels of the longer side."""
QUARTER_TURNS = (5, 6, 7, 8)
"""Values of EXIF's orientation that exchange width and height."""
_ORIENTATION = 0x0112  # EXIF's number of that entry
_OF_DAMAGED_BYTES = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, struct.error)
_SAME_SHAPE = 0.02  # how much two aspect ratios may differ


@dataclass(frozen=True, eq=False)
class PlacedPicture:
    """A picture that will be read, and its boxes at the size that it will have.

    Attributes:
        picture: As it was labelled.
        full: Height and width of the file's picture, upright as it is read.
        size: Height and width after resizing.
        upright: Whether it is turned as its EXIF entry says.
        boxes: x1, y1, x2, y2 after resizing and the class's number; float32 [n, 5].
    """

    picture: AnnotatedPicture
    full: tuple[int, int]
    size: tuple[int, int]
    upright: bool
    boxes: np.ndarray


def resized(full: tuple[int, int], resolution: int | None) -> tuple[int, int]:
    """Height and width with `resolution` pixels on the longer side, at the same aspect ratio; None keeps them.

    Raises:
        UmbelError: Too few pixels.
    """
    if resolution is None:
        return full
    if resolution < LEAST_RESOLUTION:
        raise UmbelError(f"resolution is {resolution}; give {LEAST_RESOLUTION} pixels or more for the longer side")
    height, width = (max(1, round(side * resolution / max(full))) for side in full)
    return height, width


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of a picture; 1 where nothing readable says otherwise."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF data is no reason to refuse a picture
            value = image.getexif().get(_ORIENTATION, 1)
    except _OF_DAMAGED_BYTES:
        return 1
    return value if isinstance(value, int) else 1


def header(path: Path) -> tuple[tuple[int, int], int]:
    """Height and width as they are stored, and EXIF's orientation.

    Raises:
        UmbelError: It cannot be read as a picture.
    """
    with opened_picture(path) as image:
        return (image.height, image.width), orientation(image)


def placed(of: AnnotatedSet, resolution: int | None) -> list[PlacedPicture]:
    """The pictures of a set that can be used.

    Args:
        of: With the classes that are wanted.
        resolution: Pixels of the longer side; None keeps each picture's size.

    Raises:
        UmbelError: None can be used, or `resolution` is too small.
    """
    ready = [one for picture in of.pictures if (one := _placed(picture, of.classes, resolution, of.notes)) is not None]
    if not ready:
        said = of.notes.sentences()
        raise UmbelError(f"{of.folder}: none of its pictures can be used{f' ({said[-1]})' if said else ''}")
    return ready


def _placed(
    picture: AnnotatedPicture, classes: Sequence[str], resolution: int | None, notes: Notes
) -> PlacedPicture | None:
    try:
        stored, turn = header(picture.path)
    except UmbelError as error:
        notes.add("pictures that cannot be read, left out", f"{picture.name} ({str(error).rpartition(': ')[2]})")
        return None
    turned = stored[::-1] if turn in QUARTER_TURNS else stored
    told = picture.told_size[::-1] if picture.told_size else None
    upright = turn != 1 and not (told is not None and told == stored != turned)
    full = turned if upright else stored
    scale = 1.0
    if told is not None and told != full:
        upright = turn != 1
        full = turned if upright else stored
        ratio = (told[1] / told[0]) / (full[1] / full[0])
        if abs(ratio - 1) > _SAME_SHAPE:
            sizes = f"{told[1]}x{told[0]} there, {full[1]}x{full[0]} here"
            notes.add("pictures whose label file tells another size, left out", f"{picture.name} ({sizes})")
            return None
        scale = max(full) / max(told)
        notes.add("pictures that were resized after they were labelled; boxes follow", picture.name)
    size = resized(full, resolution)
    return PlacedPicture(picture, full, size, upright, _boxes(picture, classes, scale, full, size, notes))


def _boxes(
    picture: AnnotatedPicture,
    classes: Sequence[str],
    scale: float,
    full: tuple[int, int],
    size: tuple[int, int],
    notes: Notes,
) -> np.ndarray:
    """Boxes that are upright, within the picture and not empty, at its new size; float32 [n, 5]."""
    corners = picture.corners * scale
    limits = np.array([full[1], full[0]] * 2, np.float64)
    clipped = np.clip(corners, 0, limits)
    sides = np.array([size[1] / full[1], size[0] / full[0]] * 2)
    ready = (clipped * sides).astype(np.float32)
    kept = []
    for place, (box, whole) in enumerate(zip(ready, corners, strict=True)):
        where = f"{picture.name}, box {place + 1} ({picture.classes[place]})"
        if whole[2] < whole[0] or whole[3] < whole[1]:
            notes.add("boxes that end before they begin, left out", where)
        elif whole[2] == whole[0] or whole[3] == whole[1]:
            notes.add("boxes without area, left out", where)
        elif not (box[2] > box[0] and box[3] > box[1]):
            notes.add("boxes outside their picture, left out", where)
        else:
            if (np.abs(clipped[place] - whole) > 1 + 1e-6 * limits).any():  # a last pixel counted as one more is usual
                notes.add("boxes that reach beyond their picture, clipped", where)
            kept.append([*box, classes.index(picture.classes[place])])
    return np.array(kept, np.float32).reshape(-1, 5)
