"""Recordings of faces as sets of presentation attacks hold them, and what their names say."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from umbel.data.boxes.notes import Notes
from umbel.data.picture_files import PICTURE_ENDINGS

TYPES = ("live", "print", "replay", "mask")
"""What may be before the camera: a person, or an attack of one of three types; the order of the classes everywhere."""
SPLITS = ("train", "dev", "test")
"""What is learnt from, what chooses thresholds, what is measured on."""
VIDEO_ENDINGS = (".avi", ".mov", ".mp4", ".m4v", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""Which files are taken for videos."""


@dataclass(frozen=True)
class Video:
    """One recording and what the publisher says of it; "" where nothing is said.

    Attributes:
        name: Path below the folder of the set, without an ending, with / between: unique in the set.
        path: A video file, or a folder of pictures in the order of their names.
        set: Name of the set.
        type: One of `TYPES`.
        subject: Whose face it is, unique in the set.
        split: One of `SPLITS`: the publisher's.
        camera: What recorded it.
        session: When, or in which light.
        medium: What the attack was shown on.
    """

    name: str
    path: Path
    set: str
    type: str
    subject: str
    split: str
    camera: str = ""
    session: str = ""
    medium: str = ""


@dataclass(frozen=True, eq=False)
class VideoSet:
    """All recordings of a set.

    Attributes:
        name: Of the set.
        folder: Where it is.
        videos: In the order of their names.
        notes: What was odd.
        absent: What the publisher's lists name and is not there -> the first list that names it.
    """

    name: str
    folder: Path
    videos: tuple[Video, ...]
    notes: Notes
    absent: Mapping[str, str]


def recordings(folder: Path) -> dict[str, Path]:
    """Everything below a folder that may be a recording: video files, and folders that hold pictures only.

    Args:
        folder: Where; hidden files and folders are passed over.

    Returns:
        Name (as `Video.name`) -> path, in the order of names. Where a video and a folder of its pictures have one
        name, the video.
    """
    paths: dict[str, Path] = {}
    for inside, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen = [name for name in files if not name.startswith(".")]
        here = Path(inside).relative_to(folder)
        videos = [name for name in seen if Path(name).suffix.lower() in VIDEO_ENDINGS]
        for name in sorted(videos):
            paths.setdefault((here / Path(name).stem).as_posix(), Path(inside, name))
        pictures = any(Path(name).suffix.lower() in PICTURE_ENDINGS for name in seen)
        if pictures and not videos and not folders and here.parts:
            paths.setdefault(here.as_posix(), Path(inside))
    return dict(sorted(paths.items()))
