"""Where the face is in a recording: files that publishers give beside their videos, or a table of the user's own."""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from umbel.data.antispoofing.videos import Video, VideoSet
from umbel.errors import UmbelError
from umbel.files import reading

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 of a face in pixels of the frame."""
Places = Mapping[int, Box]
"""Number of a frame, from 0 -> where the face is in it; frames without a known place are not in it."""
PlacesOf = Callable[[Video], Places]
"""A recording -> its `Places`."""

_EYES_WIDE = 2.2  # sides of a face in distances of the eyes
_EYES_UP, _EYES_DOWN = 1.0, 1.8
_COLUMNS = ("video", "x1", "y1", "x2", "y2")


def nearest_place(places: Places, frame: int) -> Box | None:
    """The place in a frame, or in the frame nearest to it in time; None where none is known.

    Args:
        places: Of the recording.
        frame: Which frame.
    """
    return places[min(places, key=lambda known: (abs(known - frame), known))] if places else None


def no_places(video: Video) -> Places:
    """No place is known: the middle of each frame is taken."""
    return {}


def published_places(videos: VideoSet) -> PlacesOf:
    """What the publisher says of where faces are; nothing where there is no such file.

    - OULU-NPU: NAME.txt beside the video, "frame,x,y,x,y" of both eyes.
    - Replay-Attack: NAME.face in `face-locations`, or beside the video: "frame x y width height".
    - MSU-MFSD: NAME.face beside the video, "frame,left,top,right,bottom" and the eyes.
    - SiW: NAME.face beside the video, "left top right bottom" of one frame after the other.

    Zeros mean that no face was found.

    Args:
        videos: The set.

    Returns:
        A function that raises `UmbelError` where a file is damaged.
    """
    read = _READERS.get(videos.name)
    if read is None:
        return no_places
    ending = ".txt" if videos.name == "oulu-npu" else ".face"
    below = sorted(videos.folder.glob("*face-locations*")) if videos.name == "replay-attack" else []

    def places(video: Video) -> Places:
        name = Path(f"{video.name}{ending}")
        candidates = [videos.folder / name]
        for folder in below:  # in which the splits' folders may have another one around them
            candidates += [folder / name, folder / Path(*name.parts[-len(name.parts) + 1 :])]
        for path in candidates:
            if path.is_file():
                return read(path)
        return {}

    return places


def _numbers(path: Path, least: int) -> list[list[float]]:
    """The numbers of each line of a file."""
    with reading(path, "fetch it again"):
        lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for place, line in enumerate(lines, 1):
        words = line.translate(str.maketrans(",;[]", "    ")).split()
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = [math.nan]
        if words and (len(row) < least or not all(map(math.isfinite, row))):
            raise UmbelError(f"{path}: line {place} is {line[:60]!r}; {least} numbers are needed")
        if words:
            rows.append(row)
    return rows


def _kept(boxes: Mapping[int, Box]) -> Places:
    return {frame: box for frame, box in boxes.items() if box[2] > box[0] and box[3] > box[1]}


def _oulu(path: Path) -> Places:
    return _kept({int(row[0]): face_of_eyes(*row[1:5]) for row in _numbers(path, 5)})


def _replay(path: Path) -> Places:
    return _kept({int(f): (x, y, x + width, y + height) for f, x, y, width, height, *_ in _numbers(path, 5)})


def _msu(path: Path) -> Places:
    return _kept({int(f): (x1, y1, x2, y2) for f, x1, y1, x2, y2, *_ in _numbers(path, 5)})


def _siw(path: Path) -> Places:
    return _kept({f: (x1, y1, x2, y2) for f, (x1, y1, x2, y2, *_) in enumerate(_numbers(path, 4))})


_READERS: Mapping[str, Callable[[Path], Places]] = {
    "oulu-npu": _oulu,
    "replay-attack": _replay,
    "msu-mfsd": _msu,
    "siw": _siw,
}


def face_of_eyes(x1: float, y1: float, x2: float, y2: float) -> Box:
    """The face around two eyes, by usual proportions; without area where the eyes are in one place.

    Args:
        x1: Of one eye, in pixels.
        y1: Its row.
        x2: Of the other.
        y2: Its row.
    """
    apart = math.hypot(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return x - _EYES_WIDE / 2 * apart, y - _EYES_UP * apart, x + _EYES_WIDE / 2 * apart, y + _EYES_DOWN * apart


def told_places(path: Path, videos: VideoSet) -> PlacesOf:
    """Places out of a table of the user's own: CSV with the columns video, x1, y1, x2, y2 and, if they change, frame.

    `video` is the path of the recording below the folder of the set, with or without its ending.

    Args:
        path: The file.
        videos: The set.

    Raises:
        UmbelError: It cannot be read, lacks a column, or names none of the videos.
    """
    known = {video.name for video in videos.videos}
    with reading(path, "give a CSV file with the columns video, frame, x1, y1, x2, y2"), path.open(newline="") as file:
        table = csv.DictReader(file)
        if missing := [name for name in _COLUMNS if name not in (table.fieldnames or ())]:
            raise UmbelError(f"{path}: no column {missing[0]!r}; it has the columns video, frame, x1, y1, x2, y2")
        rows = list(enumerate(table, 2))
    places: dict[str, dict[int, Box]] = {}
    for line, row in rows:
        name = str(row["video"]) if row["video"] in known else Path(str(row["video"])).with_suffix("").as_posix()
        try:
            x1, y1, x2, y2 = (float(row[column]) for column in _COLUMNS[1:])
            frame = int(row.get("frame") or 0)
        except (TypeError, ValueError):
            x1 = y1 = x2 = y2 = math.nan
            frame = 0
        if not (math.isfinite(x1 + y1 + x2 + y2) and x2 > x1 and y2 > y1):
            raise UmbelError(f"{path}: line {line} is no box; x1, y1, x2, y2 are pixels, x1 < x2 and y1 < y2")
        places.setdefault(name, {})[frame] = (x1, y1, x2, y2)
    if not known & places.keys():
        example = next(iter(known))
        raise UmbelError(f"{path}: it names none of the videos of {videos.folder}; a name is {example}")
    return lambda video: places.get(video.name, {})
