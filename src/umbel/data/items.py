"""Items of a map-style data set, in the forms in which people return them, as tensors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from umbel.core import Inputs, Task
from umbel.errors import UmbelError, unknown

_FLOATS = ("regression", "multilabel", "boundaries", "depth", "normals")
_ANSWERS = ("multilabel", "boundaries")
_CLASSES = ("classification", "segmentation")


class Items(Protocol):
    """A map-style data set: what `torch.utils.data.Dataset` has, with a length."""

    def __len__(self) -> int:
        """Number of items."""
        ...

    def __getitem__(self, index: int) -> Any:
        """An item."""
        ...


@dataclass(frozen=True)
class Item:
    """One sample, as tensors.

    Attributes:
        number: Its index in the data set.
        inputs: A tensor, or several by name; without a batch axis.
        targets: Those tasks that have a label.
        domain: Which domain it comes from.
    """

    number: int
    inputs: Inputs
    targets: Mapping[str, Tensor]
    domain: int = 0


@dataclass(frozen=True)
class Form:
    """How the samples of a data set look: what stands in for a label that an item lacks.

    Attributes:
        blanks: Task name -> a target without label (NaN, or -1), of the shape and type that the labelled ones have.
        ragged: Inputs and targets whose samples differ in size -> what pads a target (`Task.padding`).
    """

    blanks: Mapping[str, Tensor]
    ragged: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Items, tasks: Sequence[Task], ragged: Collection[str] = ()) -> "Form":
        """The form of a data set, from the first items that have a label of each task.

        Args:
            dataset: Map-style.
            tasks: What is to be learnt.
            ragged: Inputs (a single one without a name is "input") and tasks whose samples differ in size.

        Raises:
            UmbelError: A task has no label in any item, or nothing is called as `ragged` says.
        """
        first = read_item(dataset, tasks, 0).inputs
        paddings = {"input": None} if isinstance(first, Tensor) else dict.fromkeys(first)
        paddings |= {task.name: task.padding for task in tasks if task.target is None}
        if strange := [name for name in ragged if name not in paddings]:
            raise unknown("ragged input or task", strange[0], paddings)

        blanks: dict[str, Tensor] = {}
        wanted = [task.name for task in tasks if task.target is None]
        number = 0
        while len(blanks) < len(wanted) and number < len(dataset):
            for name, target in read_item(dataset, tasks, number).targets.items():
                blanks.setdefault(name, torch.full_like(target, float("nan") if target.is_floating_point() else -1))
            number += 1
        if absent := [name for name in wanted if name not in blanks]:
            raise UmbelError(f"task {absent[0]!r} has no label in any of {len(dataset)} items; drop it or add labels")
        return cls({name: blanks[name] for name in wanted}, {name: paddings[name] for name in ragged})


def read_item(dataset: Items, tasks: Sequence[Task], number: int) -> Item:
    """One item of a data set as tensors.

    An item is `(inputs, {task: target})`, or `(inputs, target)` where there is one task, or a mapping that holds
    targets under the names of their tasks, possibly "domain" (a whole number), and inputs under all other names (a
    single one is the input itself). A target that is None or absent is not labelled. Pictures of Pillow become uint8
    [C, H, W]; arrays and numbers become tensors as they are, float64 becomes float32. Targets of regressions become
    floats, one number becomes [1]; targets of classifications and segmentations become int64.

    Raises:
        UmbelError: The item has none of these forms, or names a task that does not exist.
    """
    item, names = dataset[number], [task.name for task in tasks]
    domain = 0
    if isinstance(item, Mapping):
        domain = int(item.get("domain", 0))
        rest = {key: value for key, value in item.items() if key not in names and key != "domain"}
        inputs, targets = next(iter(rest.values()), None) if len(rest) < 2 else rest, item
    elif isinstance(item, tuple | list) and len(item) == 2:
        inputs, targets = item
        if not isinstance(targets, Mapping):
            if len(names) != 1:
                raise UmbelError(
                    f"item {number} has one target for {len(names)} tasks; return (inputs, {{task: target}})"
                )
            targets = {names[0]: targets}
        elif strange := [key for key in targets if key not in names]:
            raise UmbelError(f"item {number} has a target {strange[0]!r}, but the tasks are {', '.join(names)}")
    else:
        raise UmbelError(f"item {number} is a {type(item).__name__}; return (inputs, {{task: target}}) or a dictionary")
    if inputs is None:
        raise UmbelError(f"item {number} has no input; its keys are all names of tasks")
    made = {
        task.name: _target(task, targets[task.name], number)
        for task in tasks
        if task.target is None and targets.get(task.name) is not None
    }
    return Item(number, _inputs(inputs, number), made, domain)


def _inputs(value: Any, number: int) -> Inputs:
    if isinstance(value, Mapping):
        return {name: _tensor(part, f"input {name!r} of item {number}") for name, part in value.items()}
    return _tensor(value, f"the input of item {number}")


def _tensor(value: Any, what: str) -> Tensor:
    if isinstance(value, Image.Image):
        pixels = np.array(value if value.mode in ("L", "RGB") else value.convert("RGB"))
        return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[:, :, None]).permute(2, 0, 1).contiguous()
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise UmbelError(
            f"{what} is a {type(value).__name__}; give a tensor, an array, a picture or a number"
        ) from None
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _target(task: Task, value: Any, number: int) -> Tensor:
    what = f"the target {task.name!r} of item {number}"
    target = torch.from_numpy(np.array(value)) if isinstance(value, Image.Image) else _tensor(value, what)
    if task.kind in _FLOATS:
        gap = target < 0 if task.kind in _ANSWERS and not target.is_floating_point() else None
        target = target.float() if gap is None else target.float().masked_fill(gap, float("nan"))
        return target[None] if target.ndim == 0 and task.outputs == 1 else target
    if task.kind in _CLASSES:
        if target.is_floating_point():
            raise UmbelError(f"{what} is not a whole number; give the number of the class, or None where it is missing")
        return target.long()
    return target
