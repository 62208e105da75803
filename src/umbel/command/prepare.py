"""`umbel prepare`: videos of presentation attacks -> pictures of faces with a table of what they are."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from umbel.command.arguments import parse, stdout_is_quiet
from umbel.data.antispoofing.sampling_settings import Sampling
from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.data.antispoofing.face_places import PlacesOf
    from umbel.data.antispoofing.preparing import Prepared
    from umbel.data.antispoofing.videos import VideoSet

_ABOUT = (
    "Take frames from the videos of a set of presentation attacks, cut out around the face, and write them with "
    "frames.csv, which says what each is: what `umbel train` learns liveness from. Of sets that are signed for, give "
    "the folder as its publisher packs it; of your own, one with train/live/PERSON/VIDEO, dev/print/PERSON/VIDEO and "
    "so on. Run again, it goes on where it was stopped."
)
_SHOWN = 5


@dataclass(frozen=True)
class _Prepare:
    set: Annotated[Literal["oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd", "siw", "own"], tyro.conf.Positional]
    """In whose layout the folder is."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the set."""
    out: Path
    """Folder for the pictures and frames.csv."""
    boxes: str = "published"
    """Where faces are: "published" (beside the videos), "middle", or a CSV file with video, frame, x1, y1, x2, y2."""
    sampling: Sampling = field(default_factory=Sampling)
    json: bool = False
    """Print what was done as JSON."""


def prepare(arguments: list[str]) -> int:
    """Prepare a set, print what was done and what was left out."""
    parsed = parse(_Prepare, None, arguments, "umbel prepare", _ABOUT)
    from umbel.data.antispoofing.layouts import read_videos  # noqa: PLC0415 - imports torch
    from umbel.data.antispoofing.preparing import prepare as prepare_set  # noqa: PLC0415
    from umbel.engine import TerminalReporter  # noqa: PLC0415

    videos = read_videos(parsed.set, parsed.folder.expanduser())
    places = _places(parsed.boxes, videos)
    with TerminalReporter() as reporter:
        reporter.begin(f"videos of {parsed.set}", len(videos.videos))
        out = parsed.out.expanduser()
        prepared = prepare_set(videos, out, parsed.sampling, places, parsed.boxes, lambda done: reporter.step(done, {}))
        reporter.end()
    _show(prepared, parsed)
    return 0


def _places(said: str, videos: "VideoSet") -> "PlacesOf":
    from umbel.data.antispoofing.face_places import no_places, published_places, told_places  # noqa: PLC0415

    if said == "published":
        return published_places(videos)
    if said == "middle":
        return no_places
    if Path(said).suffix.lower() != ".csv":
        raise UmbelError(f'--boxes {said}: give "published", "middle" or a CSV file')
    return told_places(Path(said).expanduser(), videos)


def _show(prepared: "Prepared", parsed: _Prepare) -> None:
    from umbel.data.antispoofing.layouts import LAYOUTS  # noqa: PLC0415

    if stdout_is_quiet():
        return
    if parsed.json:
        print(json.dumps(dataclasses.asdict(prepared) | {"folder": str(prepared.folder)}, indent=1))
        return
    published = LAYOUTS[parsed.set].published
    of = f" of the {published:,} that the publisher counts" if published else ""
    before = f", {prepared.kept:,} of them from before" if prepared.kept else ""
    print(f"{prepared.folder}: {prepared.frames:,} pictures of {prepared.videos:,} videos{of}{before}; frames.csv")
    for what, which in (("cannot be read, left out", prepared.unreadable), ("named in lists, absent", prepared.absent)):
        for line in which[:_SHOWN]:
            print(f"{what}: {line}")
        if len(which) > _SHOWN:
            print(f"{what}: {len(which) - _SHOWN} more; --json lists all")
    for note in prepared.notes:
        print(f"Note: {note}")
