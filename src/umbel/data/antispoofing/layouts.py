"""The layouts in which publishers give sets of presentation attacks, read into a list of recordings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from umbel.arguments import one_of
from umbel.data.antispoofing.videos import SPLITS, TYPES, Video, VideoSet, recordings
from umbel.data.boxes.notes import Notes
from umbel.errors import UmbelError, unknown

OWN = "own"
"""Name of the layout for recordings of the user's own: split/type/subject/video."""
_SPLIT_WORDS = {"train": "train", "Train": "train", "devel": "dev", "Dev": "dev", "test": "test", "Test": "test"}
_CASIA = {
    **{file: ("live", "", quality) for file, quality in (("1", "low"), ("2", "normal"), ("HR_1", "high"))},
    **{file: ("print", "warped", quality) for file, quality in (("3", "low"), ("4", "normal"), ("HR_2", "high"))},
    **{file: ("print", "cut", quality) for file, quality in (("5", "low"), ("6", "normal"), ("HR_3", "high"))},
    **{file: ("replay", "tablet", quality) for file, quality in (("7", "low"), ("8", "normal"), ("HR_4", "high"))},
}
_OULU = {
    "1": ("live", ""),
    "2": ("print", "printer1"),
    "3": ("print", "printer2"),
    "4": ("replay", "display1"),
    "5": ("replay", "display2"),
}
_SIW = {"1": "live", "2": "print", "3": "replay"}
_MSU_LISTS = {"train": "train_sub_list.txt", "test": "test_sub_list.txt"}


@dataclass(frozen=True)
class Layout:
    """How a publisher names recordings.

    Attributes:
        title: Of the set, for people.
        example: A recording's path below the folder of the set.
        pattern: What such a path looks like, without its ending; folders may stand before it.
        fields: What a match says: entries of `Video` other than name, path and set.
        published: How many videos the publisher counts; 0 for recordings of the user's own.
        finish: Takes the set that was read, with what is said elsewhere than in names.
    """

    title: str
    example: str
    pattern: re.Pattern[str]
    fields: Callable[[re.Match[str]], Mapping[str, str]]
    published: int
    finish: Callable[[VideoSet], VideoSet]


def _casia(match: re.Match[str]) -> dict[str, str]:
    kind, medium, quality = _CASIA[match["file"]]
    # The publisher counts subjects from 1 in both parts, but no person is in both.
    subject = f"{match['split']}{match['subject']}"
    return {"type": kind, "medium": medium, "camera": quality, "subject": subject, "split": match["split"]}


def _replay(match: re.Match[str]) -> dict[str, str]:
    said = {"subject": match["subject"], "camera": "webcam", "session": match["light"]}
    if not match["device"]:
        return {**said, "type": "live", "split": _SPLIT_WORDS[match["split"]]}
    kind = "print" if match["device"] == "print" else "replay"
    medium = f"{match['device']}-{match['content']}-{match['hold']}"
    return {**said, "type": kind, "split": _SPLIT_WORDS[match["split"]], "medium": medium}


def _msu(match: re.Match[str]) -> dict[str, str]:
    medium = match["medium"] or ""
    kind = "live" if not medium else "print" if medium == "printed_photo" else "replay"
    return {"type": kind, "medium": medium, "subject": match["subject"], "camera": match["camera"], "split": ""}


def _oulu(match: re.Match[str]) -> dict[str, str]:
    kind, medium = _OULU[match["file"]]
    about = {name: match[name] for name in ("camera", "session", "subject")}
    return {**about, "type": kind, "medium": medium, "split": _SPLIT_WORDS[match["split"]]}


def _siw(match: re.Match[str]) -> dict[str, str]:
    about = {name: match[name] for name in ("camera", "session", "subject")}
    kind = _SIW[match["type"]]
    medium = "" if kind == "live" else f"{kind}{match['medium']}"
    return {**about, "type": kind, "medium": medium, "split": _SPLIT_WORDS[match["split"]]}


def _own(match: re.Match[str]) -> dict[str, str]:
    if match["type"] not in TYPES:
        raise unknown("type of recording (a folder below train, dev or test)", match["type"], TYPES)
    return {name: match[name] for name in ("split", "type", "subject")}


def _as_read(videos: VideoSet) -> VideoSet:
    return videos


def _msu_splits(videos: VideoSet) -> VideoSet:
    """Subjects of MSU-MFSD are dealt out by two lists; what they name and is not there is told."""
    split_of: dict[str, str] = {}
    absent: dict[str, str] = {}
    present = {video.subject for video in videos.videos}
    for split, name in _MSU_LISTS.items():
        lists = sorted(videos.folder.rglob(name))
        if not lists:
            raise UmbelError(f"{videos.folder}: {name} is not in it, which says whose videos are for {split}; add it")
        numbers = _text(lists[0]).split()
        subjects = [number.zfill(3) for number in numbers]
        split_of |= dict.fromkeys(subjects, split)
        absent |= {f"subject {number}": name for number in subjects if number not in present}
    kept = [replace(video, split=split_of[video.subject]) for video in videos.videos if video.subject in split_of]
    for video in videos.videos:
        if video.subject not in split_of:
            videos.notes.add("videos of subjects that neither list names, left out", video.name)
    return replace(videos, videos=tuple(kept), absent=absent)


def _oulu_protocols(videos: VideoSet) -> VideoSet:
    """OULU-NPU's protocol files follow from the names of videos; what they name and is not there is told."""
    present = {Path(video.name).name for video in videos.videos}
    absent: dict[str, str] = {}
    for path in sorted(videos.folder.rglob("Protocol_*/*.txt")):
        names = [line.partition(",")[2] for line in _text(path).split()]
        for name in names:
            if name and name not in present:
                absent.setdefault(name, path.relative_to(videos.folder).as_posix())
    return replace(videos, absent=absent)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UmbelError(f"{path}: cannot be read as a list ({error}); fetch the file again") from None


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:.*/)?{pattern}")


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "oulu-npu": Layout(
            "OULU-NPU",
            "Train_files/1_1_01_1.avi",
            _compiled(
                r"(?P<split>Train|Dev|Test)_files/(?P<camera>[1-6])_(?P<session>[1-3])_(?P<subject>\d\d)_(?P<file>[1-5])"
            ),
            _oulu,
            4950,
            _oulu_protocols,
        ),
        "casia-fasd": Layout(
            "CASIA-FASD",
            "train_release/1/HR_1.avi",
            _compiled(r"(?P<split>train|test)_release/(?P<subject>\d+)/(?P<file>[1-8]|HR_[1-4])"),
            _casia,
            600,
            _as_read,
        ),
        "replay-attack": Layout(
            "Replay-Attack",
            "train/real/client001_session01_webcam_authenticate_adverse_1.mov",
            _compiled(
                r"(?P<split>train|devel|test)/(?:real|attack/(?P<hold>fixed|hand))/"
                r"(?:attack_(?P<device>print|mobile|highdef)_)?client(?P<subject>\d+)_session\d+_"
                r"(?:webcam_authenticate|(?:highdef|mobile)_(?P<content>photo|video))_(?P<light>adverse|controlled)"
                r"(?:_\d)?"
            ),
            _replay,
            1200,
            _as_read,
        ),
        "msu-mfsd": Layout(
            "MSU-MFSD",
            "scene01/real/real_client001_android_SD_scene01.mp4",
            _compiled(
                r"scene01/(?:real/real|attack/attack)_client(?P<subject>\d+)_(?P<camera>android|laptop)_SD_"
                r"(?:(?P<medium>ipad_video|iphone_video|printed_photo)_)?scene01"
            ),
            _msu,
            280,
            _msu_splits,
        ),
        "siw": Layout(
            "SiW",
            "Train/live/001/001-1-1-1-1.mov",
            _compiled(
                r"(?P<split>Train|Test)/(?:live|spoof)/\d+/"
                r"(?P<subject>\d+)-(?P<camera>\d)-(?P<type>[1-3])-(?P<medium>\d)-(?P<session>\d)"
            ),
            _siw,
            4478,
            _as_read,
        ),
        OWN: Layout(
            "one's own recordings",
            "train/live/anna/1.mp4",
            re.compile(rf"(?P<split>{'|'.join(SPLITS)})/(?P<type>[^/]+)/(?P<subject>[^/]+)/[^/]+"),
            _own,
            0,
            _as_read,
        ),
    }
)
"""Every layout by the name of its set."""
_NO_ATTEMPTS = re.compile(r"(?:.*/)?enroll(?:ment)?/.*")  # Replay-Attack's, for recognising the clients


def read_videos(name: str, folder: Path) -> VideoSet:
    """The recordings of a set in the folder that its publisher gives. No video is opened.

    What no name in the set looks like is left out and told in `notes`. What the publisher's lists name and is not
    there is in `absent`.

    Args:
        name: As in `LAYOUTS`.
        folder: Of the set, or one around it. A recording may be a video or a folder of its pictures.

    Raises:
        UmbelError: No such set or folder, no recording in this layout, or a list that says who belongs where is
            missing.
    """
    layout = LAYOUTS[one_of(name, "set of recordings", LAYOUTS)]
    if not folder.is_dir():
        raise UmbelError(f"{folder}: no such folder; give the one that holds {layout.example}")
    notes = Notes()
    videos = []
    for where, path in recordings(folder).items():
        if match := layout.pattern.fullmatch(where):
            videos.append(Video(name=where, path=path, set=name, **layout.fields(match)))
        elif not _NO_ATTEMPTS.fullmatch(where):
            notes.add(f"recordings that are not named as in {layout.title}, left out", where)
    if not videos:
        raise UmbelError(f"{folder}: no recording in it is named as in {layout.title}, like {layout.example}")
    read = layout.finish(VideoSet(name, folder, tuple(videos), notes, {}))
    if not read.videos:
        raise UmbelError(f"{folder}: its lists name none of the subjects that have videos; fetch the lists again")
    return read
