"""Frames of a recording, evenly in time, cut out around the face."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from umbel.data.antispoofing.face_places import Box, Places, nearest_place
from umbel.data.antispoofing.sampling_settings import Sampling
from umbel.data.boxes.annotated import pictures_in
from umbel.data.boxes.reading import read_picture
from umbel.data.films import Film
from umbel.errors import UmbelError


@dataclass(frozen=True)
class Sampled:
    """Frames of a recording.

    Attributes:
        pictures: Number of the frame, from 0 -> its square, RGB.
        damage: What ended the recording before its end; "" where nothing did.
    """

    pictures: dict[int, Image.Image]
    damage: str


def sampled(path: Path, places: Places, sampling: Sampling) -> Sampled:
    """Frames of a recording.

    Args:
        path: A video, or a folder of pictures.
        places: Where the face is.
        sampling: How many frames, of which size.

    Raises:
        UmbelError: It cannot be read at all, or PyAV is not installed.
    """
    if path.is_dir():
        files = pictures_in(path)
        chosen = [(k, files[k]) for k in evenly(len(files), sampling.frames)]
        cut = {k: _square(read_picture(file, True), places, k, sampling) for k, file in chosen}
        return Sampled(cut, "")
    film = Film(path)
    # Decoding cannot be skipped, but turning frames into pictures can.
    film = Film(path, max(1, film.count // sampling.frames))
    cut = {moment.number: _square(picture, places, moment.number, sampling) for moment, picture in film}
    if not cut:
        raise UmbelError(film.damage or f"{path}: there are no frames in it")
    numbers = list(cut)
    return Sampled({numbers[k]: cut[numbers[k]] for k in evenly(len(numbers), sampling.frames)}, film.damage)


def evenly(count: int, wanted: int) -> list[int]:
    """Numbers of `wanted` of `count` things, the middles of as many equal parts; all of them where there are fewer.

    Args:
        count: How many there are.
        wanted: How many are taken, at least 1.
    """
    if count <= wanted:
        return list(range(count))
    return [(2 * k + 1) * count // (2 * wanted) for k in range(wanted)]


def _square(picture: Image.Image, places: Places, frame: int, sampling: Sampling) -> Image.Image:
    size = (sampling.resolution, sampling.resolution)
    around = face_square(picture.size, nearest_place(places, frame), sampling.margin)
    return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR, box=around)


def face_square(size: tuple[int, int], place: Box | None, margin: float) -> Box:
    """The square around a face that lies inside the frame.

    Args:
        size: Width and height of the frame.
        place: Of the face; None takes the largest square in the middle.
        margin: Added around it, in parts of its longer side.
    """
    width, height = size
    shorter = float(min(size))
    if place is None:
        side, x, y = shorter, width / 2, height / 2
    else:
        x1, y1, x2, y2 = place
        side = min((1 + margin) * max(x2 - x1, y2 - y1), shorter)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left = min(max(x - side / 2, 0.0), width - side)
    top = min(max(y - side / 2, 0.0), height - side)
    return left, top, left + side, top + side
