"""A grid of pictures with headings, such as images received at each layer and SNR."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageDraw

from umbel.core import UmbelError
from umbel.files import write_atomically
from umbel.report.pictures import array_of, encoded, fitted, font
from umbel.report.tiles import Tile, picture

_GAP, _LINE, _MOST_WIDTH, _LEAST_CELL, _HEADING_WIDTH = 8, 16, 1600, 64, 170
_INK, _SOFT, _EDGE = "#1c1f23", "#545b64", "#b5bac1"


def draw_image_grid(
    path: Path | str,
    rows: Sequence[tuple[str, Sequence[Any]]],
    columns: Sequence[str],
    scale: int = 3,
    captions: Mapping[tuple[int, int], str] | None = None,
) -> Path:
    """Draw pictures in rows and columns with headings, and save them as PNG of at most 300 kB.

    All pictures fill cells of one size: `scale` times the largest picture, at least 64 pixels, less where the sheet
    would be wider than 1,600. Enlarging repeats pixels, so that a small picture looks as coarse as it is.

    Args:
        path: The file to write.
        rows: Heading and pictures of each row: [C, H, W] in 0 to 1 (or uint8) with C of 1 or 3; None stays empty.
        columns: Headings of the columns.
        scale: How many pixels of the sheet one pixel of the largest picture takes.
        captions: (row, column), both from 0 -> words under that picture, such as its PSNR.

    Returns:
        The path.

    Raises:
        UmbelError: No picture, a row that is not as long as the columns, something that is no picture, a caption
            outside the grid, a scale below 1, or a file that cannot be written.
    """
    return write_atomically(Path(path), encoded(image_sheet(rows, columns, scale, captions or {})))


def image_sheet(
    rows: Sequence[tuple[str, Sequence[Any]]],
    columns: Sequence[str],
    scale: int,
    captions: Mapping[tuple[int, int], str],
) -> Image.Image:
    """The sheet that `draw_image_grid` saves; the arguments are the same.

    Raises:
        UmbelError: As `draw_image_grid`.
    """
    if scale < 1:
        raise UmbelError(f"image grid: scale is {scale}; give 1 or more")
    _check_shape(rows, columns, captions)
    tiles = [[_tile(p, r, c) for c, p in enumerate(pictures)] for r, (_, pictures) in enumerate(rows)]
    if not any(tile is not None for row in tiles for tile in row):
        raise UmbelError("image grid: nothing to draw; give at least one picture")
    return _drawn(tiles, [heading for heading, _ in rows], columns, captions, scale)


def psnr_captions(rows: Sequence[tuple[str, Sequence[Any]]]) -> dict[tuple[int, int], str]:
    """Captions that give the PSNR of every picture in decibels, relative to the first row's in the same column.

    Pictures of another size than the original, and empty cells, have none. Without any error it is 100 dB.

    Args:
        rows: As `draw_image_grid` takes them, pictures in 0 to 1; the first row holds the originals.
    """
    captions = {}
    for row, (_, pictures) in enumerate(rows[1:], start=1):
        for column, (shown, original) in enumerate(zip(pictures, rows[0][1], strict=True)):
            if shown is not None and original is not None and tuple(shown.shape) == tuple(original.shape):
                error = float(numpy.square(array_of(shown).astype(float) - array_of(original)).mean())
                captions[row, column] = f"{-10 * math.log10(max(1e-10, error)):.1f} dB"
    return captions


def _check_shape(
    rows: Sequence[tuple[str, Sequence[Any]]], columns: Sequence[str], captions: Mapping[Any, str]
) -> None:
    for heading, pictures in rows:
        if len(pictures) != len(columns):
            raise UmbelError(
                f"image grid: row {heading!r} has {len(pictures)} pictures for {len(columns)} columns; use None where "
                "there is none"
            )
    for row, column in captions:
        if not (0 <= row < len(rows) and 0 <= column < len(columns)):
            raise UmbelError(
                f"image grid: a caption is at row {row}, column {column} of {len(rows)} × {len(columns)} cells; "
                "both count from 0"
            )


def _tile(values: Any, row: int, column: int) -> Tile | None:
    if values is None:
        return None
    array = array_of(values)
    if array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
        raise UmbelError(
            f"image grid: row {row}, column {column} has shape {list(array.shape)}; expected [1 or 3, height, width]"
        )
    return picture(array / 255 if array.dtype == numpy.uint8 else array)


def _cell_size(tiles: Sequence[Sequence[Tile | None]], count: int, scale: int) -> tuple[int, int]:
    """Width and height of a cell in pixels."""
    shapes = [tile.shape for row in tiles for tile in row if tile is not None]
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    room = max(_LEAST_CELL, (_MOST_WIDTH - _HEADING_WIDTH) // count - _GAP)
    factor = min(max(scale, -(-_LEAST_CELL // width)), room / width)
    factor = int(factor) if factor > 1 else factor
    return max(_LEAST_CELL, round(width * factor)), max(1, round(height * factor))


def wrapped(text: str, width: float, lines: int, bold: bool = False) -> list[str]:
    """The text in at most so many lines of at most `width` pixels; the last is cut where it is too long."""
    letters = font(bold)
    most = max(1, int(width / letters.getlength("n")))
    made = textwrap.wrap(text, most) or [""]
    if len(made) > lines:
        made = [*made[: lines - 1], " ".join(made[lines - 1 :])]
    return [fitted(line, width, bold) for line in made]


def _drawn(
    tiles: Sequence[Sequence[Tile | None]],
    headings: Sequence[str],
    columns: Sequence[str],
    captions: Mapping[tuple[int, int], str],
    scale: int,
) -> Image.Image:
    width, height = _cell_size(tiles, len(columns), scale)
    sides = [wrapped(heading, _HEADING_WIDTH, max(1, height // _LINE), bold=True) for heading in headings]
    tops = [wrapped(heading, width, 3, bold=True) for heading in columns]
    below = {place: wrapped(text, width, 2) for place, text in captions.items()}
    left = _GAP + max((round(font(True).getlength(line)) for side in sides for line in side), default=0) + _GAP
    head = _GAP + _LINE * max(map(len, tops)) + 4
    feet = [
        _LINE * max((len(below.get((r, c), ())) for c in range(len(columns))), default=0) for r in range(len(tiles))
    ]
    sheet = Image.new("RGB", (left + len(columns) * (width + _GAP), head + sum(feet) + len(tiles) * (height + _GAP)))
    sheet.paste("white", (0, 0, *sheet.size))
    draw = ImageDraw.Draw(sheet)
    for column, lines in enumerate(tops):
        _text(draw, lines, (left + column * (width + _GAP), head - 4 - _LINE * len(lines)), _INK, bold=True)
    y = head
    for row, side in enumerate(sides):
        _text(draw, side, (_GAP, y + max(0, (height - _LINE * len(side)) // 2)), _INK, bold=True)
        for column, tile in enumerate(tiles[row]):
            x = left + column * (width + _GAP)
            _put(sheet, draw, tile, (x, y), (width, height))
            _text(draw, below.get((row, column), ()), (x, y + height + 2), _SOFT)
        y += height + feet[row] + _GAP
    return sheet


def _text(
    draw: ImageDraw.ImageDraw, lines: Sequence[str], place: tuple[int, int], ink: str, bold: bool = False
) -> None:
    for number, line in enumerate(lines):
        draw.text((place[0], place[1] + number * _LINE), line, fill=ink, font=font(bold))


def _put(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile | None, place: tuple[int, int], size: tuple[int, int]
) -> None:
    """The tile as large as fits the cell, in its middle; an empty cell stays pale."""
    if tile is None:
        draw.rectangle((*place, place[0] + size[0] - 1, place[1] + size[1] - 1), fill="#f5f6f8")
        return
    factor = min(size[0] / tile.shape[1], size[1] / tile.shape[0])
    width, height = max(1, round(tile.shape[1] * factor)), max(1, round(tile.shape[0] * factor))
    x, y = place[0] + (size[0] - width) // 2, place[1] + (size[1] - height) // 2
    sheet.paste(
        Image.fromarray(tile).resize((width, height), Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX),
        (x, y),
    )
    draw.rectangle((x, y, x + width - 1, y + height - 1), outline=_EDGE)
