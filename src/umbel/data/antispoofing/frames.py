"""`frames.csv`: the table of a prepared folder, of a known set or of the user's own."""

import csv
from dataclasses import dataclass
from pathlib import Path

from umbel.data.antispoofing.prepared import FRAMES_TABLE
from umbel.data.antispoofing.videos import SPLITS, TYPES, Video
from umbel.data.boxes.annotated import SPLIT_WORDS
from umbel.data.picture_files import check_picture_paths
from umbel.errors import UmbelError, unknown
from umbel.files import reading

COLUMNS = ("file", "video", "type", "subject", "set", "split", "camera", "session", "medium", "frame")
"""Columns as `umbel prepare` writes them."""
NEEDED = ("file", "video", "type", "subject", "split")
"""Columns without which nothing can be learnt; of the others, those that are absent are blank."""
_SPLITS = {word: {"validation": "dev"}.get(split, split) for word, split in SPLIT_WORDS.items()}


@dataclass(frozen=True)
class Frame:
    """One row of the table.

    Attributes:
        file: The picture.
        video: What is known of the recording that it is of; its path is the folder of the table.
        number: Of the frame in the recording, from 0.
    """

    file: Path
    video: Video
    number: int


def read_frames(folder: Path) -> list[Frame]:
    """All rows of a prepared folder's table.

    Args:
        folder: It holds `frames.csv`; paths of pictures are relative to it.

    Raises:
        UmbelError: No such table, a column or picture is missing, a picture lies elsewhere, a type or split is
            unknown, or a video is of two types, subjects or splits. Names the line.
    """
    path = folder / FRAMES_TABLE
    with reading(path, "make it with umbel prepare"), path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        columns = tuple(table.fieldnames or ())
        try:
            rows = list(table)
        except csv.Error as error:
            raise UmbelError(f"{path}: line {table.line_num} cannot be read as CSV ({error})") from None
    if missing := [name for name in NEEDED if name not in columns]:
        raise UmbelError(f"{path}: no column {missing[0]!r}; it needs {', '.join(NEEDED)}")
    if not rows:
        raise UmbelError(f"{path}: there are no rows in it")
    check_picture_paths(path, (row["file"] for row in rows), anywhere=False)
    usual = folder.resolve().name
    videos: dict[tuple[str, str], Video] = {}
    frames = []
    for line, row in enumerate(rows, 2):
        frame = _frame(folder, row, usual, f"{path}, line {line}")
        key = (frame.video.set, frame.video.name)
        if videos.setdefault(key, frame.video) != frame.video:
            raise UmbelError(f"{path}, line {line}: video {frame.video.name!r} is described otherwise than before")
        frames.append(frame)
    return frames


def _frame(folder: Path, row: dict[str, str], usual: str, where: str) -> Frame:
    said = {name: (row.get(name) or "").strip() for name in COLUMNS}
    for name in NEEDED:
        if not said[name]:
            raise UmbelError(f"{where}: {name} is blank; every row needs it")
    if said["type"] not in TYPES:
        raise UmbelError(f"{where}: {unknown('type', said['type'], TYPES)}")
    if said["split"].lower() not in _SPLITS:
        raise UmbelError(f"{where}: {unknown('split', said['split'], SPLITS)}")
    if said["frame"] and not said["frame"].isdecimal():
        raise UmbelError(f"{where}: frame is {said['frame'][:40]!r}; give its number, from 0, or leave it blank")
    about = {name: said[name] for name in ("type", "subject", "camera", "session", "medium")}
    split = _SPLITS[said["split"].lower()]
    video = Video(name=said["video"], path=folder, set=said["set"] or usual, split=split, **about)
    return Frame(folder / said["file"], video, int(said["frame"] or 0))
