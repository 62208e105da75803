"""CIFAR-10 and CIFAR-100 from the publisher's Python files, also as twenty tasks of five classes each."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from umbel.core import Batch
from umbel.data.augment import CropAndFlip
from umbel.data.find import need
from umbel.data.pictures import held_out, picture_data, with_reconstruction
from umbel.data.source import MultiTaskData
from umbel.errors import UmbelError
from umbel.tasks import classification

_SOURCE = (
    "(Krizhevsky, Learning multiple layers of features from tiny images, 2009), 32x32 colour; no licence stated, "
    "customary research use. Validation is a fixed 15 % of the training part."
)
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled arrays, numbers, texts, lists and dictionaries; anything that could run code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(path: Path) -> dict[str, Any]:
    """A file of CIFAR. Nothing in it is executed.

    Raises:
        UmbelError: The file is damaged, or holds something else than arrays and lists.
    """
    try:
        content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise UmbelError(f"{path} is not a file of CIFAR ({error}); get it again") from error
    if not isinstance(content, dict):
        raise UmbelError(f"{path} is not a file of CIFAR (no dictionary in it); get it again")
    return content


def _folder(kind: str, folder: str, name: str, download: bool) -> Path:
    def fetch(target: Path) -> None:
        from torchvision import datasets  # noqa: PLC0415  (slow to import, and rarely needed)

        getattr(datasets, kind)(str(target), download=True)

    return need(name, folder, hint=f"put the publisher's folder {folder} there", fetch=fetch, download=download)


def _pictures(path: Path, content: dict[str, Any]) -> Tensor:
    data = content.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        raise UmbelError(f"{path} has no pictures of 32x32 in colour under 'data'; get it again")
    return torch.from_numpy(data).reshape(-1, 3, 32, 32)


def _labels(path: Path, content: dict[str, Any], key: str, count: int) -> Tensor:
    if len(content.get(key, ())) != count:
        raise UmbelError(
            f"{path} has {count} pictures but {len(content.get(key, ()))} labels under {key!r}; get it again"
        )
    return torch.tensor(content[key], dtype=torch.int64)


def _read(path: Path, keys: tuple[str, ...]) -> list[Tensor]:
    """Pictures uint8 [n, 3, 32, 32] and the labels int64 [n] under each key."""
    content = read_pickle(path)
    pictures = _pictures(path, content)
    return [pictures, *(_labels(path, content, key, len(pictures)) for key in keys)]


def _batches(folder: Path) -> tuple[list[Tensor], list[Tensor]]:
    files = sorted(folder.glob("data_batch_*"))
    if not files or not (folder / "test_batch").is_file():
        raise UmbelError(f"{folder} lacks data_batch_1 or test_batch; put the publisher's files there")
    pieces = [_read(file, ("labels",)) for file in files]
    return [torch.cat(tensors) for tensors in zip(*pieces, strict=True)], _read(folder / "test_batch", ("labels",))


def cifar10(
    size: int | None = None,
    resolution: int | None = None,
    reconstruction: bool = False,
    augment: bool = True,
    download: bool = False,
) -> MultiTaskData:
    """CIFAR-10, or a part of it in the same files. Tasks: class (10), kind (vehicle or animal).

    Args:
        size: Number of training samples; None for all.
        resolution: Height and width in pixels; 32 by default.
        reconstruction: Add the reconstruction of the picture as a task.
        augment: Crop and flip training pictures at random.
        download: Let torchvision download the set when it is missing.
    """
    folder = _folder("CIFAR10", "cifar-10-batches-py", "cifar10", download)
    names = read_pickle(folder / "batches.meta")["label_names"]
    train, test = _batches(folder)
    vehicles = torch.tensor([names.index(name) for name in ("airplane", "automobile", "ship", "truck")])

    def batch(pictures: Tensor, classes: Tensor) -> Batch:
        return Batch(pictures, {"class": classes, "kind": (~torch.isin(classes, vehicles)).long()})

    tasks = (classification("class", names), classification("kind", ("vehicle", "animal")))
    counts = f"{len(train[0]):,} + {len(test[0]):,}"
    part = "" if len(train[0]) == 50_000 else f" These files hold a part of it: {counts} of 50,000 + 10,000."
    note = f"CIFAR-10 {_SOURCE}{part} Kind follows from class."
    tasks = with_reconstruction(tasks, reconstruction, 3)
    parts = _three(batch(*train), batch(*test))
    return picture_data("cifar10", "CIFAR-10", tasks, parts, note, size, resolution, _augmentation(augment, resolution))


def cifar100(
    size: int | None = None,
    resolution: int | None = None,
    reconstruction: bool = False,
    augment: bool = True,
    download: bool = False,
) -> MultiTaskData:
    """CIFAR-100. Tasks: fine (100 classes), coarse (20).

    Args:
        size: Number of training samples; None for all 42,500.
        resolution: Height and width in pixels; 32 by default.
        reconstruction: Add the reconstruction of the picture as a task.
        augment: Crop and flip training pictures at random.
        download: Let torchvision download the set when it is missing.
    """
    train, test, fine, coarse = _read_100("cifar100", download)
    tasks = with_reconstruction((classification("fine", fine), classification("coarse", coarse)), reconstruction, 3)
    note = f"CIFAR-100 {_SOURCE} Coarse follows from fine."
    return picture_data(
        "cifar100", "CIFAR-100", tasks, _three(train, test), note, size, resolution, _augmentation(augment, resolution)
    )


def cifar100_mtl(
    size: int | None = None,
    resolution: int | None = None,
    augment: bool = True,
    download: bool = False,
) -> MultiTaskData:
    """CIFAR-100 as twenty tasks, one a superclass: which of its five classes is it? A picture is labelled for one task.

    Task names are the superclasses, labels the fine classes in alphabetical order.

    Args:
        size: Number of training samples of all tasks together; None for all 42,500.
        resolution: Height and width in pixels; 32 by default.
        augment: Crop and flip training pictures at random.
        download: Let torchvision download the set when it is missing.
    """
    train, test, fine, coarse = _read_100("cifar100-mtl", download)
    members = five_of_each(train.targets["fine"], train.targets["coarse"])
    tasks = [
        classification(name, [fine[number] for number in numbers])
        for name, numbers in zip(coarse, members.tolist(), strict=True)
    ]
    parts = _three(_one_task_each(train, coarse, members), _one_task_each(test, coarse, members))
    title = "CIFAR-100 as twenty five-way tasks"
    note = f"CIFAR-100 {_SOURCE} Each picture has a label for the task of its superclass only."
    return picture_data("cifar100-mtl", title, tasks, parts, note, size, resolution, _augmentation(augment, resolution))


def five_of_each(fine: Tensor, coarse: Tensor) -> Tensor:
    """The five fine classes of each superclass, ascending: int64 [20, 5].

    Args:
        fine: int64 [n], 0 to 99, every class present.
        coarse: int64 [n], 0 to 19.

    Raises:
        UmbelError: Some superclass does not have five classes.
    """
    pairs = torch.unique(torch.stack([coarse, fine], 1), dim=0)
    if len(pairs) != 100 or (torch.bincount(pairs[:, 0], minlength=20) != 5).any():
        raise UmbelError("these CIFAR-100 files do not have 20 superclasses of 5 classes; get them again")
    return pairs[:, 1].view(20, 5)


def _one_task_each(batch: Batch, names: list[str], members: Tensor) -> Batch:
    position = torch.empty(100, dtype=torch.int64)
    position[members] = torch.arange(5).expand(20, 5)
    fine, coarse = batch.targets["fine"], batch.targets["coarse"]
    targets = {name: torch.where(coarse == number, position[fine], -1) for number, name in enumerate(names)}
    return Batch(batch.inputs, targets)


def _read_100(name: str, download: bool) -> tuple[Batch, Batch, list[str], list[str]]:
    """Training and test part with targets "fine" and "coarse", and the names of the classes."""
    folder = _folder("CIFAR100", "cifar-100-python", name, download)
    meta = read_pickle(folder / "meta")
    parts = []
    for file in ("train", "test"):
        pictures, fine, coarse = _read(folder / file, ("fine_labels", "coarse_labels"))
        parts.append(Batch(pictures, {"fine": fine, "coarse": coarse}))
    return *parts, list(meta["fine_label_names"]), list(meta["coarse_label_names"])


def _three(train: Batch, test: Batch) -> dict[str, Batch]:
    rest, held = held_out(len(train))
    return {"train": train[rest], "validation": train[held], "test": test}


def _augmentation(wanted: bool, resolution: int | None) -> CropAndFlip | None:
    return CropAndFlip(max(1, (resolution or 32) // 8)) if wanted else None
