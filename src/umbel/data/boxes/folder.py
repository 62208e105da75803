"""A folder or file of boxes of the user's own: its layout is recognised."""

import re
from collections.abc import Sequence
from pathlib import Path

from umbel.data.boxes.annotated import AnnotatedSet, pictures_in
from umbel.data.boxes.building import Wanted, boxes_data
from umbel.data.boxes.coco import coco_files, read_coco
from umbel.data.boxes.splitting import SplitWish
from umbel.data.boxes.streets import read_bdd100k, read_cityscapes, read_kitti
from umbel.data.boxes.voc import read_voc, voc_folders, voc_splits
from umbel.data.source import MultiTaskData
from umbel.errors import UmbelError, shown

RESOLUTION = 320
"""Pixels of the longer side, where nothing else is said."""
_LAYOUTS = (
    "VOC (JPEGImages and Annotations/*.xml, or XML beside the pictures) or COCO (JSON with images, annotations and "
    "categories, pictures in a folder images beside it)"
)


def read_boxes(path: Path, difficult: bool = True) -> AnnotatedSet:
    """The annotated pictures of a folder or file whose layout is recognised.

    Args:
        path: A folder in the layout of VOC, COCO, Cityscapes, KITTI or BDD100K; or a JSON file in COCO's form.
        difficult: Whether boxes that VOC marks as difficult count.

    Raises:
        UmbelError: It is not there, in no known layout, or damaged.
    """
    if path.is_file():
        if path.suffix.lower() != ".json":
            raise UmbelError(f"{path}: a file of boxes is COCO's JSON; for XML files give their folder")
        return read_coco(path, [path])
    if not path.is_dir():
        raise UmbelError(f"{path}: no such folder or file of boxes")
    if (path / "leftImg8bit").is_dir() and (path / "gtFine").is_dir():
        return read_cityscapes(path)
    if (path / "training" / "label_2").is_dir():
        return read_kitti(path)
    if (path / "images" / "100k").is_dir():
        return read_bdd100k(path)
    if voc_folders(path) or voc_splits(path):
        return read_voc(path, difficult=difficult)
    if files := coco_files(path):
        return read_coco(path, files)
    raise UmbelError(f"{path}: {_what_there_is(path)}; give a folder in the layout of {_LAYOUTS}")


def _what_there_is(path: Path) -> str:
    count = len(pictures_in(path, deep=True))
    if not count:
        return "no picture and no label file in it"
    texts = sum(1 for _ in path.rglob("*.txt"))
    more = f", {texts} .txt files (labels of YOLO are not read; export them as COCO)" if texts else ""
    return f"{count} pictures and no label file of boxes{more}"


def boxes_folder(
    path: str | Path,
    classes: Sequence[str] | str = (),
    resolution: int | None = RESOLUTION,
    size: int | None = None,
    count: bool = False,
    presence: bool = False,
    difficult: bool = True,
    shares: Sequence[float] = (),
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """A folder of labelled pictures of the user's own as a data set: boxes, and what follows from them.

    Pictures keep their aspect ratio and are held in memory as bytes, in one tensor: `inputs["picture"]` uint8
    [N, 3, H, W], zeros behind the end of the smaller ones, `inputs["picture/size"]` int64 [N, 3]. The task "boxes" is
    `tasks.boxes`. What does not fit (boxes outside their picture or without area, pictures that are missing or cannot
    be read, label files without a picture) is put right or left out, counted, and told in `warnings`.

    Args:
        path: A folder in VOC layout (`JPEGImages`, `Annotations`, lists in `ImageSets/Main`; or XML beside the
            pictures; or such folders called train, valid and test) or COCO layout (JSON files, one for each split, and
            pictures beside them), or that of Cityscapes, KITTI or BDD100K; or one JSON file of COCO's.
        classes: Only these, in this order; none: all that occur.
        resolution: Pixels of the longer side after resizing; None keeps each picture's size.
        size: At most so many training pictures: a fixed choice.
        count: A further task: the number of boxes of each class, a regression.
        presence: A further task: which classes are in the picture, a yes or no for each.
        difficult: Whether boxes that VOC marks as difficult count.
        shares: Of training, validation and test, at random; none: the publisher's lists where there are some, else
            0.7/0.15/0.15. Where the publisher has no test, its validation is the test and 15 % of training validates.
        folds: Cut all pictures into so many parts at random, of which `fold` is the test and 15 % of the others
            validation. Folds share most of their training pictures: intervals over them are dependent.
        fold: Which part is the test, from 0.
        seed: Of the random order. Given alone, it deals out anew what the publisher split.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: In no known layout, damaged, without any box or usable picture, a class that is not there, or more
            than fits into memory.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise UmbelError(f"the folder of boxes is {shown(path)}; give its path")
    where = Path(path).expanduser()
    annotated = read_boxes(where, difficult)
    wish = SplitWish(tuple(shares), folds, fold, seed)
    wanted = Wanted(classes, resolution, size, count, presence, wish, augment)
    name = re.sub(r"[^\w.-]+", "-", where.resolve().stem).strip("-.") or "boxes"
    title = f"{name}: {len(annotated.pictures)} pictures with boxes"
    return boxes_data(name, title, annotated, wanted)
