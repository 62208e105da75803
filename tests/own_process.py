"""Real processes that do not read torch anew, which takes seconds: each is forked off a server, one for all tests.

The server is an interpreter of its own that has imported and done nothing else. So a child has no threads, no hooks and
no shape checks of the test process, and is killed, interrupted and waited for like any other process.
"""

import multiprocessing
import os
import shutil
import signal
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

START_METHOD = "forkserver"
_SERVER = multiprocessing.get_context(START_METHOD)
_READ = ["pytest", "hypothesis", "umbel.descent", "umbel.nn", "umbel.tasks"]
_READ += ["umbel.command.run", "umbel.command.single", "umbel.recipes.compare", "umbel.recipes.single"]
_SERVER.set_forkserver_preload(_READ)


class OwnProcess:
    """`function(*arguments)` in a process of its own, with what the tests use of `subprocess.Popen`.

    Args:
        function: Of a module's top level; what it returns is the exit status.
        folder: The working folder; this process's own where left out.
        **variables: Of the environment, beside this process's own.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, folder: Path | None = None, **variables: str):
        place = tempfile.mkdtemp(prefix="own-process-")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self._said = [Path(place) / name for name in ("out", "err")]
        what = (function, arguments, str(folder or Path.cwd()), {**os.environ, **variables}, self._said)
        self._process = _SERVER.Process(target=_run, args=what, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of `Popen`: None while it runs, negative for a signal."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit status, if it ended."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As `Popen` does."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it said on standard output and as errors, once it ended; it is killed when that takes too long."""
        self._process.join(timeout)
        ended = not self._process.is_alive()
        if not ended:
            self.kill()
        self._process.join()
        out, err = (path.read_text() if path.exists() else "" for path in self._said)
        assert ended, f"still running after {timeout} s: {out}\n{err}"
        return out, err


def _run(function: Callable, arguments: tuple, folder: str, environment: dict[str, str], said: list[Path]) -> None:
    import torch

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(said, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background may ignore it
    torch.set_num_threads(1)
    raise SystemExit(function(*arguments))
