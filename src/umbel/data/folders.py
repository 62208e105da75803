"""Folders of pictures and label maps, read into tensors; what does not fit together is refused by file name."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from umbel.core import UmbelError
from umbel.data.picture_files import opened_picture
from umbel.data.pictures import held_out

Size = tuple[int, int]
"""Height and width in pixels."""
_PICTURES = (".jpg", ".jpeg", ".png")


def listed(folder: Path, suffixes: Sequence[str] = _PICTURES) -> list[Path]:
    """Files with one of the endings, in the order of their names; numbered files by number.

    Raises:
        UmbelError: No such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise UmbelError(f"{folder}: no such folder; the set's layout is described in its loader's documentation")
    files = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    if not files:
        raise UmbelError(f"{folder}: no {' or '.join(suffixes)} file in it; is the set unpacked completely?")
    return sorted(files, key=lambda path: (int(path.stem) if path.stem.isdecimal() else -1, path.name))


def partners(files: Sequence[Path], folder: Path, suffixes: Sequence[str] = _PICTURES) -> list[Path]:
    """The file of the same stem in another folder, for each file.

    Raises:
        UmbelError: A file has no partner, or the other folder holds more.
    """
    others = {path.stem: path for path in listed(folder, suffixes)}
    missing = [path for path in files if path.stem not in others]
    if missing or len(others) != len(files):
        odd = missing[0] if missing else next(p for s, p in others.items() if s not in {f.stem for f in files})
        raise UmbelError(
            f"{files[0].parent} holds {len(files)} files, {folder} {len(others)}; {odd.name} is in one only; "
            "add the missing file or remove its partner"
        )
    return [others[path.stem] for path in files]


def scaled(full: Size, height: int | None, where: str) -> Size:
    """Height and width after resizing to `height` rows at the same aspect ratio; None keeps the size.

    Raises:
        UmbelError: `height` is below 16.
    """
    if height is None:
        return full
    if height < 16:
        raise UmbelError(f"{where}: resolution {height} is too low; give 16 rows or more")
    return height, max(1, round(height * full[1] / full[0]))


def opened(path: Path, full: Size | None) -> Image.Image:
    """A picture with its pixels read.

    Args:
        path: The file.
        full: The size it must have; None takes any.

    Raises:
        UmbelError: Not a picture, or of another size; names it and both sizes.
    """
    image = opened_picture(path)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise UmbelError(f"{path}: cannot be read as a picture ({error}); fetch the file again") from error
    if full is not None and image.size != full[::-1]:
        raise UmbelError(
            f"{path}: {image.size[1]}×{image.size[0]} pixels, but the pictures before it have {full[0]}×{full[1]}; "
            "all must have one size (height×width)"
        )
    return image


def picture_size(path: Path) -> Size:
    """Height and width of a picture.

    Raises:
        UmbelError: It cannot be read.
    """
    return opened(path, None).size[::-1]


def read_pictures(paths: Sequence[Path], height: int | None, where: str, full: Size | None = None) -> Tensor:
    """Colour pictures, uint8 [N, 3, H, W], resized with the average of the covered pixels.

    Args:
        paths: Files of one size.
        height: Rows after resizing; None keeps them.
        where: The set, for errors.
        full: The size they must have; None takes the first one's.

    Raises:
        UmbelError: A file is not a picture or has another size; names it and both sizes.
    """
    full = full or picture_size(paths[0])
    size = scaled(full, height, where)
    out = torch.empty(len(paths), *size, 3, dtype=torch.uint8)
    for row, path in zip(out, paths, strict=True):
        image = opened(path, full).convert("RGB").resize(size[::-1], Image.Resampling.BOX)
        row.copy_(torch.from_numpy(np.array(image)))
    return out.permute(0, 3, 1, 2).contiguous()


def read_labels(paths: Sequence[Path], full: Size, height: int | None, classes: int, void: int, where: str) -> Tensor:
    """Label maps, int64 [N, H, W] with -1 for void, resized to the nearest pixel.

    Args:
        paths: Files of one channel (grey or palette).
        full: The size they must have: that of the pictures.
        height: Rows after resizing; None keeps them.
        classes: Labels are 0 to classes - 1.
        void: The value that stands for "no label".
        where: The set, for errors.

    Raises:
        UmbelError: A file has another size, several channels, or a label out of range.
    """
    size = scaled(full, height, where)
    out = torch.empty(len(paths), *size, dtype=torch.int64)
    for row, path in zip(out, paths, strict=True):
        image = opened(path, full)
        if len(image.getbands()) != 1:
            raise UmbelError(f"{path}: {len(image.getbands())} channels; a label map has one, the class of each pixel")
        labels = torch.from_numpy(np.array(image).astype(np.int64))
        row.copy_(nearest(checked_labels(labels, classes, void, path), size))
    return out


def checked_labels(labels: Tensor, classes: int, void: int, path: Path) -> Tensor:
    """The labels with -1 for void.

    Raises:
        UmbelError: A label is neither 0 to classes - 1 nor void.
    """
    labels = labels.masked_fill(labels == void, -1)
    if bool((wrong := (labels >= classes) | (labels < -1)).any()):
        raise UmbelError(f"{path}: label {int(labels[wrong][0])}; labels are 0 to {classes - 1}, and {void} for void")
    return labels


def nearest(values: Tensor, size: Size) -> Tensor:
    """Maps [..., H, W] resized by taking the pixel under each new pixel's centre."""
    rows, columns = (
        ((torch.arange(new) + 0.5) * (old / new)).long().clamp(max=old - 1)
        for new, old in zip(size, values.shape[-2:], strict=True)
    )
    return values[..., rows[:, None], columns]


def carved(count: int, share: float, where: str) -> tuple[Tensor, Tensor]:
    """Numbers of the samples to learn from, and of those kept for validation; the same each time.

    Args:
        count: Samples in the published training split.
        share: The part kept for validation, between 0 and 1; at least one sample.
        where: The set, for errors.

    Raises:
        UmbelError: No sample would be left on one side.
    """
    kept = max(1, round(share * count))
    if not 0 < share < 1 or kept >= count:
        raise UmbelError(f"{where}: validation={share} of {count} samples leaves one side empty; give 0 < share < 1")
    return held_out(count, share)
