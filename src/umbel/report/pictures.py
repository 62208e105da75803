"""Sample pictures: for each sample a row with the input and, for every task, target and prediction."""

import io
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy
from PIL import Image, ImageDraw, ImageFont

from umbel.core import Task, UmbelError
from umbel.files import write_atomically
from umbel.report.captions import Caption, caption
from umbel.report.tiles import Legend, Strip, Tile, picture, strips, value_map

LARGEST_BYTES = 300_000
_GAP, _LINE, _HEAD, _TEXT_WIDTH, _MOST_WIDTH = 8, 17, 38, 300, 1600
_INK, _SOFT = "#1c1f23", "#545b64"


def draw_samples(
    path: Path | str,
    inputs: Any,
    tasks: Sequence[Task],
    targets: Mapping[str, Any],
    predictions: Mapping[str, Any],
    limit: int = 8,
) -> Path:
    """Draw samples and save them as PNG of at most 300 kB.

    Maps become tiles: classes by colour, values on one scale for all samples, normals as red, green and blue, pixels
    without label striped grey. Other outputs become words with ✓ or ✗. Inputs that are not pictures are left out.

    Args:
        path: The file to write.
        inputs: [n, C, H, W] in 0 to 1 with C of 1 or 3 for pictures; anything else of length n, or a mapping.
        tasks: The tasks, in the order of the columns.
        targets: Task -> target of the n samples, with missing labels as in `Batch`. A task without an entry has
            no label.
        predictions: Task -> prediction in natural units (after `task.decode`).
        limit: How many samples to draw at most.

    Returns:
        The path.

    Raises:
        UmbelError: A task has no prediction, or the file cannot be written.
    """
    shown, words, legends = _columns(inputs, tasks, targets, predictions, limit)
    image = _drawn(shown, words, legends)
    return write_atomically(Path(path), encoded(image))


def array_of(values: Any) -> numpy.ndarray:
    """A tensor (of any device and number format), array or list as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return numpy.asarray(values)


def _columns(
    inputs: Any, tasks: Sequence[Task], targets: Mapping[str, Any], predictions: Mapping[str, Any], limit: int
) -> tuple[list[Strip], list[list[Caption]], list[Legend]]:
    """The strips of tiles, the captions of each sample, and the legends."""
    shown: list[Strip] = []
    if not isinstance(inputs, Mapping):
        values = array_of(inputs)[:limit]
        if values.ndim == 4 and values.shape[1] in (1, 3):
            values = values / 255 if values.dtype == numpy.uint8 else values
            shown.append(Strip("input", "", tuple(map(picture, values))))
    words: list[list[Caption]] = []
    legends: list[Legend] = []
    for task in tasks:
        if task.name not in predictions:
            raise UmbelError(
                f"samples: no prediction for task {task.name!r}; known: {', '.join(predictions) or 'none'}"
            )
        prediction = array_of(predictions[task.name])[:limit]
        target = array_of(targets[task.name])[:limit] if task.name in targets else None
        if prediction.ndim == 4:
            columns, legend = strips(task, target, prediction)
            shown += columns
            legends += [legend] if legend else []
        else:
            pairs = zip(range(len(prediction)), prediction, strict=True)
            words.append([caption(task, None if target is None else target[i], p) for i, p in pairs])
    count = len(shown[0].tiles) if shown else len(words[0]) if words else 0
    if not count:
        raise UmbelError("samples: nothing to draw; give at least one sample")
    return shown, [[column[i] for column in words] for i in range(count)], legends


@cache
def font(bold: bool = False, size: int = 12) -> ImageFont.FreeTypeFont:
    """The letters of all pictures."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def fitted(text: str, width: float, bold: bool = False) -> str:
    """The text, cut with "…" where it is wider than `width` pixels."""
    letters = font(bold)
    if letters.getlength(text) <= width:
        return text
    while text and letters.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _size(shown: Sequence[Strip]) -> tuple[int, int]:
    """Width and height of a tile on the page: whole multiples for small pictures, less for wide sheets."""
    tiles = [t for strip in shown for t in strip.tiles if t is not None]
    if not tiles:
        return 0, 0
    height, width = tiles[0].shape[:2]
    longest = max(64, min(128, _MOST_WIDTH // len(shown)))
    factor = longest / max(height, width)
    factor = max(1, round(factor)) if factor > 1 else factor
    return max(64, round(width * factor)), max(1, round(height * factor * max(1, 64 / (width * factor))))


def _drawn(shown: Sequence[Strip], words: Sequence[Sequence[Caption]], legends: Sequence[Legend]) -> Image.Image:
    width, height = _size(shown)
    per_column = max(6, (height + _GAP) // _LINE)
    texts = [[row[i : i + per_column] for i in range(0, len(row), per_column)] for row in words]
    widths = _text_widths(texts)
    step = max(height, _LINE * max((len(column) for row in texts for column in row), default=0)) + _GAP
    left = _GAP + len(shown) * (width + _GAP)
    total = max(left + sum(widths) + _GAP * len(widths), 320)
    head = _HEAD if shown else _GAP
    image = Image.new("RGB", (math.ceil(total), head + step * len(words)), "white")
    draw = ImageDraw.Draw(image)
    for column, strip in enumerate(shown):
        x = _GAP + column * (width + _GAP)
        draw.text((x, 4), fitted(strip.title, width, True), fill=_INK, font=font(True))
        draw.text((x, 19), fitted(strip.subtitle, width), fill=_SOFT, font=font())
        for row, tile in enumerate(strip.tiles):
            _put(image, draw, tile, (x, head + row * step), (width, height))
    for row, columns in enumerate(texts):
        x = left
        for part, space in zip(columns, widths, strict=True):
            for number, told in enumerate(part):
                place = (x, head + row * step + number * _LINE)
                draw.text(place, fitted(told.line, space), fill=told.colour, font=font())
            x += space + _GAP
        if row and not shown:
            draw.line((_GAP, head + row * step - 4, total - _GAP, head + row * step - 4), fill="#d8dce1")
    return with_legends(image, legends)


def with_legends(image: Image.Image, legends: Sequence[Legend]) -> Image.Image:
    """The sheet with what its colours mean under it."""
    lines = [row for legend in legends for row in _legend_rows(legend, image.width)]
    if not lines:
        return image
    longer = Image.new("RGB", (image.width, image.height + len(lines) * 20 + _GAP), "white")
    longer.paste(image, (0, 0))
    draw = ImageDraw.Draw(longer)
    for number, line in enumerate(lines):
        _draw_legend(longer, draw, line, image.height + number * 20)
    return longer


def _text_widths(texts: Sequence[Sequence[Sequence[Caption]]]) -> list[int]:
    count = max((len(row) for row in texts), default=0)
    longest = [
        max((font().getlength(c.line) for row in texts for c in (row[i] if i < len(row) else ())), default=0)
        for i in range(count)
    ]
    return [min(_TEXT_WIDTH, math.ceil(value) + 4) for value in longest]


def _put(
    image: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile | None, place: tuple[int, int], size: tuple[int, int]
) -> None:
    if tile is not None:
        larger = tile.shape[1] < size[0]
        image.paste(
            Image.fromarray(tile).resize(size, Image.Resampling.NEAREST if larger else Image.Resampling.BOX), place
        )
        draw.rectangle((*place, place[0] + size[0] - 1, place[1] + size[1] - 1), outline="#b5bac1")
        return
    draw.rectangle((*place, place[0] + size[0] - 1, place[1] + size[1] - 1), outline="#b5bac1", fill="#f5f6f8")
    middle = (place[0] + size[0] / 2, place[1] + size[1] / 2)
    draw.text(middle, "no label", fill=_SOFT, font=font(), anchor="mm")


def _legend_rows(legend: Legend, width: float) -> list[list[tuple[str, Any]]]:
    """Rows of (text, colour or scale) that fit into the width."""
    rows: list[list[tuple[str, Any]]] = [[(f"{fitted(legend.title, 150, True)}:", None)]]
    x = 170.0
    entries: list[tuple[str, Any]] = (
        [(legend.scale[0] + " to " + legend.scale[1], "scale")] if legend.scale else list(legend.classes)
    )
    for text, colour in entries:
        needed = 30 + font().getlength(fitted(text, 150))
        if x + needed > width and len(rows[-1]) > 1:
            rows.append([("", None)])
            x = 170.0
        rows[-1].append((fitted(text, 150), colour))
        x += needed
    return rows


def _draw_legend(image: Image.Image, draw: ImageDraw.ImageDraw, row: Sequence[tuple[str, Any]], y: int) -> None:
    draw.text((_GAP, y), row[0][0], fill=_INK, font=font(True))
    x = _GAP + max(font(True).getlength(row[0][0]) + 10, 60)
    for text, colour in row[1:]:
        if colour == "scale":
            ramp = value_map(numpy.tile(numpy.linspace(0, 1, 80), (12, 1)), 0, 1)
            image.paste(Image.fromarray(ramp), (int(x), y + 2))
            x += 86
        else:
            draw.rectangle((x, y + 2, x + 12, y + 13), fill=colour, outline="#888888")
            x += 17
        draw.text((x, y), text, fill=_INK, font=font())
        x += font().getlength(text) + 13


def encoded(image: Image.Image) -> bytes:
    """PNG: full colours when small enough, else 256 colours, else smaller."""
    candidate: Image.Image = image
    while True:
        for version in (candidate, candidate.quantize(256)):
            buffer = io.BytesIO()
            version.save(buffer, "PNG", optimize=True)
            if buffer.tell() <= LARGEST_BYTES:
                return buffer.getvalue()
        candidate = candidate.resize(
            (max(1, candidate.width * 3 // 4), max(1, candidate.height * 3 // 4)), Image.Resampling.BOX
        )
