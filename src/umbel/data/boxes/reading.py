"""Pictures of different sizes read into one tensor of bytes: each in the upper left corner of its place, or resized."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from umbel.core.machine import machine_bytes
from umbel.data.picture_files import eight_bits, opened_picture
from umbel.errors import UmbelError

_PART_OF_MEMORY = 0.8


def check_memory(count: int, size: tuple[int, int], where: str) -> None:
    """Refuse pictures that do not fit into the machine's memory, before any is read.

    Args:
        count: How many.
        size: Height and width of a place.
        where: The set, for the message.

    Raises:
        UmbelError: They need more; says how much.
    """
    needed, limit = count * 3 * size[0] * size[1], _PART_OF_MEMORY * machine_bytes()
    if needed > limit:
        raise UmbelError(
            f"{where}: {count:,} pictures of {size[1]}x{size[0]} need {needed / 2**30:,.1f} GiB and there are "
            f"{limit / 2**30:,.1f}; give a smaller resolution, or fewer pictures (size)"
        )


def read_picture(path: Path, upright: bool, size: tuple[int, int] | None = None) -> Image.Image:
    """A colour picture with its pixels, turned and resized.

    Args:
        path: The file.
        upright: Whether to turn it as its EXIF entry says.
        size: Height and width; None keeps them.

    Raises:
        UmbelError: It cannot be read.
    """
    try:
        with opened_picture(path) as image:
            image.load()
            turned = ImageOps.exif_transpose(image) if upright else image
            colour = eight_bits(turned, str(path)).convert("RGB")
            if size is None or colour.size == size[::-1]:
                return colour
            return colour.resize(size[::-1], Image.Resampling.BILINEAR)
    except UmbelError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever damaged bytes lead to
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise UmbelError(f"{path}: cannot be read as a picture ({reason})") from None


def padded_pictures(
    files: Sequence[tuple[Path, bool, tuple[int, int]]], where: str, unreadable: Callable[[int, str], None]
) -> tuple[Tensor, Tensor]:
    """Pictures as one tensor, zeros behind the end of the smaller ones.

    Args:
        files: Path, whether to turn it as its EXIF entry says, height and width after resizing.
        where: The set, for messages.
        unreadable: Hears the number of a picture that cannot be read, and why; its place stays black.

    Returns:
        uint8 [N, 3, H, W] and the sizes int64 [N, 3], as `core.pad_inputs` has them.

    Raises:
        UmbelError: They do not fit into memory.
    """
    height, width = (max(size[axis] for _, _, size in files) for axis in (0, 1))
    check_memory(len(files), (height, width), where)
    pictures = torch.zeros(len(files), 3, height, width, dtype=torch.uint8)
    for number, (path, upright, size) in enumerate(files):
        try:
            image = read_picture(path, upright, size)
        except UmbelError as error:
            unreadable(number, str(error))
            continue
        pictures[number, :, : size[0], : size[1]] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return pictures, torch.tensor([(3, *size) for _, _, size in files], dtype=torch.int64).reshape(-1, 3)


def read_squares(files: Sequence[Path], size: int) -> Tensor:
    """Pictures resized to one square, whatever their shape: uint8 [N, 3, size, size].

    Args:
        files: Turned as their EXIF entries say.
        size: Height and width.

    Raises:
        UmbelError: One cannot be read.
    """

    def read(file: Path) -> np.ndarray:
        return np.array(read_picture(file, True, (size, size)))

    out = torch.empty(len(files), size, size, 3, dtype=torch.uint8)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for row, pixels in zip(out, pool.map(read, files, chunksize=64), strict=True):
            row.copy_(torch.from_numpy(pixels))
    return out.permute(0, 3, 1, 2).contiguous()
