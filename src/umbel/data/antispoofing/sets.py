"""Sets of presentation attacks by name, prepared folders of the user's own, and one set held out of four."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from umbel.data.antispoofing.building import Wanted, frames_data
from umbel.data.antispoofing.frames import Frame, read_frames
from umbel.data.antispoofing.layouts import LAYOUTS
from umbel.data.antispoofing.prepared import FRAMES_TABLE, is_prepared
from umbel.data.antispoofing.protocols import Rule, protocol_rule
from umbel.data.antispoofing.sampling import evenly
from umbel.data.antispoofing.videos import SPLITS, TYPES
from umbel.data.find import need
from umbel.data.pictures import held_out_groups
from umbel.data.source import MultiTaskData
from umbel.errors import UmbelError

FOUR = ("oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd")
"""The sets of which one is held out: O, C, I and M of the literature."""
RESOLUTION = 64
"""Height and width in pixels, where nothing else is said."""
_HELD_OUT = 0.2  # of the subjects, where a set has no development part
_HINT = "make it with: umbel prepare {} FOLDER --out {}"
_CITE = {
    "oulu-npu": "Boulkenafet et al., FG 2017.",
    "casia-fasd": "Zhang et al., ICB 2012.",
    "replay-attack": "Chingovska, Anjos, Marcel, BIOSIG 2012.",
    "msu-mfsd": "Wen, Han, Jain, IEEE TIFS 2015.",
    "siw": "Liu, Jourabloo, Liu, CVPR 2018.",
}
_SIGNED = "The publisher gives it to those who sign for it; do not pass it on."


def antispoofing_set(
    name: Literal["oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd", "siw"] = "oulu-npu",
    names: Sequence[str] | str = (),
    protocol: int | None = None,
    fold: int | None = None,
    frames: int | None = None,
    size: int | None = None,
    resolution: int = RESOLUTION,
    augment: bool = True,
    camera_changes: float = 1.0,
) -> MultiTaskData:
    """A set in the folder that `umbel prepare` made of it, `antispoofing/NAME` below a data folder.

    Args:
        name: Which.
        names: Tasks; none: liveness, and depth and reflection where maps are.
        protocol: The publisher's, of OULU-NPU (1 to 4) and SiW (1 to 3); None: 1.
        fold: From 1, of protocols that have several.
        frames: At most so many of each video, evenly in time; None: all that were prepared.
        size: At most so many training samples.
        resolution: Height and width of the pictures.
        augment: Mirror half of the training pictures.
        camera_changes: How much exposure, colours, focus and noise of training pictures are changed at random; 0 for
            not at all. See `CameraChanges`.

    Raises:
        UmbelError: The set is not here, or see `liveness_folder`.
    """
    rule = protocol_rule(name, protocol, fold)
    rows = read_frames(_prepared(name))
    wanted = Wanted(names, size, resolution, augment, camera_changes)
    return _data(name, LAYOUTS[name].title, _dealt(rows, rule, frames), wanted)


def liveness_folder(
    path: str | Path,
    names: Sequence[str] | str = (),
    protocol: int | None = None,
    fold: int | None = None,
    frames: int | None = None,
    size: int | None = None,
    resolution: int = RESOLUTION,
    augment: bool = True,
    camera_changes: float = 1.0,
) -> MultiTaskData:
    """A folder with pictures of live faces and of attacks and a table `frames.csv` that says what each is.

    Columns of the table: `file` (path of the picture, relative to the folder), `video` (frames of one recording are
    judged together), `type` (live, print, replay or mask), `subject` (whose face it is) and `split` (train, dev or
    test); if known `set`, `camera`, `session`, `medium` and `frame` (its number in the recording). `umbel prepare`
    writes such a folder.

    Inputs are pictures uint8 [N, 3, R, R]. The task "liveness" is `tasks.liveness`. "depth" and "reflection" are maps
    (`tasks.proxy_map`) where `depth/FILE.png` or `reflection/FILE.png` is there for a picture FILE: grey, 0 to 1.
    Prints and replays without a map have depth 0, whatever else lacks one is missing. Further targets, of no task:
    "identity", "camera", "session", "medium" and "video", whole numbers, negative where nothing is known.

    Without a dev part, a fifth of the training subjects is the validation.

    Args:
        path: The folder.
        names: Tasks; none: liveness, and depth and reflection where maps are.
        protocol: Where the folder holds OULU-NPU or SiW: the publisher's; None: 1.
        fold: Of protocols that have several, from 1.
        frames: At most so many of each recording, evenly in time; None: all.
        size: At most so many training samples: a fixed choice.
        resolution: Height and width of the pictures.
        augment: Mirror half of the training pictures.
        camera_changes: How much exposure, colours, focus and noise of training pictures are changed at random; 0 for
            not at all. See `CameraChanges`.

    Raises:
        UmbelError: The table is missing, lacks a column or is wrong, a picture cannot be read, or a part is empty.
    """
    folder = Path(path).expanduser()
    if not is_prepared(folder):
        raise UmbelError(f"{folder}: no {FRAMES_TABLE} in it; make it with umbel prepare")
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().name).strip("-.") or "frames"
    rows = read_frames(folder)
    held = sorted({frame.video.set for frame in rows})
    rule = protocol_rule(held[0] if len(held) == 1 else name, protocol, fold)
    wanted = Wanted(names, size, resolution, augment, camera_changes)
    return _data(name, f"{name}: live faces and attacks", _dealt(rows, rule, frames), wanted)


def ocim(
    leave: Literal["oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd"] = "oulu-npu",
    names: Sequence[str] | str = (),
    frames: int | None = None,
    size: int | None = None,
    resolution: int = RESOLUTION,
    augment: bool = True,
    camera_changes: float = 1.0,
) -> MultiTaskData:
    """Three sets to learn from, and a fourth that is the test: OULU-NPU, CASIA-FASD, Replay-Attack and MSU-MFSD.

    As in the literature (Shao et al., CVPR 2019), all videos of each set are used, whatever its own splits. A fifth of
    the subjects of the three is the validation, so that thresholds come from sets that are known, and never from the
    one that is left out. `Batch.domain` says which set a sample is of, in the order of their names.

    Args:
        leave: Which set is the test.
        names: As for `liveness_folder`, and so are the others.
        frames: At most so many of each video.
        size: At most so many training samples.
        resolution: Height and width of the pictures.
        augment: Mirror half of the training pictures.
        camera_changes: How much exposure, colours, focus and noise of training pictures are changed at random; 0 for
            not at all. See `CameraChanges`.

    Raises:
        UmbelError: One of the four is not here, or see `liveness_folder`.
    """
    sets = {name: _thinned(read_frames(_prepared(name)), frames) for name in FOUR}
    known = [frame for name, part in sets.items() if name != leave for frame in part]
    train, dev = _without_held_out(known, "ocim")
    parts = {"train": train, "dev": dev, "test": sets[leave]}
    note = f"{_SIGNED} {' '.join(_CITE[name] for name in FOUR)} Protocol: Shao et al., CVPR 2019."
    title = f"Presentation attacks of three sets, tested on {LAYOUTS[leave].title}"
    wanted = Wanted(names, size, resolution, augment, camera_changes)
    return frames_data("ocim", title, parts, wanted, note, _warnings(parts))


def _prepared(name: str) -> Path:
    place = f"antispoofing/{name}"
    return need(name, f"{place}/{FRAMES_TABLE}", hint=_HINT.format(name, place)).parent


def _dealt(rows: Sequence[Frame], rule: Rule, most: int | None) -> dict[str, list[Frame]]:
    dealt: dict[str, list[Frame]] = {split: [] for split in SPLITS}
    for frame in rows:
        if split := rule(frame.video, frame.number):
            dealt[split].append(frame)
    return {split: _thinned(frames, most) for split, frames in dealt.items()}


def _data(name: str, title: str, parts: dict[str, list[Frame]], wanted: Wanted) -> MultiTaskData:
    for split in ("train", "test"):
        if not parts[split]:
            raise UmbelError(f"{name}: no frame is for {split}; {FRAMES_TABLE} says what is, in the column split")
    note = f"{_SIGNED} {_CITE[name]}" if name in _CITE else ""
    if not parts["dev"]:
        parts["train"], parts["dev"] = _without_held_out(parts["train"], name)
        note = f"{note} It has no development part: a fifth of the training subjects is the validation.".strip()
    return frames_data(name, title, parts, wanted, note, _warnings(parts))


def _thinned(frames: Sequence[Frame], most: int | None) -> list[Frame]:
    """At most so many frames of each recording, evenly in time."""
    if most is None:
        return list(frames)
    if most < 1:
        raise UmbelError(f"frames is {most}; give at least 1 of each video, or leave it out for all")
    of_video: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        of_video.setdefault((frame.video.set, frame.video.name), []).append(frame)
    ordered = [sorted(part, key=lambda frame: frame.number) for part in of_video.values()]
    return [part[k] for part in ordered for k in evenly(len(part), most)]


def _without_held_out(frames: Sequence[Frame], name: str) -> tuple[list[Frame], list[Frame]]:
    """Frames to learn from, and those of a fifth of the subjects."""
    subjects = [f"{frame.video.set}/{frame.video.subject}" for frame in frames]
    if len(set(subjects)) < 2:
        raise UmbelError(f"{name}: one subject for training and none for dev; add people, or a split dev")
    held = held_out_groups(subjects, _HELD_OUT)
    parts: tuple[list[Frame], list[Frame]] = ([], [])
    for frame, out in zip(frames, held.tolist(), strict=True):
        parts[out].append(frame)
    return parts


def _warnings(parts: Mapping[str, Sequence[Frame]]) -> list[str]:
    """What there is of a type in the test and not in training, and subjects that are in both."""
    types = {split: {frame.video.type for frame in frames} for split, frames in parts.items()}
    people = {split: {(f.video.set, f.video.subject) for f in frames} for split, frames in parts.items()}
    told = []
    if unseen := [kind for kind in TYPES if kind in types["test"] - types["train"]]:
        told.append(f"The test has {', '.join(unseen)}, of which training has none.")
    for split in ("dev", "test"):
        if both := people["train"] & people[split]:
            told.append(f"{len(both)} people are in training and in {split}: faces may be known, and not liveness.")
    return told
