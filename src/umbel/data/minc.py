"""`minc`: patches of 23 materials, the layout of MINC-2500 as its publishers unpack it.

The layout was read from the set's own README (copies of which stand in public repositories).
"""

from pathlib import Path, PurePosixPath

import torch

from umbel import tasks
from umbel.arguments import whole_number
from umbel.core import Batch
from umbel.data.augment import Flip
from umbel.data.boxes.reading import check_memory, read_squares
from umbel.data.find import need
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource
from umbel.errors import UmbelError

MINC_MATERIALS = (
    *("brick", "carpet", "ceramic", "fabric", "foliage", "food", "glass", "hair", "leather", "metal", "mirror"),
    *("other", "painted", "paper", "plastic", "polishedstone", "skin", "sky", "stone", "tile", "wallpaper"),
    *("water", "wood"),
)
"""In the publishers' order."""
TASK = "material class"
"""Name of the task; "material" is a map in other sets."""
_FILES = {"train": "train", "validation": "validate", "test": "test"}
_NOTE = (
    "MINC-2500 (Bell, Upchurch, Snavely, Bala, CVPR 2015): 2,500 patches of each of 23 materials, each from another "
    "photograph; the publishers' split {split} of five. See the publishers for the licence."
)


def minc(
    size: int | None = None,
    resolution: int = 64,
    split: int = 1,
    evaluation_size: int | None = None,
    augment: bool = True,
) -> MultiTaskData:
    """MINC-2500. Task: "material class", which of 23 materials a patch shows.

    Layout: a folder `minc-2500` with `images/CLASS/FILE.jpg` and `labels/{train,validate,test}K.txt`, whose lines are
    paths `images/CLASS/FILE.jpg`. Everything is held in memory: 12 kB a sample at 64×64, 0.7 GB for all 57,500.

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all 48,875.
        resolution: Height and width after resizing, 16 or more; the patches have 362.
        split: Which of the publishers' five splits, from 1.
        evaluation_size: Samples for validation, and again for test: a fixed choice; None takes all.
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: The set is not here, a list names pictures that are not there, or a picture cannot be read.
    """
    resolution = whole_number(resolution, "minc: resolution", 16, 362)
    split = whole_number(split, "minc: split", 1, 5)
    root = need("minc", "minc-2500", hint="unpack MINC-2500 there: images/ and labels/")
    batches = {}
    for part, name in _FILES.items():
        files, classes = _listed(root, f"{name}{split}.txt")
        chosen = subset(len(files), size if part == "train" else evaluation_size)
        check_memory(len(chosen), (resolution, resolution), f"minc, {part} split")
        pictures = read_squares([files[k] for k in chosen.tolist()], resolution)
        batches[part] = Batch(pictures, {TASK: torch.tensor(classes)[chosen]})
    return MultiTaskData(
        name="minc",
        title=f"MINC-2500: patches of materials, {resolution}×{resolution}",
        tasks=(tasks.classification(TASK, MINC_MATERIALS),),
        train=TensorSource(batches["train"], Flip() if augment else None),
        validation=TensorSource(batches["validation"]),
        test=TensorSource(batches["test"]),
        input_shape=(3, resolution, resolution),
        note=_NOTE.format(split=split),
    )


def _listed(root: Path, name: str) -> tuple[list[Path], list[int]]:
    """Pictures that a list names, and the number of each one's material."""
    table = root / "labels" / name
    try:
        lines = table.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UmbelError(f"{table}: cannot be read ({error}); unpack MINC-2500 again") from None
    files, classes = [], []
    for line in lines:
        parts = PurePosixPath(line).parts
        if len(parts) != 3 or parts[0] != "images" or parts[1] not in MINC_MATERIALS or parts[2] == "..":
            raise UmbelError(f"{table}: {line[:80]!r} is no path images/MATERIAL/FILE of one of the 23 materials")
        files.append(root.joinpath(*parts))
        classes.append(MINC_MATERIALS.index(parts[1]))
    if not files:
        raise UmbelError(f"{table}: names no picture; unpack MINC-2500 again")
    if absent := [file for file in files if not file.is_file()]:
        raise UmbelError(f"{table}: {len(absent):,} of {len(files):,} pictures are not there, the first {absent[0]}")
    return files, classes
