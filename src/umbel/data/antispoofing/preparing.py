"""From recordings to a folder of pictures with a table of what they are: what `umbel prepare` does."""

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from umbel.data.antispoofing.face_places import PlacesOf
from umbel.data.antispoofing.frames import COLUMNS
from umbel.data.antispoofing.prepared import FRAMES_TABLE
from umbel.data.antispoofing.sampling import sampled
from umbel.data.antispoofing.sampling_settings import Sampling
from umbel.data.antispoofing.videos import Video, VideoSet
from umbel.data.boxes.notes import Notes
from umbel.data.films import require_av
from umbel.errors import UmbelError
from umbel.files import partial_beside, read_json, sweep, write_atomically, writing

if TYPE_CHECKING:
    from PIL import Image

PICTURES = "frames"
"""Folder of the pictures in a prepared folder."""
_ABOUT = "prepare.json"
_OTHER = "give another --out, or the same settings to go on"


@dataclass(frozen=True)
class Prepared:
    """What came of it.

    Attributes:
        folder: Of the pictures and their table.
        videos: Recordings that pictures were taken of, with those that were there before.
        frames: Pictures.
        kept: Recordings that were there before.
        unreadable: Recordings that could not be read at all, and why; left out.
        absent: What the publisher's lists name and is not there, and which list names it.
        notes: What else was odd, one sentence each.
    """

    folder: Path
    videos: int
    frames: int
    kept: int
    unreadable: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    videos: VideoSet, out: Path, sampling: Sampling, places: PlacesOf, said: str, at: Callable[[int], object]
) -> Prepared:
    """Write frames of all recordings and `frames.csv`, which says what each is. What is there already is kept.

    Args:
        videos: The recordings.
        out: A new folder, or one that was begun with the same settings.
        sampling: How many frames, of which size.
        places: Where faces are.
        said: How the user said where faces are, which must be the same to go on.
        at: Hears how many recordings are done.

    Raises:
        UmbelError: The folder holds something else, PyAV is missing, or no recording at all can be read.
    """
    if any(video.path.is_file() for video in videos.videos):
        require_av()
    _begin(out, {"set": videos.name, "boxes": said, **asdict(sampling)})
    notes, unreadable, kept = Notes(), [], 0
    taken: list[tuple[Video, list[int]]] = []
    for number, video in enumerate(videos.videos, 1):
        folder = out / PICTURES / video.name
        if folder.is_dir():
            kept += 1
        elif why := _sample(video, folder, sampling, places, notes):
            unreadable.append(why)
        if folder.is_dir():
            taken.append((video, sorted(int(path.stem) for path in folder.glob("*.png"))))
        at(number)
    if not taken:
        raise UmbelError(f"{videos.folder}: none of its {len(videos.videos)} recordings can be read: {unreadable[0]}")
    write_atomically(out / FRAMES_TABLE, _table(taken))
    return Prepared(
        out,
        len(taken),
        sum(len(frames) for _, frames in taken),
        kept,
        tuple(unreadable),
        tuple(f"{name} ({where})" for name, where in sorted(videos.absent.items())),
        (*videos.notes.sentences(), *notes.sentences()),
    )


def _begin(out: Path, settings: dict[str, object]) -> None:
    """Make the folder, or see that it was begun with the same settings, and remove what a stopped process left."""
    about = out / _ABOUT
    if about.is_file():
        before = read_json(about, "give another --out")
        for name, value in settings.items():
            if not isinstance(before, dict) or before.get(name) != value:
                was = before.get(name) if isinstance(before, dict) else "unknown"
                raise UmbelError(f"{out} was prepared with {name} {was}, and now it is {value}; {_OTHER}")
        sweep(out / PICTURES)
        return
    with writing(out):
        if out.exists() and any(out.iterdir()):
            raise UmbelError(f"{out} is not empty and was not made by umbel prepare; give another --out")
        out.mkdir(parents=True, exist_ok=True)
    write_atomically(about, json.dumps(settings, indent=1))


def _sample(video: Video, folder: Path, sampling: Sampling, places: PlacesOf, notes: Notes) -> str:
    """Write the frames of one recording; why it cannot be read, "" where it can."""
    try:
        where = places(video)
    except UmbelError as error:
        notes.add("recordings whose files of faces are damaged, cut out in the middle", _below(folder, error))
        where = {}
    else:
        if not where:
            notes.add("recordings of which nobody says where the face is, cut out in the middle", video.name)
    try:
        read = sampled(video.path, where, sampling)
    except UmbelError as error:
        return str(error)
    if read.damage:
        notes.add("recordings that are damaged, used up to there", _below(folder, read.damage))
    _write(folder, read.pictures)
    return ""


def _below(folder: Path, said: object) -> str:
    """A message without the long start of its path."""
    text = str(said)
    place = text.find(folder.name)
    return text if place < 0 else text[place:]


def _write(folder: Path, pictures: "dict[int, Image.Image]") -> None:
    """Pictures beside their place, which gets them all at once."""
    beside = partial_beside(folder)
    with writing(folder):
        try:
            beside.mkdir(parents=True)
            for frame, picture in pictures.items():
                picture.save(beside / f"{frame:06d}.png")
            os.replace(beside, folder)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _table(taken: list[tuple[Video, list[int]]]) -> str:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for video, frames in taken:
        about = {name: getattr(video, name, "") for name in COLUMNS} | {"video": video.name}
        for frame in frames:
            file = f"{PICTURES}/{video.name}/{frame:06d}.png"
            rows.writerow([(about | {"file": file, "frame": frame})[name] for name in COLUMNS])
    return text.getvalue()
