"""What a study trains: arms, and a job for each network of an arm."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from umbel.core import OperatingPoint

_LONGEST_FOLDER = 200  # most file systems take 255 bytes


@dataclass(frozen=True)
class Arm:
    """One way of doing things that a study compares with others: a row of its tables.

    Attributes:
        key: Unique within the study; `Run.method` of its runs.
        title: Name in tables.
        about: One sentence on what it does.
        of: The `arm` of the jobs whose networks it reads, where it trains none of its own: another row's (another rule
            on the same network), or that of jobs which are no row themselves because they serve several arms.
        at: What the places of the networks that it reads hold, where it does not read all of them.
    """

    key: str
    title: str
    about: str = ""
    of: str = ""
    at: OperatingPoint = field(default_factory=OperatingPoint)


@dataclass(frozen=True)
class Job:
    """One network to train (or one fit of anything else), known by its arm, its place and its repeat.

    Attributes:
        arm: Key of its arm.
        repeat: Number of the repetition: the seed of the training, or the fold.
        place: What else tells it from the arm's other networks, as `OperatingPoint(channel="awgn", uses=4)`.
        needs: Jobs that must be done before it: references, an encoder that it reads.
    """

    arm: str
    repeat: int
    place: OperatingPoint = field(default_factory=OperatingPoint)
    needs: tuple["Job", ...] = ()

    @classmethod
    def at(cls, arm: str, repeat: int, *needs: "Job", **place: Any) -> "Job":
        """A job from the values of its place."""
        return cls(arm, repeat, OperatingPoint(place), needs)

    @cached_property
    def key(self) -> str:
        """Its folder: another one for every job, whatever the names hold."""
        parts = (f"{name}-{_text(value)}" for name, value in self.place.items())
        return "/".join([safe_name(self.arm), *map(safe_name, parts), f"repeat-{self.repeat}"])

    @property
    def label(self) -> str:
        """In words, for the progress."""
        parts = (f"{name} {_text(value)}" for name, value in self.place.items())
        return ", ".join([self.arm, *parts, f"repeat {self.repeat}"])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_text, value))
    if isinstance(value, Mapping):
        return "+".join(f"{name}-{_text(item)}" for name, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def safe_name(name: str) -> str:
    """A name as a folder's, another one for every name: all but letters, digits and "._-~+" as in web addresses.

    Of a name that no file system would take, the beginning and a checksum.
    """
    quoted = quote(name, safe="+", errors="surrogatepass")
    if len(quoted) > _LONGEST_FOLDER:
        quoted = f"{quoted[: _LONGEST_FOLDER - 17]}~{hashlib.sha256(quoted.encode()).hexdigest()[:16]}"
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
