"""`celeba`: forty attributes of celebrities' faces, through torchvision."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import CelebA

from umbel import tasks
from umbel.core import Batch, UmbelError, unknown
from umbel.data.augment import Flip
from umbel.data.find import need
from umbel.data.folders import opened
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource

_NOTE = (
    "CelebA: 202,599 aligned faces of 10,177 people with 40 attributes, the publishers' split (no person in two "
    "splits). Non-commercial research only. Cite: Liu, Luo, Wang, Tang, ICCV 2015. The labels are noisy, and several "
    "are matters of taste."
)


class _Unpacked(CelebA):
    """torchvision's reader without its checksums: a complete set in the same form will do."""

    def _check_integrity(self) -> bool:
        folder = Path(self.root) / self.base_folder
        texts = [name for _, _, name in self.file_list if name.endswith(".txt")]
        return all((folder / name).is_file() for name in texts) and (folder / "img_align_celeba").is_dir()


def _faces(root: Path, files: Sequence[str], resolution: int) -> Tensor:
    """Central squares, uint8 [N, 3, resolution, resolution]."""
    folder = root / CelebA.base_folder / "img_align_celeba"
    first = opened(folder / files[0], None).size[::-1]

    def face(name: str) -> np.ndarray:
        image = opened(folder / name, first).convert("RGB")
        side = min(image.size)
        left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
        square = (left, top, left + side, top + side)
        return np.array(image.resize((resolution, resolution), Image.Resampling.BOX, box=square))

    out = torch.empty(len(files), resolution, resolution, 3, dtype=torch.uint8)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for row, pixels in zip(out, pool.map(face, files, chunksize=64), strict=True):
            row.copy_(torch.from_numpy(pixels))
    return out.permute(0, 3, 1, 2).contiguous()


def _attributes(known: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    for name in wanted or ():
        if name not in known:
            raise unknown("attribute", name, known)
    return list(wanted or known)


def _split(
    root: Path, split: str, size: int | None, resolution: int, wanted: Sequence[str] | None, together: bool
) -> tuple[Batch, list[str]]:
    try:
        published = _Unpacked(root, split)
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise UmbelError(
            f"celeba: {root / CelebA.base_folder} cannot be read ({error}); unpack the whole set"
        ) from error
    header = [name for name in published.attr_names if name]
    names = _attributes(header, wanted)
    chosen = subset(len(published), size)
    answers = published.attr[chosen][:, [header.index(name) for name in names]]
    faces = _faces(root, [published.filename[k] for k in chosen.tolist()], resolution)
    if together:
        return Batch(faces, {"attributes": answers.float()}), names
    return Batch(faces, {name: answers[:, k].contiguous() for k, name in enumerate(names)}), names


def celeba(
    size: int | None = None,
    resolution: int = 64,
    attributes: Sequence[str] | str | None = None,
    together: bool = True,
    evaluation_size: int | None = None,
    augment: bool = True,
    download: bool = False,
) -> MultiTaskData:
    """CelebA: face attributes as one task with many answers, or as one yes/no task each.

    Layout, torchvision's: a folder `celeba` with `img_align_celeba/*.jpg`, `list_attr_celeba.txt`,
    `list_eval_partition.txt`, `identity_CelebA.txt`, `list_bbox_celeba.txt` and `list_landmarks_align_celeba.txt`.
    The picture's central square is taken. Everything is held in memory: 12 kB a sample at 64×64, 2.4 GB for all, and
    some minutes to read; take fewer with `size` and `evaluation_size`.

    Args:
        size: Training samples: a fixed choice; None (or more than there are) takes all 162,770.
        resolution: Height and width after resizing, 16 or more.
        attributes: Names as in the files, such as "Smiling"; None takes all 40.
        together: One task "attributes" with all answers; False makes a task of each attribute.
        evaluation_size: Samples for validation, and again for test; None takes all.
        augment: Mirror half of the training pictures.
        download: Let torchvision fetch the set where it is missing (it needs the package gdown).

    Raises:
        UmbelError: The set is not here; an unknown attribute; a picture of another size.
    """
    if isinstance(attributes, str):
        attributes = (attributes,)
    if resolution < 16:
        raise UmbelError(f"celeba: resolution {resolution} is too low; give 16 or more")
    folder = need(
        "celeba",
        "celeba",
        hint="unpack it as torchvision.datasets.CelebA does",
        fetch=lambda cache: CelebA(cache, download=True),
        download=download,
    )
    root, rest = folder.parent, (resolution, attributes, together)
    train, names = _split(root, "train", size, *rest)
    validation, test = (_split(root, split, evaluation_size, *rest)[0] for split in ("valid", "test"))
    own = (tasks.multilabel("attributes", names),)
    return MultiTaskData(
        name="celeba",
        title=f"CelebA faces, {resolution}×{resolution}, {len(names)} attributes",
        tasks=own if together else tuple(tasks.classification(name, ("no", "yes")) for name in names),
        train=TensorSource(train, Flip() if augment else None),
        validation=TensorSource(validation),
        test=TensorSource(test),
        input_shape=(3, resolution, resolution),
        note=_NOTE,
    )
