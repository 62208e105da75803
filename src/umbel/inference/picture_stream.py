"""Answers for pictures of any size, one after the other, by a network that was trained on one size."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np
from PIL import Image

from umbel.errors import UmbelError
from umbel.inference.predictor import Predictor

TOGETHER = 16
"""Pictures that go through the network together, where nothing else is said."""

Key = TypeVar("Key")


class PictureStream:
    """Goes through pictures, resizes each to what the network takes, and gives it with its answers.

    Args:
        predictor: A run that learnt from pictures.
        batch_size: Pictures that go through the network together; so many are in memory at a time.

    Attributes:
        size: Width and height that the network takes.
        resized: How many pictures had another size so far.

    Raises:
        UmbelError: The run learnt from something else, or such a batch size is impossible.
    """

    def __init__(self, predictor: Predictor, batch_size: int = TOGETHER) -> None:
        shape = predictor.inputs.input_shape
        if not predictor.takes_pictures:
            raise UmbelError(f"{predictor.path} did not learn from pictures; give it rows with --data")
        if batch_size < 1:
            raise UmbelError(f"the batch size is {batch_size}; it must be at least 1")
        self._predictor = predictor
        self._batch_size = batch_size
        self._mode = "L" if shape[0] == 1 else "RGB"
        self.size = shape[2], shape[1]
        self.resized = 0

    def answers(
        self, pictures: Iterable[tuple[Key, Image.Image]]
    ) -> Iterator[tuple[Key, Image.Image, Mapping[str, np.ndarray]]]:
        """Each picture with its answers, in the given order.

        Args:
            pictures: Anything that tells a picture from the others, and the picture, upright.

        Yields:
            The same two, and task -> decoded answer, [outputs] or [outputs, H, W]; a liveness is calibrated where that
            was kept.
        """
        waiting: list[tuple[Key, Image.Image]] = []
        for one in pictures:
            waiting.append(one)
            if len(waiting) == self._batch_size:
                yield from self._answered(waiting)
                waiting = []
        if waiting:
            yield from self._answered(waiting)

    def _answered(
        self, waiting: list[tuple[Key, Image.Image]]
    ) -> Iterator[tuple[Key, Image.Image, Mapping[str, np.ndarray]]]:
        answers = self._predictor.predict_arrays(np.stack([self._pixels(picture) for _, picture in waiting]))
        for place, (key, picture) in enumerate(waiting):
            yield key, picture, {name: values[place] for name, values in answers.items()}

    def _pixels(self, picture: Image.Image) -> np.ndarray:
        """As the network gets it, uint8 [C, H, W]; resized as pictures of tables are, whatever its sides are."""
        converted = picture if picture.mode == self._mode else picture.convert(self._mode)
        if converted.size != self.size:
            self.resized += 1
            converted = converted.resize(self.size, Image.Resampling.BILINEAR)
        pixels = np.array(converted)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
