"""Pictures with boxes: what a detector gave, the true boxes beside it, and sheets that compare detectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageDraw

from umbel.core import UmbelError
from umbel.files import write_atomically
from umbel.report.image_grid import image_sheet
from umbel.report.pictures import array_of, encoded, font, with_legends
from umbel.report.tiles import Legend, class_colour, picture

_TRUTH = (255, 255, 255)
_LEAST_SIDE = 320  # pixels of a picture on a sheet along its longer side, so that scores can be read


@dataclass(frozen=True)
class DetectionRow:
    """A row of a sheet: one picture, and what each detector gave for it.

    Attributes:
        heading: Beside it.
        picture: As `draw_boxes` takes it.
        detections: One [D, 6] for each column.
        truth: The true boxes [N, 5]; None where nobody labelled the picture.
    """

    heading: str
    picture: Any
    detections: Sequence[Any]
    truth: Any = None


def draw_boxes(
    picture: Any, detections: Any, labels: Sequence[str], truth: Any = None, *, scale: int = 1, named: bool = True
) -> Image.Image:
    """A picture with its boxes, coloured by class, each with its score beside it; true boxes dashed and white.

    Every line has a black rim, so that it is seen on light and on dark pictures. Better boxes lie over worse ones.

    Args:
        picture: A PIL picture, or [C, H, W] with C of 1 or 3, bytes or 0 to 1.
        detections: [D, 6]: x1, y1, x2, y2 in pixels of the picture, score, class; rows with a class below 0 are none.
        labels: Names of the classes.
        truth: [N, 5]: x1, y1, x2, y2, class; rows that are negative or NaN are none.
        scale: How many pixels of the drawing one pixel of the picture takes.
        named: Write the class before the score.

    Raises:
        UmbelError: No picture, boxes of another shape, a class without a name, or a scale below 1.
    """
    image = _opened(picture)
    if scale < 1:
        raise UmbelError(f"drawing boxes: scale is {scale}; give 1 or more")
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 200))
    for row in _present(truth, 5, labels) if truth is not None else ():
        _outline(draw, row[:4] * scale, _TRUTH, width, dashed=True)
    kept = _present(detections, 6, labels)
    kept = kept[kept[:, 4].argsort(kind="stable")]
    for row in kept:
        _outline(draw, row[:4] * scale, class_colour(int(row[5])), width)
    for row in kept:
        words = f"{labels[int(row[5])]} {row[4]:.2f}" if named else f"{row[4]:.2f}"
        _tag(draw, image.size, row[:4] * scale, words, class_colour(int(row[5])))
    return image


def draw_detection_sheet(
    path: Path | str, rows: Sequence[DetectionRow], columns: Sequence[str], labels: Sequence[str]
) -> Path:
    """Draw pictures side by side with what several detectors gave, and save them as PNG of at most 300 kB.

    Small pictures are enlarged. Under the sheet stands which colour is which class.

    Args:
        path: The file to write.
        rows: The pictures.
        columns: Headings of the detectors, as "before" and "after".
        labels: Names of the classes.

    Returns:
        The path.

    Raises:
        UmbelError: See `draw_boxes`; or a row has more or fewer detections than there are columns.
    """
    tiles: list[tuple[str, list[numpy.ndarray]]] = []
    captions: dict[tuple[int, int], str] = {}
    for number, row in enumerate(rows):
        image = _opened(row.picture)
        scale = max(1, -(-_LEAST_SIDE // max(image.size)))
        drawn = [draw_boxes(image, d, labels, row.truth, scale=scale, named=False) for d in row.detections]
        tiles.append((row.heading, [numpy.asarray(one).transpose(2, 0, 1) for one in drawn]))
        true = "" if row.truth is None else f" ({len(_present(row.truth, 5, labels))} true)"
        for column, detections in enumerate(row.detections):
            count = len(_present(detections, 6, labels))
            captions[number, column] = f"{count} box{'' if count == 1 else 'es'}{true}"
    sheet = image_sheet(tiles, columns, 1, captions)
    colours = [(name, class_colour(index)) for index, name in enumerate(labels)]
    if any(row.truth is not None for row in rows):
        colours.append(("true box (dashed)", _TRUTH))
    return write_atomically(Path(path), encoded(with_legends(sheet, [Legend("classes", tuple(colours))])))


def _opened(given: Any) -> Image.Image:
    """A picture in colours that may be drawn on."""
    if isinstance(given, Image.Image):
        return given.convert("RGB") if given.mode != "RGB" else given.copy()
    array = array_of(given)
    if array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
        raise UmbelError(f"drawing boxes: a picture has shape {list(array.shape)}; expected [1 or 3, height, width]")
    return Image.fromarray(picture(array / 255 if array.dtype == numpy.uint8 else array))


def _present(boxes: Any, columns: int, labels: Sequence[str]) -> numpy.ndarray:
    """The rows that are boxes, float64."""
    array = array_of(boxes).astype(float)
    if array.ndim != 2 or array.shape[1] != columns:
        raise UmbelError(f"drawing boxes: they have shape {list(array.shape)}; expected [boxes, {columns}]")
    array = array[array[:, -1] >= 0]  # NaN is not
    if len(array) and array[:, -1].max() >= len(labels):
        raise UmbelError(
            f"drawing boxes: a box is of class {int(array[:, -1].max())}, but {len(labels)} classes have names"
        )
    return array


def _outline(
    draw: ImageDraw.ImageDraw, box: numpy.ndarray, colour: tuple[int, int, int], width: int, dashed: bool = False
) -> None:
    """A frame whose inner edge is the box, with a black rim on both sides."""
    left, top, right, bottom = (round(float(edge)) for edge in box)
    if right < left or bottom < top:
        return
    draw.rectangle((left - width - 1, top - width - 1, right + width + 1, bottom + width + 1), None, "black", width + 2)
    frame = (left - width, top - width, right + width, bottom + width)
    if not dashed:
        draw.rectangle(frame, None, colour, width)
        return
    dash = 4 * width
    for x in range(frame[0], frame[2], 2 * dash):
        for y in (frame[1], frame[3] - width + 1):
            draw.rectangle((x, y, min(x + dash, frame[2]), y + width - 1), colour)
    for y in range(frame[1], frame[3], 2 * dash):
        for x in (frame[0], frame[2] - width + 1):
            draw.rectangle((x, y, x + width - 1, min(y + dash, frame[3])), colour)


def _tag(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], box: numpy.ndarray, words: str, colour: tuple[int, int, int]
) -> None:
    """Words on the class's colour over the upper left corner; inside the box where there is no room above it."""
    letters = font(size=min(24, max(9, round(max(size) / 50))))
    rise, fall = letters.getmetrics()
    width, height = round(letters.getlength(words)) + 4, rise + fall
    left, top = (round(float(edge)) for edge in box[:2])
    x = max(0, min(left, size[0] - width))
    y = top - height if top >= height else max(0, top)
    draw.rectangle((x, y, x + width - 1, y + height - 1), colour, "black")
    ink = "black" if _brightness(colour) > 0.18 else "white"  # where both have the same contrast
    draw.text((x + 2, y), words, fill=ink, font=letters)


def _brightness(colour: tuple[int, int, int]) -> float:
    """Relative luminance, 0 to 1, of a colour in sRGB."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
