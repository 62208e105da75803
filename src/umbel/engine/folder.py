"""The folder of a run or of a study: who may write into it.

A folder is written into when it is new, empty, or one that Umbel made, and by one process at a time. What Umbel made is
known by `run.json` (or a complete checkpoint) for a run and `study.json` for a study, never by names of logs.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from umbel.engine import checkpoint as checkpoints
from umbel.errors import UmbelError, shown
from umbel.files import is_partial, read_json, reading, sweep, write_atomically, writing
from umbel.locks import InUse, Lock, is_locked

MARKER = "run.json"
STUDY = "study.json"
LOCK = ".umbel.lock"
_SAYS = {"umbel": "run", "format": 1}
_ELSEWHERE = "choose another folder"

Kind = Literal["run", "study"]
"""What a folder is: one training, or a study."""
_T = TypeVar("_T")


class Processes(Protocol):
    """What a claim needs of a runtime."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        ...

    def broadcast(self, value: _T) -> _T:
        """The main process's value, on every process."""
        ...


def output_folder(given: object) -> Path:
    """A folder that the user named, as a path.

    Raises:
        UmbelError: It is no path, or empty, which would mean the current folder.
    """
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        raise UmbelError(f"out is {shown(given)}; give the path of a folder")
    return Path(given)


def check_folder(folder: Path, kind: Kind, processes: Processes, resume: bool) -> None:
    """Refuse a folder that may not be written into, before anything is read or computed; makes nothing.

    Args:
        folder: Of a run or a study.
        kind: What it is to be.
        processes: All of them must ask.
        resume: Whether it may hold one already.

    Raises:
        UmbelError: It holds something else, or a run when none is to be resumed; another process is in it.
    """

    def check() -> None:
        _check(folder, kind, resume)
        if is_locked(folder / LOCK):
            with suppress(FileNotFoundError):  # it ended just now
                _take(folder).release()

    _on_main(processes, check)


class Claim:
    """A folder that this process alone writes into, until `release`.

    With several processes the main one claims it for all. What killed processes left half-written is removed.

    Args:
        folder: Of a run or a study; it is made, and marked where it is a run's. (A study writes its own `study.json`.)
        kind: What it is to be.
        processes: All of them must ask.
        resume: Whether it may hold one already.

    Raises:
        UmbelError: On all processes: what `check_folder` refuses; the folder cannot be made.
    """

    def __init__(self, folder: Path, kind: Kind, processes: Processes, resume: bool) -> None:
        self.folder, self.kind = folder, kind
        self._lock: Lock | None = None
        self._made: list[Path] = []
        self._marked = False
        _on_main(processes, lambda: self._claim(resume))

    def _claim(self, resume: bool) -> None:
        _check(self.folder, self.kind, resume)
        try:
            with writing(self.folder):
                self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock = _take(self.folder)
            _check(self.folder, self.kind, resume)  # again: it may have been another's until now
            sweep(self.folder)
            if self.kind == "run" and not (self.folder / MARKER).exists():
                self._marked = True
                write_atomically(self.folder / MARKER, json.dumps(_SAYS) + "\n")
        except BaseException:
            self.undo()
            raise

    def release(self) -> None:
        """Let another process have it; a second call does nothing."""
        if self._lock is not None:
            self._lock.release()

    def undo(self) -> None:
        """Remove what the claim made, where nothing was added to it, and let another process have the folder."""
        if self._lock is not None and self._marked and not (_entries(self.folder) - {MARKER}):
            (self.folder / MARKER).unlink(missing_ok=True)
        self.release()
        with suppress(OSError):  # not empty: it stays
            for path in self._made:
                path.rmdir()


@contextmanager
def claimed(folder: Path, kind: Kind, processes: Processes, resume: bool) -> Iterator[None]:
    """A block that writes into a folder; see `Claim`. An error before anything was written leaves nothing behind."""
    claim = Claim(folder, kind, processes, resume)
    try:
        yield
    except BaseException:
        claim.undo()
        raise
    claim.release()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """A block that writes into a folder that it need not claim: that of a finished study, whose page is made again.

    Raises:
        UmbelError: Another process writes into it, or it cannot be written to.
    """
    with writing(folder):
        lock = _take(folder)
    try:
        yield
    finally:
        lock.release()


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training: it has our marker, or a complete checkpoint."""
    if any(checkpoints.latest(folder / "checkpoints", kind) for kind in checkpoints.KINDS):
        return True
    try:
        marker = read_json(folder / MARKER, "")
    except UmbelError:  # missing, or of somebody else
        return False
    return isinstance(marker, dict) and marker.get("umbel") == _SAYS["umbel"]


def _check(folder: Path, kind: Kind, resume: bool) -> None:
    with reading(folder, _ELSEWHERE):
        if not folder.exists():
            if folder.is_symlink():
                raise UmbelError(f"{folder} is a symbolic link to nothing; {_ELSEWHERE}")
            return
        if not folder.is_dir():
            raise UmbelError(f"{folder} is a file, not a folder; {_ELSEWHERE}")
        if not _entries(folder):
            return
        study, run = (folder / STUDY).exists(), is_run(folder)
    if kind == "study":
        if not study:
            raise UmbelError(f"{folder} is not empty and holds no study; choose another --out")
        if not resume:
            raise UmbelError(f"{folder} already holds a study; go on with --resume or choose another --out")
        return
    if study:
        raise UmbelError(f"{folder} holds a study, not a training; {_ELSEWHERE}")
    if not run:
        raise UmbelError(f"{folder} is not empty and holds no run of Umbel; {_ELSEWHERE}")
    if not resume and checkpoints.latest(folder / "checkpoints", "step"):
        raise UmbelError(f"{folder} already holds a run; go on with --resume or choose another folder")


def _entries(folder: Path) -> set[str]:
    """What is in a folder beside our lock and what a killed process left half-written."""
    return {path.name for path in folder.iterdir() if path.name != LOCK and not is_partial(path.name)}


def _take(folder: Path) -> Lock:
    try:
        return Lock.take(folder / LOCK)
    except InUse as holder:
        raise UmbelError(f"{folder} is in use by {holder}; wait until it ends (or stop it), or {_ELSEWHERE}") from None


def _on_main(processes: Processes, act: Callable[[], None]) -> None:
    """Act on the main process; what it refuses, all refuse, so that none waits for another."""
    refused = None
    if processes.is_main:
        try:
            act()
        except UmbelError as error:
            refused = error
    if problem := processes.broadcast("" if refused is None else str(refused)):
        raise refused or UmbelError(problem)
