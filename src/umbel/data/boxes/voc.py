"""PASCAL VOC: an XML file for each picture, and lists of names for the splits."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from umbel.data.boxes.annotated import (
    AnnotatedPicture,
    AnnotatedSet,
    corners_of,
    number,
    pictures_in,
    split_named,
    without_repeats,
)
from umbel.data.boxes.notes import Notes
from umbel.errors import UmbelError

_LABEL_FOLDERS = ("Annotations", "annotations", "labels", "xml", "xmls", ".")
_PICTURE_FOLDERS = ("JPEGImages", "images", "Images", "PNGImages", "pictures", ".")
_LIST_FOLDERS = ("ImageSets/Main", "ImageSets", ".")
_LISTS = {"train": "train", "val": "validation", "test": "test"}
_LARGEST_FILE = 50_000_000  # bytes of one XML file


def voc_folders(folder: Path) -> tuple[Path, Path] | None:
    """Where the XML files and the pictures of a folder in this layout are; None where it is none."""
    for name in _LABEL_FOLDERS:
        if any((folder / name).glob("*.xml")):
            pictures = [folder / place for place in _PICTURE_FOLDERS]
            beside = [place for place in (folder / name, *pictures) if pictures_in(place)]
            named = [place for place in pictures[:-1] if place in beside]
            return folder / name, (named or beside or [folder / name])[0]
    return None


def voc_splits(folder: Path) -> dict[str, Path]:
    """Folders "train", "valid" and "test", each a set of its own in this layout; none where there is one set."""
    try:
        inside = sorted(one for one in folder.iterdir() if one.is_dir())
    except OSError:
        return {}
    return {split: one for one in inside if (split := split_named(one.name)) and voc_folders(one)}


def read_voc(folder: Path, layout: str = "VOC", difficult: bool = True) -> AnnotatedSet:
    """A folder in VOC layout: `JPEGImages`, `Annotations`, `ImageSets/Main`; or XML beside the pictures.

    Args:
        folder: The set, or a folder of sets called train, valid and test.
        layout: Its name in reports.
        difficult: Whether boxes that are marked as difficult count.

    Raises:
        UmbelError: A damaged XML file, or nothing that fits together.
    """
    notes = Notes()
    pictures: list[AnnotatedPicture] = []
    parts = {"": folder} if voc_folders(folder) else voc_splits(folder)
    for split, part in parts.items():
        pictures += _one_folder(part, split, difficult, notes)
    if not pictures:
        raise UmbelError(f"{folder}: no picture that belongs to its XML files{_hint(notes)}")
    classes = sorted({name for picture in pictures for name in picture.classes})
    return AnnotatedSet(folder, layout, without_repeats(pictures, notes), tuple(classes), notes)


def _hint(notes: Notes) -> str:
    said = notes.sentences()
    return f" ({said[0]})" if said else ""


def _one_folder(folder: Path, split: str, difficult: bool, notes: Notes) -> Iterator[AnnotatedPicture]:
    places = voc_folders(folder)
    if places is None:
        return
    labels, pictures = places
    files = _by_stem(pictures, notes)
    listed = {} if split else _lists(folder)
    known = {path.stem: path for path in sorted(labels.glob("*.xml"))}
    for of_split, names in listed.items() if listed else [(split, sorted({*known, *files}))]:
        for stem in names:
            picture = _picture(stem, known.get(stem), files, of_split, difficult, notes)
            if picture is not None:
                yield picture
    if listed and (outside := sorted(set(known) - {stem for names in listed.values() for stem in names})):
        notes.add("label files that no list of the splits names, left out", f"{outside[0]}.xml", len(outside))


def _by_stem(folder: Path, notes: Notes) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in pictures_in(folder):
        if path.stem in files:
            notes.add("pictures of the same name as another, left out", f"{path.name} beside {files[path.stem].name}")
        files.setdefault(path.stem, path)
    return files


def _lists(folder: Path) -> dict[str, list[str]]:
    """Split -> names, where there are lists; `trainval` stands for train where that is missing."""
    for place in _LIST_FOLDERS:
        lists = {split: folder / place / f"{name}.txt" for name, split in _LISTS.items()}
        lists = {split: path for split, path in lists.items() if path.is_file()}
        both = folder / place / "trainval.txt"
        if "train" not in lists and both.is_file():
            lists = {"train": both, **{split: path for split, path in lists.items() if split == "test"}}
        if lists:
            return {split: _names(path) for split, path in lists.items()}
    return {}


def _names(path: Path) -> list[str]:
    """The names in a list; a number behind a name (lists of one class) is passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UmbelError(f"{path}: cannot be read as a list of names ({error}); write one name a line") from None
    stems = []
    for line in filter(None, map(str.strip, lines)):
        head, _, mark = line.rpartition(" ")
        name = head.strip() if head and mark in ("1", "-1", "0") else line
        stems.append(Path(name).stem if Path(name).suffix.lower() in (".jpg", ".jpeg", ".png", ".xml") else name)
    return list(dict.fromkeys(stems))


def _picture(
    stem: str, label: Path | None, files: dict[str, Path], split: str, difficult: bool, notes: Notes
) -> AnnotatedPicture | None:
    if label is None:
        if stem not in files:
            notes.add("names in the lists of splits without picture and label file, left out", stem)
            return None
        notes.add("pictures without label file, which teach nothing about boxes", files[stem].name)
        return AnnotatedPicture(files[stem].name, files[stem], corners_of(()), (), labelled=False, split=split)
    told, size, boxes, classes = _parsed(label, difficult, notes)
    path = files.get(stem) or files.get(Path(told).stem)
    if path is None:
        notes.add("label files without picture, left out", label.name)
        return None
    return AnnotatedPicture(path.name, path, boxes, classes, True, size, split)


def _parsed(path: Path, difficult: bool, notes: Notes) -> tuple[str, tuple[int, int] | None, np.ndarray, Sequence[str]]:
    """The picture's file name, its size, the boxes and their classes, as an XML file has them."""
    root = _root(path)
    boxes, classes = [], []
    for place, one in enumerate(root.iter("object"), 1):
        name = " ".join((one.findtext("name") or "").split())
        if not name:
            raise UmbelError(f"{path}: object {place} has no name of a class; name it or remove the object")
        if not difficult and (one.findtext("difficult") or "").strip() == "1":
            notes.add("boxes marked as difficult, left out", f"{path.name}, box {place}")
            continue
        corners = one.find("bndbox")
        if corners is None:
            notes.add("objects without a box, left out", f"{path.name}, object {place} ({name})")
            continue
        texts = {side: corners.findtext(side) for side in ("xmin", "ymin", "xmax", "ymax")}
        boxes.append([number(t, lambda s=s, k=place: f"{path}: {s} of object {k}") for s, t in texts.items()])
        classes.append(name)
    return root.findtext("filename") or "", _size(root), corners_of(boxes), tuple(classes)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """What the file says of the picture's size; None for nothing, or the zeros that some programs write."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _root(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UmbelError(f"{path}: more than {_LARGEST_FILE:,} bytes; is it the label file of one picture?")
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise UmbelError(f"{path}: it declares a DOCTYPE or entities, which label files do not need; remove them")
        root = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise UmbelError(f"{path}: not a readable XML file ({error}); save it again or remove it") from None
    if root.tag != "annotation":
        raise UmbelError(f"{path}: its outermost element is {root.tag[:40]!r}, not annotation; is it a VOC label file?")
    return root
