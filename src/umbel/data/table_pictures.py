"""The pictures that a column of a table names, in memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from umbel.data.picture_files import eight_bits, opened_picture
from umbel.errors import UmbelError

LARGEST_BYTES = 16 * 2**30
"""Pictures that need more memory than this are refused."""


def load_pictures(paths: Sequence[Path | Image.Image], resolution: int | None = None, mode: str = "RGB") -> Tensor:
    """Pictures as uint8 [n, C, H, W], turned upright as their EXIF tag says.

    Args:
        paths: At least one; or pictures that are open already.
        resolution: Height and width in pixels to resize to (bilinear, with antialiasing; the aspect ratio is not
            kept). None keeps the size, which must be that of the first picture.
        mode: "RGB", or "L" for grey pictures with one channel.

    Raises:
        UmbelError: A file is missing, is not a picture or has another size; or all together are too large.
    """
    for path in paths:
        if isinstance(path, Path) and not path.is_file():
            raise UmbelError(f"{path}: no such picture; paths are relative to the table's folder")
    first = _pixels(paths[0], resolution, mode)
    if (size := first.nbytes * len(paths)) > LARGEST_BYTES:
        raise UmbelError(
            f"{len(paths)} pictures like {paths[0]} need {size / 2**30:.0f} GiB of memory; give a smaller resolution"
        )
    pictures = torch.empty((len(paths), *first.shape), dtype=torch.uint8)

    def load(i: int) -> None:
        pixels = _pixels(paths[i], resolution, mode)
        if pixels.shape != first.shape:
            sizes = [
                f"{p} is {array.shape[2]}×{array.shape[1]}" for p, array in ((paths[0], first), (paths[i], pixels))
            ]
            raise UmbelError(f"pictures of different size: {sizes[0]}, {sizes[1]}; give a resolution to resize them to")
        pictures[i] = torch.from_numpy(pixels)

    pool = ThreadPoolExecutor()
    try:
        for _ in pool.map(load, range(len(paths))):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return pictures


def _pixels(path: Path | Image.Image, resolution: int | None, mode: str) -> np.ndarray:
    """One picture as uint8 [C, H, W]."""
    if isinstance(path, Image.Image):
        return _upright(path, "a picture", resolution, mode)
    try:
        with opened_picture(path) as opened:
            return _upright(opened, str(path), resolution, mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UmbelError(f"{path}: cannot be read as a picture ({reason})") from None


def _upright(opened: Image.Image, name: str, resolution: int | None, mode: str) -> np.ndarray:
    picture = eight_bits(ImageOps.exif_transpose(opened), name).convert(mode)
    if resolution is not None:
        picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.array(picture)  # a copy: what a grey picture shows may not be written
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
