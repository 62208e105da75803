"""Who is learnt from and who is measured on: the published protocols, as functions of what is known of a recording."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from umbel.arguments import whole_number
from umbel.data.antispoofing.videos import Video
from umbel.errors import UmbelError

Rule = Callable[[Video, int], str]
"""A recording and the number of a frame, from 0 -> "train", "dev" or "test"; "" where the frame is not used."""

FOLDS: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "oulu-npu": MappingProxyType({1: 1, 2: 1, 3: 6, 4: 6}),
        "siw": MappingProxyType({1: 1, 2: 4, 3: 2}),
    }
)
"""Set -> protocol -> how many folds it has (1: none). Other sets have one protocol: the publisher's split."""
_FRONTAL = 60  # frames of a training video of SiW that protocol 1 learns from: mainly frontal faces
_OULU_ATTACKS = {"test": ("printer2", "display2"), "other": ("printer1", "display1")}


def protocol_rule(name: str, protocol: int | None = None, fold: int | None = None) -> Rule:
    """The rule of a published protocol.

    - OULU-NPU 1: the third session is the test. 2: other printers and displays are. 3: one phone is, in 6 folds.
      4: all three at once, in 6 folds.
    - SiW 1: training has the first 60 frames, which are mainly frontal. 2: one replay medium is the test, in 4 folds,
      without prints. 3: fold 1 learns prints and is measured on replays, fold 2 the other way round.
    - All others: the publisher's split.

    Args:
        name: The set.
        protocol: Its number; None: 1.
        fold: From 1, for protocols that have several.

    Raises:
        UmbelError: No such protocol or fold, or a fold is missing or not needed.
    """
    known = FOLDS.get(name, {1: 1})
    number = 1 if protocol is None else protocol
    if isinstance(number, bool) or number not in known:
        raise UmbelError(f"{name} has no protocol {number}; its protocols: {', '.join(map(str, known))}")
    folds = known[number]
    if folds == 1:
        if fold is not None:
            raise UmbelError(f"protocol {number} of {name} has no folds; leave fold out")
        return _WITHOUT_FOLDS.get((name, number), _as_published)
    if fold is None:
        raise UmbelError(f"protocol {number} of {name} has {folds} folds; give fold, 1 to {folds}")
    return _WITH_FOLDS[name, number](str(whole_number(fold, "fold", 1, folds)))


def _as_published(video: Video, frame: int) -> str:
    return video.split


def _oulu_session(video: Video, frame: int) -> str:
    return video.split if (video.session == "3") == (video.split == "test") else ""


def _oulu_attacks(video: Video, frame: int) -> str:
    known = _OULU_ATTACKS["test" if video.split == "test" else "other"]
    return video.split if video.type == "live" or video.medium in known else ""


def _oulu_phone(fold: str) -> Rule:
    def rule(video: Video, frame: int) -> str:
        return video.split if (video.camera == fold) == (video.split == "test") else ""

    return rule


def _oulu_all(fold: str) -> Rule:
    phone = _oulu_phone(fold)

    def rule(video: Video, frame: int) -> str:
        return phone(video, frame) and _oulu_session(video, frame) and _oulu_attacks(video, frame)

    return rule


def _siw_frontal(video: Video, frame: int) -> str:
    return video.split if video.split == "test" or frame < _FRONTAL else ""


def _siw_medium(fold: str) -> Rule:
    def rule(video: Video, frame: int) -> str:
        if video.type == "live":
            return video.split
        left_out = video.medium == f"replay{fold}"
        return video.split if video.type == "replay" and left_out == (video.split == "test") else ""

    return rule


def _siw_attack(fold: str) -> Rule:
    learnt = "print" if fold == "1" else "replay"

    def rule(video: Video, frame: int) -> str:
        right = video.type == "live" or (video.type == learnt) == (video.split != "test")
        return video.split if right else ""

    return rule


_WITHOUT_FOLDS: Mapping[tuple[str, int], Rule] = {
    ("oulu-npu", 1): _oulu_session,
    ("oulu-npu", 2): _oulu_attacks,
    ("siw", 1): _siw_frontal,
}
_WITH_FOLDS: Mapping[tuple[str, int], Callable[[str], Rule]] = {
    ("oulu-npu", 3): _oulu_phone,
    ("oulu-npu", 4): _oulu_all,
    ("siw", 2): _siw_medium,
    ("siw", 3): _siw_attack,
}
