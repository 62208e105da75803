"""One picture beside the maps that a network gave for it, with words below."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from PIL import Image, ImageDraw

from umbel.core import Task, UmbelError, unknown
from umbel.errors import shown
from umbel.report.pictures import array_of, fitted, font, with_legends
from umbel.report.tiles import Legend, Tile, class_colour, class_map, strips, value_map

_GAP, _HEAD, _LINE = 8, 24, 19
_LEAST, _MOST = 160, 320  # pixels of a tile from top to bottom
_WORDS = 320  # least width of a sheet, so that the words can be read
_INK = "#1c1f23"


def draw_answers(
    picture: Image.Image, tasks: Sequence[Task], answers: Mapping[str, Any], words: Sequence[str]
) -> Image.Image:
    """A picture, beside it the map of each task that has one, below the words and what the colours mean.

    Proxy maps are drawn on one scale, 0 to 1, so that those of two pictures can be compared; classes by colour, all of
    them in the legend. Pictures of one size give sheets of one size, whatever the answers are.

    Args:
        picture: In colour, of any size; it is drawn 160 to 320 pixels high.
        tasks: Those of which a map may be drawn, in the order of the columns; others have none.
        answers: Task -> decoded answer, [outputs] or [outputs, H, W].
        words: Lines of text.

    Returns:
        A picture of PIL in RGB.

    Raises:
        UmbelError: No picture of PIL, or a task without an answer.
    """
    if not isinstance(picture, Image.Image):
        raise UmbelError(f"drawing answers: the picture is {shown(picture)}; give a picture of PIL")
    height = min(max(picture.height, _LEAST), _MOST)
    first = picture.convert("RGB").resize((max(1, round(picture.width * height / picture.height)), height))
    tiles, legends = [("input", first)], []
    for task in tasks:
        if task.name not in answers:
            raise unknown("task in the answers that are drawn", task.name, answers)
        values = array_of(answers[task.name])
        if values.ndim == 3:
            tile, legend = _map(task, values)
            wide = max(1, round(tile.shape[1] * height / tile.shape[0]))
            drawn = Image.fromarray(tile).resize((wide, height), Image.Resampling.NEAREST)
            tiles.append((task.name, drawn))
            legends += [legend] if legend else []
    return with_legends(_sheet(tiles, height, words), legends)


def _sheet(tiles: Sequence[tuple[str, Image.Image]], height: int, words: Sequence[str]) -> Image.Image:
    width = max(_WORDS, _GAP + sum(tile.width + _GAP for _, tile in tiles))
    image = Image.new("RGB", (width, _HEAD + height + _GAP + _LINE * len(words) + _GAP), "white")
    draw = ImageDraw.Draw(image)
    x = _GAP
    for title, tile in tiles:
        draw.text((x, 5), fitted(title, tile.width, True), fill=_INK, font=font(True))
        image.paste(tile, (x, _HEAD))
        draw.rectangle((x, _HEAD, x + tile.width - 1, _HEAD + height - 1), outline="#b5bac1")
        x += tile.width + _GAP
    for number, line in enumerate(words):
        place = (_GAP, _HEAD + height + _GAP + number * _LINE)
        draw.text(place, fitted(line, width - 2 * _GAP, number == 0), fill=_INK, font=font(number == 0))
    return image


def _map(task: Task, values: numpy.ndarray) -> tuple[Tile, Legend | None]:
    if task.kind == "proxy map":
        return value_map(values[0], 0, 1), Legend(task.name, (), ("0", "1"))
    if task.kind == "segmentation" and len(values) > 1:
        named = tuple((label, class_colour(place)) for place, label in enumerate(task.labels))
        return class_map(values.argmax(0)), Legend(task.name, named)
    columns, legend = strips(task, None, values[None])
    return next(tile for tile in columns[-1].tiles if tile is not None), legend
