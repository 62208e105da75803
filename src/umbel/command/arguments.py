"""Typed settings from the command line, by tyro; flags are flat whatever the settings' nesting is."""

import contextlib
import io
import itertools
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

from umbel.errors import UmbelError, unknown

if TYPE_CHECKING:
    from rich.console import Console

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
    """The settings that the arguments ask for, starting from `default`. Help (--help) ends the program.

    Raises:
        UmbelError: An unknown flag (names the nearest one), a missing or a wrong value.
    """
    refuse_empty_folder(arguments)
    extra: dict[str, Any] = {} if default is None else {"default": default}
    marks = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, rest = tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                description=description,
                config=marks,
                return_unknown_args=True,
                **extra,
            )
    except SystemExit as end:
        if end.code:
            line = _one_line(said.getvalue())
            hint = "a value that begins with - is written --flag=-value, " if line.startswith("Missing value") else ""
            raise UmbelError(f"{line}; {hint}see {prog} --help") from None
        raise
    if not rest:
        return parsed
    if not rest[0].startswith("-"):
        raise UmbelError(f"{prog}: nothing takes {rest[0]!r}; flags begin with --, see {prog} --help")
    helped = io.StringIO()
    with contextlib.redirect_stdout(helped), contextlib.suppress(SystemExit):
        tyro.cli(kind, args=["--help"], prog=prog, description=description, config=marks, **extra)
    flags = set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", helped.getvalue()))
    raise unknown("flag", rest[0].split("=")[0], flags)


def refuse_empty_folder(arguments: Sequence[str]) -> None:
    """Refuse `--out ""`, as from an unset variable of a shell: as a path it would mean the current folder.

    Raises:
        UmbelError: As said.
    """
    given = [value for flag, value in itertools.pairwise(arguments) if flag == "--out"]
    given += [argument.partition("=")[2] for argument in arguments if argument.startswith("--out=")]
    if any(not value.strip() for value in given):
        raise UmbelError("--out is empty; give the path of a folder, or leave --out out")


def _one_line(box: str) -> str:
    """What tyro draws as a box, as one line: its text down to the first rule, without the title."""
    lines = [line.strip("│| ") for line in box.strip().splitlines()[1:]]  # plain signs where the terminal has no others
    text: list[str] = []
    for line in lines:
        rule = not line.strip("─╰╯-+=")
        if rule and text:
            break
        text += [] if rule else [line]
    return " ".join(" ".join(text).split()).rstrip(".:") or "these arguments are not understood"


def command_line(arguments: Sequence[str]) -> str:
    """The exact command, as a reader can paste it to make the same again (that it was resumed is left out)."""
    return shlex.join(["umbel", *(a for a in arguments if a != "--resume")])


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


def console() -> "Console":
    """Where tables are printed. A closed pipe (`| head`) is left to `umbel.cli`; rich would end with status 1."""
    from rich.console import Console  # noqa: PLC0415

    class _Console(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return _Console()


def stdout_is_quiet() -> bool:
    """Whether this process is not the one that talks to the user."""
    return os.environ.get("LOCAL_RANK", "0") != "0" or sys.stdout is None
