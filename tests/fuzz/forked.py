"""The command in a forked process with a time limit: everything is imported once, and nothing is left behind."""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_IMPORTED = ("umbel.command.run", "umbel.command.single", "umbel.command.search", "umbel.command.export")
_IMPORTED += ("umbel.command.report", "umbel.command.listing", "umbel.recipes.single", "umbel.recipes.turnable")


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        status: Exit status; negative: the signal that killed it.
        stdout: What it printed.
        stderr: What it complained about.
        raised: The traceback of what it raised; empty otherwise.
        hung: Whether it was killed at the time limit.
    """

    status: int
    stdout: str
    stderr: str
    raised: str
    hung: bool

    def summary(self) -> str:
        """The end of what was said, for a report."""
        said = (self.raised or self.stderr or self.stdout).strip().splitlines()[-12 if self.raised else -3 :]
        return f"status {self.status}: " + "\n    ".join(line[:300] for line in said)


def called(arguments: Sequence[str], folder: Path, seconds: float) -> Outcome:
    """`umbel.cli.main(arguments)` in a child that runs in `folder`."""
    for name in _IMPORTED:
        __import__(name)
    files = {name: folder.parent / f"{folder.name}.{name}" for name in ("stdout", "stderr", "result")}
    child = os.fork()
    if child == 0:
        _child(list(arguments), folder, files)
    status, hung = _wait(child, seconds)
    read = {name: path.read_text(errors="replace") if path.exists() else "" for name, path in files.items()}
    for path in files.values():
        path.unlink(missing_ok=True)
    result = json.loads(read["result"] or "{}")
    return Outcome(result.get("status", status), read["stdout"], read["stderr"], result.get("raised", ""), hung)


def _child(arguments: list[str], folder: Path, files: dict[str, Path]) -> None:
    """Never returns."""
    result: dict[str, object] = {"status": 70}
    try:
        os.setsid()
        os.chdir(folder)
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(files[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from umbel.cli import main

        result["status"] = main(arguments)
    except SystemExit as end:
        result["status"] = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        result["raised"] = traceback.format_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        files["result"].write_text(json.dumps(result))
        os._exit(0)


def _wait(child: int, seconds: float) -> tuple[int, bool]:
    """(exit status, or the signal as a negative number; whether it had to be killed)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), False
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # a session of its own: its helpers go with it
    os.waitpid(child, 0)
    return -signal.SIGKILL, True
