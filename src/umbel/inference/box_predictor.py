"""A trained or adapted detector, opened: boxes for new pictures, in pixels of the pictures themselves."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from umbel.core import Batch, Learner, UmbelError, pad_inputs
from umbel.data.boxes.placing import resized
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.task_records import TaskRecord
from umbel.engine import FabricRuntime
from umbel.inference.answers import decoded
from umbel.inference.listed_pictures import listed_pictures
from umbel.recipes.boxes import kept_thresholds

THRESHOLD = 0.5
"""Boxes with a lower score are left out, where neither the user nor the training says anything."""
PICTURES_TOGETHER = 8
"""Pictures of one size that go through the detector together, where nothing else is said."""
PLACES = ("x1", "y1", "x2", "y2")
"""Names of a box's corners."""
_PICTURE = "picture"

Key = TypeVar("Key")


@dataclass(frozen=True, eq=False)
class PictureBoxes:
    """What a detector found in one picture.

    Attributes:
        boxes: float64 [d, 6]: x1, y1, x2, y2 in pixels of the picture, the score and the number of the class; the best
            score first.
        answers: Further task -> its answer for the whole picture in natural units, [outputs].
    """

    boxes: np.ndarray
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.boxes)


class BoxPredictor:
    """A detector that answers for new pictures of any size; made by `load_detector`.

    Pictures are resized as the training's were and padded to multiples of the detector's stride only, and those of one
    size go through it together: an answer depends neither on the other pictures nor on how many there are, but for
    the last digits of float32, in which it computes whatever the training's precision was.

    Args:
        learner: The trained detector.
        record: What is known of its data.
        runtime: The device.
        path: Its checkpoint.

    Attributes:
        boxes: The task whose answers are boxes.
        thresholds: From which score on a box of each class counts, where nothing else is said: what the training's
            validation found best (the greatest F1), else 0.5.
        further: The tasks with an answer for the whole picture.
    """

    def __init__(self, learner: Learner, record: DataRecord, runtime: FabricRuntime, path: Path) -> None:
        if not isinstance(record.inputs, PaddedPictures):
            raise UmbelError(f"{path} finds no boxes; open it with umbel.load")
        self.learner = learner.to(runtime.device).eval()
        self.record = record
        self.path = path
        self._resolution = record.inputs.resolution
        self._runtime = runtime.with_settings("float32", 1)
        self._tasks = {task.name: task for task in learner.tasks}
        self.boxes: TaskRecord = next(one for one in record.outputs if one.output == "boxes")
        self.further: tuple[TaskRecord, ...] = tuple(one for one in record.outputs if one.output != "boxes")
        self.thresholds = kept_thresholds(path) or (THRESHOLD,) * len(self.boxes.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.boxes.labels

    def predict(self, pictures: Any, threshold: float | None = None) -> pd.DataFrame:
        """The boxes of all pictures; a picture without any has no row.

        Args:
            pictures: A folder (with those in it), files, or pictures of PIL.
            threshold: Boxes with a lower score are left out; None: each class's own.

        Returns:
            Columns file, class, score, x1, y1, x2, y2, in pixels of the pictures as they are on the disk (upright).

        Raises:
            UmbelError: There is no such file or folder, or none of its pictures can be read.
        """
        listed = listed_pictures(pictures)
        rows = [
            (name, self.labels[int(row[5])], float(row[4]), *map(float, row[:4]))
            for name, _, answer in self.stream(listed, threshold)
            for row in answer.boxes
        ]
        if len(listed.skipped) == len(listed):
            raise UmbelError(f"no picture can be read: {listed.skipped[0]}")
        return pd.DataFrame(rows, columns=["file", "class", "score", *PLACES])

    def stream(
        self,
        pictures: Iterable[tuple[Key, Image.Image]],
        threshold: float | None = None,
        batch_size: int = PICTURES_TOGETHER,
    ) -> Iterator[tuple[Key, Image.Image, PictureBoxes]]:
        """Each picture with its answer, in the given order; few pictures are in memory at a time.

        Args:
            pictures: Anything that tells a picture from the others, and the picture: upright, in RGB.
            threshold: Boxes with a lower score are left out, 0 to 1; None: each class's own.
            batch_size: At most so many pictures, of one size, go through the detector together.

        Raises:
            UmbelError: Such a threshold or batch size is impossible.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise UmbelError(f"the threshold is {threshold}; give a score from 0 to 1")
        if batch_size < 1:
            raise UmbelError(f"the batch size is {batch_size}; it must be at least 1")
        limits = np.array(self.thresholds if threshold is None else [threshold] * len(self.labels))
        waiting: list[tuple[Key, Image.Image, Tensor]] = []
        for key, picture in pictures:
            ready = self._resized(picture)
            if waiting and (len(waiting) == batch_size or ready.shape != waiting[0][2].shape):
                yield from self._answered(waiting, limits)
                waiting = []
            waiting.append((key, picture, ready))
        yield from self._answered(waiting, limits)

    def _resized(self, picture: Image.Image) -> Tensor:
        """As the detector gets it, uint8 [3, h, w]."""
        height, width = resized((picture.height, picture.width), self._resolution)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)

    def _answered(
        self, waiting: list[tuple[Key, Image.Image, Tensor]], limits: np.ndarray
    ) -> Iterator[tuple[Key, Image.Image, PictureBoxes]]:
        if not waiting:
            return
        inputs = pad_inputs(_PICTURE, [ready for _, _, ready in waiting])
        batch = Batch({name: x.to(self._runtime.device) for name, x in inputs.items()})
        with torch.no_grad(), self._runtime.autocast():
            raw = self.learner.predict(batch, self.learner.sweep()[0])
        plain = {name: answer.float().cpu() for name, answer in raw.items()}
        further = {one.name: decoded(one, self._tasks[one.name], plain[one.name]).numpy() for one in self.further}
        for place, (key, picture, ready) in enumerate(waiting):
            boxes = _in_full(plain[self.boxes.name][place].double().numpy(), ready.shape[-2:], picture, limits)
            answers = {name: answer[place].reshape(-1) for name, answer in further.items()}
            yield key, picture, PictureBoxes(boxes, answers)


def _in_full(rows: np.ndarray, size: torch.Size, picture: Image.Image, least: np.ndarray) -> np.ndarray:
    """The boxes [d, 6] that count, in pixels of the picture itself; `size` is that at which it was looked at."""
    kept = rows[(rows[:, 5] >= 0) & (rows[:, 4] >= least[np.maximum(rows[:, 5], 0).astype(int)])]
    scale = np.array([picture.width / size[1], picture.height / size[0]] * 2)
    limits = np.array([picture.width, picture.height] * 2, float)
    return np.concatenate([np.clip(kept[:, :4] * scale, 0, limits), kept[:, 4:]], 1)
