"""Opening pictures that the user names: a list of formats, and no file outside the folder of the table."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from umbel.errors import UmbelError

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What Pillow may take a file for. Others are refused, among them EPS, for which Pillow would start Ghostscript."""

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
"""Which files of a folder are taken for pictures."""


def opened_picture(path: Path) -> Image.Image:
    """A picture whose header is read; its pixels are read when they are needed.

    Args:
        path: A file in one of `PICTURE_FORMATS`, whatever its name ends in.

    Raises:
        UmbelError: It cannot be opened, or is in none of these formats.
    """
    try:
        return Image.open(path, formats=PICTURE_FORMATS)
    except Image.UnidentifiedImageError:
        formats = ", ".join(PICTURE_FORMATS)
        raise UmbelError(f"{path}: cannot be read as a picture; save it as one of {formats}") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UmbelError(f"{path}: cannot be read as a picture ({' '.join(str(error).split())})") from None


def eight_bits(picture: Image.Image, name: str) -> Image.Image:
    """A picture of 16 bits with its upper 8, any other as it is.

    Args:
        picture: With its pixels.
        name: For the message.

    Raises:
        UmbelError: It has 32 bits, which have no fixed range.
    """
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise UmbelError(f"{name}: 32-bit pictures have no fixed range; save it with 8 or 16 bits")
    return picture


def check_picture_paths(table: Path, names: Iterable[str | None], anywhere: bool) -> None:
    """Refuse pictures that are missing, are no plain files, or lie outside the table's folder.

    A table from somebody else must not make Umbel read files that its user did not mean to give.

    Args:
        table: The file; paths are relative to its folder.
        names: Paths of pictures as the table has them; None (a blank cell) is left to others.
        anywhere: Let paths leave the folder: absolute ones, through "..", or through a link.

    Raises:
        UmbelError: Names the first such picture.
    """
    folder = os.path.realpath(table.parent)
    real_folders: dict[str, str] = {}
    for name in dict.fromkeys(name for name in names if name is not None):
        path = table.parent / name
        try:
            present = path.is_file()
            if anywhere or not present:
                real = folder
            elif path.is_symlink():
                real = os.path.realpath(path)
            else:  # pictures share few folders, and following links is slow
                parent = str(path.parent)
                if parent not in real_folders:
                    real_folders[parent] = os.path.realpath(parent)
                real = real_folders[parent]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UmbelError(f"{table}: the picture {name[:60]!r} cannot be looked for ({reason})") from None
        if not present:
            raise UmbelError(f"{path}: no such picture; paths are relative to the table's folder")
        if os.path.commonpath([folder, real]) != folder:
            raise UmbelError(
                f"{table}: the picture {name!r} lies outside the table's folder; move it there, or allow it with "
                "--pictures-anywhere (in Python pictures_anywhere=True)"
            )
