"""Size and error of every picture at every quality, so that a budget of bits is a lookup."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from umbel.channels.digital.codecs import Codec, find_codec, floor_bytes
from umbel.errors import UmbelError

_CHUNK = 16


class RateTable:
    """All files of some pictures, by their size and error.

    Attributes:
        codec: The codec.
        pictures: What is sent, uint8 [N, H, W, C].
        sizes: Bytes of the whole file, int64 [N, Q], qualities worst first.
        squared_errors: Mean squared error of values in 0 to 1, float64 [N, Q].
        floor: Bytes of a flat picture's file: what a header-free count leaves out.
    """

    def __init__(
        self, images: Tensor, codec: str | Codec = "webp", progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Encodes and decodes every picture at every quality: some seconds for 1,000 pictures of 32x32.

        Args:
            images: [N, C, H, W] with 1 or 3 channels, uint8 or float in 0 to 1 (rounded to 8 bits).
            codec: A name of `CODECS`, or one of your own.
            progress: Gets (pictures done, all pictures).

        Raises:
            UmbelError: Pictures of another kind, or the codec's package is missing.
        """
        self.codec = find_codec(codec)
        self.pictures = _as_bytes(images)
        self.floor = floor_bytes(self.codec, tuple(self.pictures.shape[1:]))
        count, qualities = len(self.pictures), len(self.codec.qualities)
        self.sizes = torch.zeros(count, qualities, dtype=torch.int64)
        self.squared_errors = torch.zeros(count, qualities, dtype=torch.float64)
        self._decoded: dict[tuple[int, int], np.ndarray] = {}
        chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # the codecs release the interpreter's lock
            for chunk, _ in zip(chunks, pool.map(self._measure, chunks), strict=True):
                if progress:
                    progress(chunk[-1] + 1, count)

    def __len__(self) -> int:
        return len(self.pictures)

    def _measure(self, chunk: range) -> None:
        for image in chunk:
            original = self.pictures[image].astype(np.float64)
            for rung, quality in enumerate(self.codec.qualities):
                data = self.codec.encode(self.pictures[image], quality)
                error = self.codec.decode(data, original.shape[2]) - original
                self.sizes[image, rung] = len(data)
                self.squared_errors[image, rung] = float((error**2).mean()) / 255**2

    def choose(self, bits: float, count_header: bool = True) -> Tensor:
        """The quality of each picture with the smallest error among those that fit.

        Args:
            bits: Budget for each picture.
            count_header: Whether the whole file must fit, or only what exceeds the codec's floor.

        Returns:
            Index into the codec's qualities, int64 [N]; -1 where not even the smallest file fits.
        """
        counted = self.sizes - (0 if count_header else self.floor)
        errors = self.squared_errors.masked_fill(8 * counted > bits, torch.inf)
        best = errors.min(1)
        return torch.where(best.values.isfinite(), best.indices, -1)

    def errors_of(self, choice: Tensor) -> Tensor:
        """Mean squared errors for a choice of qualities, [N]; infinite where nothing was sent."""
        errors = self.squared_errors.gather(1, choice.clamp(min=0)[:, None]).squeeze(1)
        return errors.masked_fill(choice < 0, torch.inf)

    def file(self, image: int, rung: int) -> bytes:
        """The file of one picture at one quality (an index into the codec's qualities)."""
        return self.codec.encode(self.pictures[image], self.codec.qualities[rung])

    def decoded(self, image: int, rung: int) -> Tensor:
        """What that file shows: float [C, H, W] in 0 to 1. Decoded once and kept."""
        if (image, rung) not in self._decoded:
            self._decoded[image, rung] = self.codec.decode(self.file(image, rung), self.pictures.shape[3])
        return as_float(self._decoded[image, rung])

    def originals(self) -> Tensor:
        """The pictures themselves, float [N, C, H, W] in 0 to 1."""
        return torch.from_numpy(self.pictures).permute(0, 3, 1, 2).float() / 255


def as_float(image: np.ndarray) -> Tensor:
    """A picture uint8 [H, W, C] as float [C, H, W] in 0 to 1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _as_bytes(images: Tensor) -> np.ndarray:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise UmbelError(f"pictures of shape {tuple(images.shape)}; [N, 3, H, W] or [N, 1, H, W] is needed")
    if images.is_floating_point():
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise UmbelError("pictures outside 0 to 1 (or NaN); undo the normalisation before the digital chain")
        images = (images.float() * 255).round()
    elif images.dtype != torch.uint8:
        raise UmbelError(f"pictures of {images.dtype}; uint8, or float in 0 to 1, is needed")
    return np.ascontiguousarray(images.cpu().to(torch.uint8).permute(0, 2, 3, 1).numpy())
