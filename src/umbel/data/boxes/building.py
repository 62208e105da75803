"""From annotated pictures to a data set: read, padded, split, with the tasks that are wanted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from umbel import tasks
from umbel.core import Batch, Task
from umbel.data.boxes.annotated import AnnotatedSet
from umbel.data.boxes.augment import FlipBoxes
from umbel.data.boxes.placing import PlacedPicture, placed
from umbel.data.boxes.reading import padded_pictures
from umbel.data.boxes.splitting import SplitWish, split_pictures
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource, as_float
from umbel.errors import UmbelError

BOXES, COUNT, PRESENCE = "boxes", "count", "presence"
"""Names of the tasks."""
PICTURE = "picture"
"""Name of the input."""


Change = Callable[[str, Tensor], tuple[Tensor, Mapping[str, float]]]
"""Name of a picture and the picture, float [3, h, w] -> the picture as it is to be, and further targets."""


def unchanged(name: str, picture: Tensor) -> tuple[Tensor, Mapping[str, float]]:
    """The picture as it is; see `Change`."""
    return picture, {}


@dataclass(frozen=True)
class Wanted:
    """What is made of annotated pictures; see `boxes_folder`.

    Attributes:
        classes: Only these, in this order; none: all.
        resolution: Pixels of the longer side; None keeps each picture's size.
        size: At most so many training pictures; None: all.
        count: Whether the number of boxes of each class is a task, too.
        presence: Whether it is a task, too, which classes there are.
        split: How pictures are dealt out.
        augment: Whether half of the training pictures are mirrored.
        change: What happens to each picture after it was resized.
    """

    classes: Sequence[str] = ()
    resolution: int | None = None
    size: int | None = None
    count: bool = False
    presence: bool = False
    split: SplitWish = field(default_factory=SplitWish)
    augment: bool = True
    change: Change = unchanged


def boxes_data(name: str, title: str, annotated: AnnotatedSet, wanted: Wanted, note: str = "") -> MultiTaskData:
    """A data set of boxes.

    Args:
        name: As on the command line.
        title: One line, for reports.
        annotated: What a reader gave.
        wanted: What is made of it.
        note: Source, licence, citation.

    Raises:
        UmbelError: No such class, no box, no usable picture, an empty part, or more than fits into memory.
    """
    chosen = annotated.only((wanted.classes,) if isinstance(wanted.classes, str) else wanted.classes)
    split, said = split_pictures(placed(chosen, wanted.resolution), wanted.split, str(chosen.folder))
    split["train"] = [split["train"][k] for k in subset(len(split["train"]), wanted.size).tolist()]
    batches = _read(split, chosen, wanted.change)
    extra = {COUNT: wanted.count, PRESENCE: wanted.presence}
    batches = {of: _with_targets(batch, len(chosen.classes), extra) for of, batch in batches.items()}
    if not bool((batches["train"].targets[BOXES][..., 4] >= 0).any()):
        raise UmbelError(f"{chosen.folder}: no training picture has a box; give larger shares, or other classes")
    flip = FlipBoxes(PICTURE, BOXES) if wanted.augment else None
    shape = tuple(batches["train"].inputs[PICTURE].shape[1:])
    return MultiTaskData(
        name=name,
        title=title,
        tasks=_tasks(chosen.classes, extra),
        **{of: TensorSource(batch, flip if of == "train" else None) for of, batch in batches.items()},
        input_shape=shape,
        note=" ".join(filter(None, (note, _told(chosen, batches, said)))),
        warnings=chosen.notes.sentences(),
        reading=PaddedPictures(shape, wanted.resolution),
    )


def whole_batch(annotated: AnnotatedSet, wanted: Wanted) -> Batch:
    """All pictures as one batch with its targets, for an evaluation; what is odd is in the set's notes.

    Args:
        annotated: What a reader gave.
        wanted: What is made of it; classes that the set does not have are classes of the run all the same.

    Raises:
        UmbelError: None of the classes is there, no usable picture, or more than fits into memory.
    """
    classes = (wanted.classes,) if isinstance(wanted.classes, str) else tuple(wanted.classes)
    if not set(classes) & set(annotated.classes):
        raise UmbelError(
            f"{annotated.folder} has the classes {', '.join(annotated.classes) or 'none'}, and the detector knows "
            f"{', '.join(classes)}; name them alike"
        )
    every = replace(annotated, classes=tuple(dict.fromkeys((*annotated.classes, *classes))))
    chosen = every.only(classes)
    batch = _read({"evaluation": placed(chosen, wanted.resolution)}, chosen, wanted.change)["evaluation"]
    return _with_targets(batch, len(classes), {COUNT: wanted.count, PRESENCE: wanted.presence})


def _told(of: AnnotatedSet, batches: Mapping[str, Batch], said: str) -> str:
    counts = "/".join(str(len(batch)) for batch in batches.values())
    return f"{of.layout} layout; {counts} pictures for training, validation and test ({said})."


def _tasks(classes: Sequence[str], extra: Mapping[str, bool]) -> tuple[Task, ...]:
    made = [tasks.boxes(BOXES, classes)]
    if extra[COUNT]:
        made.append(tasks.regression(COUNT, len(classes), labels=classes))
    if extra[PRESENCE]:
        made.append(tasks.multilabel(PRESENCE, classes))
    return tuple(made)


def _read(split: Mapping[str, Sequence[PlacedPicture]], of: AnnotatedSet, change: Change) -> dict[str, Batch]:
    """The batch of each split; pictures that turn out to be unreadable are left out."""
    every = [one for part in split.values() for one in part]
    bad: set[int] = set()

    def unreadable(number: int, why: str) -> None:
        bad.add(number)
        told = f"{every[number].picture.name} ({why.rpartition(': ')[2]})"
        of.notes.add("pictures that cannot be read, left out", told)

    files = [(one.picture.path, one.upright, one.size) for one in every]
    pictures, sizes = padded_pictures(files, str(of.folder), unreadable)
    targets = {BOXES: _padded_boxes(every)} | _changed([one.picture.name for one in every], pictures, sizes, change)
    batches, start = {}, 0
    for name, part in split.items():
        rows = torch.tensor([k for k in range(start, start + len(part)) if k not in bad], dtype=torch.int64)
        start += len(part)
        if not len(rows):
            raise UmbelError(f"{of.folder}: no picture for {name} can be read; put them back or give other shares")
        inputs = {PICTURE: pictures[rows], f"{PICTURE}/size": sizes[rows]}
        batches[name] = Batch(inputs, {of_target: target[rows] for of_target, target in targets.items()})
    return batches


def _changed(names: Sequence[str], pictures: Tensor, sizes: Tensor, change: Change) -> dict[str, Tensor]:
    """Changes pictures in place; their further targets, float32 [P]."""
    if change is unchanged:
        return {}
    told: dict[str, list[float]] = {}
    for name, place, (_, height, width) in zip(names, pictures, sizes.tolist(), strict=True):
        changed, extra = change(name, as_float(place[:, :height, :width]))
        place[:, :height, :width] = (changed * 255).round().clamp(0, 255).to(torch.uint8)
        for target, value in extra.items():
            told.setdefault(target, []).append(value)
    return {target: torch.tensor(values) for target, values in told.items()}


def _padded_boxes(pictures: Sequence[PlacedPicture]) -> Tensor:
    """float32 [P, N, 5] as `tasks.boxes` has them: -1 behind the last box, NaN where nobody labelled."""
    most = max(1, *(len(one.boxes) for one in pictures))
    target = np.full((len(pictures), most, 5), -1, np.float32)
    for row, one in zip(target, pictures, strict=True):
        if one.picture.labelled:
            row[: len(one.boxes)] = one.boxes
        else:
            row[:] = np.nan
    return torch.from_numpy(target)


def _with_targets(batch: Batch, classes: int, extra: Mapping[str, bool]) -> Batch:
    """The batch with what follows from its boxes."""
    boxes = batch.targets[BOXES]
    numbers = torch.nn.functional.one_hot(boxes[..., 4].nan_to_num(-1).long() + 1, classes + 1)[..., 1:].sum(1).float()
    numbers[boxes[:, 0, 0].isnan()] = torch.nan
    targets = dict(batch.targets)
    if extra[COUNT]:
        targets[COUNT] = numbers
    if extra[PRESENCE]:
        targets[PRESENCE] = numbers.clamp(max=1)
    return Batch(batch.inputs, targets)
