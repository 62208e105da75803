"""From prepared frames to a data set: pictures, liveness, maps where there are some, attributes of the recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from umbel import tasks
from umbel.arguments import whole_number
from umbel.core import Batch, Task
from umbel.data.antispoofing.frames import Frame
from umbel.data.antispoofing.videos import TYPES
from umbel.data.augment import Augmentation, Augmentations, FlipMaps
from umbel.data.boxes.reading import check_memory, read_squares
from umbel.data.camera_changes import CameraChanges
from umbel.data.maps import chosen_tasks
from umbel.data.picture_files import opened_picture
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource
from umbel.errors import UmbelError

LIVENESS, DEPTH, REFLECTION = "liveness", "depth", "reflection"
"""Names of the tasks."""
MAPS = (DEPTH, REFLECTION)
"""Tasks that predict a map; a prepared folder has them in folders of these names."""
ATTRIBUTES = ("identity", "camera", "session", "medium")
"""Names of the targets, of no task, that say what else is known of a sample: whole numbers, negative where nothing is.
Numbers of two sets are never the same."""
VIDEO = "video"
"""Name of the target, of no task, that says which recording a sample is of."""
_FLAT = ("print", "replay")
_LEAST, _LARGEST = 16, 4096
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


@dataclass(frozen=True)
class Wanted:
    """What is made of prepared frames.

    Attributes:
        names: Of the tasks; none: liveness, and the maps of which there is a file.
        size: At most so many training samples: a fixed choice; None: all.
        resolution: Height and width of the pictures and maps.
        augment: Whether half of the training pictures are mirrored.
        camera_changes: Strength of `CameraChanges` of training pictures; 0 leaves them out.
    """

    names: Sequence[str] | str
    size: int | None
    resolution: int
    augment: bool
    camera_changes: float


def frames_data(
    name: str, title: str, parts: Mapping[str, Sequence[Frame]], wanted: Wanted, note: str, warnings: Sequence[str]
) -> MultiTaskData:
    """A data set of liveness.

    Args:
        name: As on the command line.
        title: One line for reports.
        parts: Frames of "train", "dev" and "test", at least one each.
        wanted: What is made of them.
        note: Source and citation.
        warnings: What a reader must know.

    Raises:
        UmbelError: An unknown task, a resolution out of range, an unreadable picture or map, or more than fits into
            memory.
    """
    size = whole_number(wanted.resolution, f"{name}: resolution", _LEAST, _LARGEST)
    used = {split: list(frames) for split, frames in parts.items()}
    used["train"] = [used["train"][k] for k in subset(len(used["train"]), wanted.size).tolist()]
    every = [frame for frames in used.values() for frame in frames]
    names = _names(name, every, wanted.names)
    maps = [each for each in names if each in MAPS]
    whole = frames_batch(every, maps, size, name)
    batches, start = {}, 0
    for split, frames in used.items():
        batches[_SPLITS[split]] = whole[slice(start, start + len(frames))]
        start += len(frames)
    change = _augmentation(wanted, maps)
    sources = {split: TensorSource(batch, change if split == "train" else None) for split, batch in batches.items()}
    made = tuple(_task(each) for each in names)
    return MultiTaskData(name, title, made, **sources, input_shape=(3, size, size), note=note, warnings=tuple(warnings))


def _augmentation(wanted: Wanted, maps: Sequence[str]) -> Augmentation | None:
    parts: list[Augmentation] = [FlipMaps(maps)] if wanted.augment else []
    parts += [CameraChanges(wanted.camera_changes)] if wanted.camera_changes else []
    return Augmentations(parts) if parts else None


def frames_batch(frames: Sequence[Frame], maps: Sequence[str], size: int, where: str) -> Batch:
    """All frames as one batch: pictures uint8 [N, 3, size, size] and their targets.

    Args:
        frames: At least one.
        maps: Names of the maps that are wanted.
        size: Height and width of pictures and maps.
        where: The set, for messages.

    Raises:
        UmbelError: A picture or map cannot be read, or they do not fit into memory.
    """
    check_memory(round(len(frames) * (1 + 4 / 3 * len(maps))), (size, size), where)
    pictures = read_squares([frame.file for frame in frames], size)
    return Batch(pictures, _targets(frames, maps, size), _domains(frames))


def _task(name: str) -> Task:
    return tasks.liveness(name) if name == LIVENESS else tasks.proxy_map(name)


def _names(name: str, frames: Sequence[Frame], wanted: Sequence[str] | str) -> tuple[str, ...]:
    if wanted:
        return chosen_tasks(wanted, (LIVENESS, *MAPS), name)
    present = [each for each in MAPS if any(map_of(frame, each).is_file() for frame in frames)]
    return (LIVENESS, *present)


def map_of(frame: Frame, name: str) -> Path:
    """Where the map of a frame is, if there is one: DEPTH/FILE.png beside the table, for the picture FILE.

    Args:
        frame: Which.
        name: Of the map.
    """
    folder = frame.video.path
    return (folder / name / frame.file.relative_to(folder)).with_suffix(".png")


def _targets(frames: Sequence[Frame], maps: Sequence[str], size: int) -> dict[str, Tensor]:
    targets = {LIVENESS: torch.tensor([TYPES.index(frame.video.type) for frame in frames])}
    said = {"identity": "subject"}
    for name in ATTRIBUTES:
        values = [(frame.video.set, getattr(frame.video, said.get(name, name))) for frame in frames]
        targets[name] = _numbered([value if value[1] else None for value in values])
    targets[VIDEO] = _numbered([(frame.video.set, frame.video.name) for frame in frames])
    for name in maps:
        targets[name] = torch.stack([_map(frame, name, size) for frame in frames])
    return targets


def _numbered(values: Sequence[tuple[str, str] | None]) -> Tensor:
    """Numbers of values in their order, int64 [N]; -1 for None."""
    number = {value: k for k, value in enumerate(sorted({value for value in values if value is not None}))}
    return torch.tensor([-1 if value is None else number[value] for value in values])


def _domains(frames: Sequence[Frame]) -> Tensor:
    return _numbered([(frame.video.set, "") for frame in frames])


def _map(frame: Frame, name: str, size: int) -> Tensor:
    """float32 [1, size, size], 0 to 1. Without a file: depth is 0 where the attack is flat, all else missing (NaN)."""
    path = map_of(frame, name)
    if not path.is_file():
        flat = name == DEPTH and frame.video.type in _FLAT
        return torch.full((1, size, size), 0.0 if flat else torch.nan)
    with opened_picture(path) as image:
        try:
            image.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise UmbelError(f"{path}: cannot be read as a map ({' '.join(str(error).split())[:100]})") from None
        if image.mode not in ("L", "I;16", "I"):
            raise UmbelError(f"{path}: a map is a grey picture of 8 or 16 bits, and this has the mode {image.mode}")
        values = np.asarray(image, np.float32) / (255 if image.mode == "L" else 65535)
    resized = Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized))[None]
