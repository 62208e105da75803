"""Typed settings from the command line, by tyro; flags are flat whatever the settings' nesting is."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import tyro

T = TypeVar("T")


@dataclass(frozen=True)
class RunOptions:
    """Where and how to run."""

    out: Path | None = None
    """Folder for results; unset: a new one under runs/."""
    resume: bool = False
    """Go on with a run that was stopped or killed."""
    devices: int = 1
    """Processes that share the work: one a GPU, or a share of the cores each."""
    json: bool = False
    """Print the results as JSON instead of tables."""


def parse(kind: type[T], default: T | None, arguments: Sequence[str], prog: str, description: str) -> T:
    """The settings that the arguments ask for, starting from `default`.

    Help (--help) and mistakes (an unknown flag, with the nearest ones) end the program, as tyro does it.
    """
    extra = {} if default is None else {"default": default}
    marks = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(kind, args=list(arguments), prog=prog, description=description, config=marks, **extra)


def command_line(arguments: Sequence[str]) -> str:
    """The exact command, as a reader can paste it."""
    return shlex.join(["umbel", *arguments])


def take_flag(arguments: list[str], flag: str) -> bool:
    """Whether the flag is among the arguments; removes it."""
    given = flag in arguments
    arguments[:] = [a for a in arguments if a != flag]
    return given


def new_folder(name: str, resume: bool) -> Path:
    """runs/NAME, or runs/NAME-2, ... when that is taken; with `resume` the newest that is there."""
    root = Path("runs")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    number, path = 1, root / stem
    while path.exists():
        number += 1
        following = root / f"{stem}-{number}"
        if resume and not following.exists():
            return path
        path = following
    return path


def stdout_is_quiet() -> bool:
    """Whether this process is not the one that talks to the user."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or sys.stdout is None
