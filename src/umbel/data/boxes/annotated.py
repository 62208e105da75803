"""What every reader of boxes gives, whatever the layout: pictures, boxes in their pixels, names of classes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from umbel.data.boxes.notes import Notes
from umbel.data.picture_files import PICTURE_ENDINGS
from umbel.errors import UmbelError, unknown

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What publishers call their splits -> what they are here."""


def split_named(word: str) -> str:
    """The split that a word of a file's or folder's name tells, with or without a year: "val", "train2017"; else ""."""
    return SPLIT_WORDS.get(re.sub(r"(?<=[a-z])(19|20)\d\d$", "", word.lower()), "")


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """A picture and what its label file says.

    Attributes:
        name: For messages: a path below the folder of the set, or the name that the label file has for it.
        path: The file.
        corners: x1, y1, x2, y2 of each box as the label file has them, in pixels of the picture; float64 [n, 4].
        classes: Name of each box's class, [n].
        labelled: Whether anybody looked: without boxes, False is a picture that nobody labelled.
        told_size: Width and height as the label file has them; None where it says nothing.
        split: "train", "validation" or "test" where the publisher says so; "" otherwise.
    """

    name: str
    path: Path
    corners: np.ndarray
    classes: tuple[str, ...]
    labelled: bool = True
    told_size: tuple[int, int] | None = None
    split: str = ""


@dataclass(frozen=True, eq=False)
class AnnotatedSet:
    """All pictures of a set.

    Attributes:
        folder: Where it was read from.
        layout: Whose layout, for reports: "VOC", "COCO", ...
        pictures: In the order of their names within each split.
        classes: Names of the classes, in the publisher's order, else that of the alphabet.
        notes: What was odd.
    """

    folder: Path
    layout: str
    pictures: tuple[AnnotatedPicture, ...]
    classes: tuple[str, ...]
    notes: Notes = field(default_factory=Notes)

    def only(self, classes: Sequence[str]) -> "AnnotatedSet":
        """The same pictures with the boxes of some classes, in the order given; of all that occur where none is given.

        Raises:
            UmbelError: A class that the set does not have (says which there are), or one that comes twice.
        """
        present = {name for picture in self.pictures for name in picture.classes}
        if not present:
            raise UmbelError(
                f"{self.folder}: {len(self.pictures)} pictures and no box in any of them; label some first"
            )
        if not classes:
            return replace(self, classes=tuple(name for name in self.classes if name in present))
        for name in classes:
            if name not in self.classes:
                raise unknown(f"class of {self.folder}", name, self.classes)
        if len(set(classes)) < len(classes):
            raise UmbelError(f"the classes {', '.join(classes)} name one twice; name each once")
        return replace(self, pictures=tuple(_of(p, set(classes)) for p in self.pictures), classes=tuple(classes))


def _of(picture: AnnotatedPicture, classes: set[str]) -> AnnotatedPicture:
    kept = [number for number, name in enumerate(picture.classes) if name in classes]
    return replace(picture, corners=picture.corners[kept], classes=tuple(picture.classes[k] for k in kept))


def corners_of(boxes: Iterable[Sequence[float]]) -> np.ndarray:
    """Corners as float64 [n, 4]."""
    return np.array(list(boxes), np.float64).reshape(-1, 4)


def pictures_in(folder: Path, deep: bool = False) -> list[Path]:
    """The pictures of a folder by name; hidden ones are passed over.

    Args:
        folder: Where.
        deep: Also those of the folders in it.
    """
    try:
        paths = sorted(folder.rglob("*") if deep else folder.iterdir())
    except OSError:
        return []
    return [p for p in paths if p.suffix.lower() in PICTURE_ENDINGS and not p.name.startswith(".") and p.is_file()]


def without_repeats(pictures: Sequence[AnnotatedPicture], notes: Notes) -> tuple[AnnotatedPicture, ...]:
    """Each picture once: in the test split, in validation, or else in training."""
    order = ("test", "validation", "train", "")
    first: dict[Path, AnnotatedPicture] = {}
    for picture in sorted(pictures, key=lambda one: order.index(one.split)):
        if picture.path not in first:
            first[picture.path] = picture
        else:
            other = first[picture.path].split
            if picture.split == other:
                notes.add("pictures that are named twice, taken once", picture.name)
            else:
                what = "pictures that are in two splits, left out of the first"
                notes.add(what, f"{picture.name} in {picture.split or 'no split'} and {other}")
    kept = set(map(id, first.values()))
    return tuple(picture for picture in pictures if id(picture) in kept)


def number(value: object, what: Callable[[], str]) -> float:
    """A coordinate.

    Raises:
        UmbelError: It is no finite number.
    """
    try:
        read = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        read = float("nan")
    if isinstance(value, bool) or not np.isfinite(read) or abs(read) > 1e9:
        raise UmbelError(f"{what()} is {str(value)[:40]!r}; coordinates are finite numbers of pixels")
    return read
