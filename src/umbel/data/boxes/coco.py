"""COCO: one JSON file for each split, with pictures, categories and boxes as x, y, width, height."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from umbel.data.boxes.annotated import (
    AnnotatedPicture,
    AnnotatedSet,
    corners_of,
    number,
    split_named,
    without_repeats,
)
from umbel.data.boxes.json_files import entry, read_json_file, records
from umbel.data.boxes.notes import Notes
from umbel.data.picture_files import PICTURE_ENDINGS
from umbel.errors import UmbelError, shown

_LABEL_FOLDERS = ("annotations", "Annotations", "coco", ".")
_PICTURE_FOLDERS = (".", "images", "Images", "JPEGImages", "data", "pictures")
_HEAD = 4_096


def coco_files(folder: Path) -> list[Path]:
    """The label files of a folder in this layout, at most one for each split; none where it is no such folder."""
    for name in _LABEL_FOLDERS:
        files = [path for path in sorted((folder / name).glob("*.json")) if _looks_right(path)]
        instances = [path for path in files if path.name.startswith("instances")]
        if files := instances or files:
            return files
    return [path for path in sorted(folder.glob("*/*.json")) if split_named(path.parent.name) and _looks_right(path)]


def _looks_right(path: Path) -> bool:
    """Whether a file may be COCO's, by its beginning: an object that names one of its lists."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.lstrip().startswith(b"{") and bool(re.search(rb'"(images|annotations|categories|info|licenses)"', head))


def read_coco(where: Path, files: Sequence[Path]) -> AnnotatedSet:
    """Label files in COCO's form; pictures are looked for beside them.

    Crowds (`iscrowd`) are no boxes of single things and are left out. A picture without any box was looked at and holds
    nothing.

    Args:
        where: The folder of the set, or its only file.
        files: Label files, a split each.

    Raises:
        UmbelError: A file is damaged, a picture's number comes twice, files name their categories differently, or no
            picture is there.
    """
    notes = Notes()
    pictures: list[AnnotatedPicture] = []
    classes: list[str] = []
    for path in files:
        content = read_json_file(path)
        if not isinstance(content, Mapping):
            raise UmbelError(f"{path}: holds {type(content).__name__}, not COCO's images, annotations and categories")
        names = _categories(content, path)
        classes += [name for name in names.values() if name not in classes]
        pictures += _pictures(content, names, path, _split_of(path) if len(files) > 1 else "", notes)
    if not pictures:
        raise UmbelError(f"{where}: no picture that its label file names is there{_hint(notes)}")
    return AnnotatedSet(where, "COCO", without_repeats(pictures, notes), tuple(classes), notes)


def _hint(notes: Notes) -> str:
    said = notes.sentences()
    return f" ({said[0]})" if said else ""


def _split_of(path: Path) -> str:
    words = re.split(r"[^a-z0-9]+", f"{path.parent.name} {path.stem}".lower())
    splits = [split for split in map(split_named, words) if split]
    return splits[-1] if splits else ""


def _categories(content: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Number -> name; numbers need not be contiguous."""
    names: dict[int, str] = {}
    for place, one in enumerate(records(entry(content, "categories", str(path)), f"{path}: categories")):
        where = f"{path}: categories[{place}]"
        number_of, name = _whole(entry(one, "id", where), f"{where}.id"), entry(one, "name", where)
        if not isinstance(name, str) or not name.strip():
            raise UmbelError(f"{where}.name is {shown(name)}; categories have names")
        if number_of in names:
            raise UmbelError(f"{path}: two categories have the number {number_of}; give each its own")
        names[number_of] = " ".join(name.split())
    return dict(sorted(names.items()))


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UmbelError(f"{where} is {shown(value)}; numbers of pictures and categories are whole numbers")
    return value


def _pictures(
    content: Mapping[str, Any], names: Mapping[int, str], path: Path, split: str, notes: Notes
) -> list[AnnotatedPicture]:
    boxes = _boxes(content, names, path, notes)
    images = records(entry(content, "images", str(path)), f"{path}: images")
    places = _Places(path)
    seen: set[int] = set()
    pictures = []
    for place, one in enumerate(images):
        where = f"{path}: images[{place}]"
        identity, name = _whole(entry(one, "id", where), f"{where}.id"), entry(one, "file_name", where)
        if identity in seen:
            raise UmbelError(f"{path}: two pictures have the number {identity}; give each its own")
        seen.add(identity)
        if not isinstance(name, str) or not name.lower().endswith(PICTURE_ENDINGS):
            raise UmbelError(f"{where}.file_name is {shown(name)}; it names a picture")
        file = places.find(name)
        if file is None:
            notes.add("pictures that a label file names and that are not there, left out", f"{name} of {path.name}")
            continue
        told = boxes.get(identity, [])
        corners, classes = corners_of(corners for _, corners in told), tuple(of_class for of_class, _ in told)
        pictures.append(AnnotatedPicture(name, file, corners, classes, True, _size(one), split))
    if strange := set(boxes) - seen:
        notes.add("pictures that boxes name and that the file does not list, left out", f"number {min(strange)}")
    return pictures


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = image.get("width"), image.get("height")
    return sides if all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sides) else None


def _boxes(
    content: Mapping[str, Any], names: Mapping[int, str], path: Path, notes: Notes
) -> dict[int, list[tuple[str, list[float]]]]:
    """Number of a picture -> (class, corners) of its boxes."""
    boxes: dict[int, list[tuple[str, list[float]]]] = {}
    for place, one in enumerate(records(content.get("annotations", []), f"{path}: annotations")):
        where = f"{path}: annotations[{place}]"
        image = _whole(entry(one, "image_id", where), f"{where}.image_id")
        category = _whole(entry(one, "category_id", where), f"{where}.category_id")
        if category not in names:
            raise UmbelError(f"{where}: category {category} is not among the file's categories {sorted(names)[:20]}")
        if one.get("iscrowd"):
            notes.add("crowds, left out", f"{path.name}, annotation {place} ({names[category]})")
            continue
        box = one.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            notes.add("annotations without a box, left out", f"{path.name}, annotation {place}")
            continue
        x, y, width, height = (number(value, lambda w=where: f"{w}.bbox") for value in box)
        boxes.setdefault(image, []).append((names[category], [x, y, x + width, y + height]))
    return boxes


class _Places:
    """Where the pictures of one label file are; never outside the folder of the set."""

    def __init__(self, path: Path) -> None:
        beside, split = path.parent, _split_of(path)
        roots = [beside, beside.parent] if beside.name in _LABEL_FOLDERS else [beside]
        folders = [root / name for root in roots for name in _PICTURE_FOLDERS if (root / name).is_dir()]
        deeper = [
            one for folder in folders for one in sorted(folder.iterdir()) if split and split_named(one.name) == split
        ]
        self.folders = [*folders, *(one for one in deeper if one.is_dir())]

    def find(self, name: str) -> Path | None:
        """The file of that name; the folder of the last one is tried first.

        Labelling programs write paths of their own machine. Where there is no such path below a folder of pictures,
        and for paths that lead out of it, the name at the path's end counts.
        """
        path = PurePosixPath(name.replace("\\", "/").replace("\0", ""))
        inside = not path.is_absolute() and ".." not in path.parts
        for relative in (path, path.name) if inside else (path.name,):
            for place, folder in enumerate(self.folders):
                if (folder / relative).is_file():
                    self.folders.insert(0, self.folders.pop(place))
                    return folder / relative
        return None
