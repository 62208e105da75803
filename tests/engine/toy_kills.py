"""Runs that are killed: `main(FOLDER)`, in a process without threads, forks one for each and writes what became of it.

Torch is imported once; every run is a process of its own, with real signals and a real limit on file sizes.
FOLDER/found.json: name -> [how the process ended, what it printed]; FOLDER/NAME/: the runs' folders.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from toy_learners import pictures

from umbel.descent import make_descent
from umbel.engine import fit
from umbel.errors import UmbelError

DESCENTS = ("dwa", "famo", "random-weights", "uncertainty")
MOMENTS_OF_A_SAVE = 18
found: dict[str, list] = {}


def train(out: Path, descent: str, observe: Callable | None = None, **changes) -> None:
    """Dropout, augmentation, a one-cycle schedule, and a checkpoint after every step."""
    torch.manual_seed(0)
    toy = pictures(dropout=0.2, augment=True)
    settings = replace(toy.settings, steps=24, schedule="one-cycle", checkpoint_seconds=0.0, validate_every=4)
    settings = replace(settings, **changes)
    fit(
        toy.learner, make_descent(descent), toy.train, toy.validation, settings,
        out=out, resume=True, observe=observe,
    )  # fmt: skip


def start(name: str, function: Callable[[], None]) -> int:
    """A child that runs the function; its output goes to found/NAME."""
    sys.stdout.flush()
    if child := os.fork():
        return child
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        function()
        code = 0
    except UmbelError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        Path(f"{name}.txt").write_text(f"{type(error).__name__}: {error}")
        code = 3
    except KeyboardInterrupt:
        code = 4
    except BaseException as error:
        Path(f"{name}.txt").write_text(f"unexpected {error!r}")
    finally:
        os._exit(code)


def ended(name: str, child: int) -> int:
    """The child's exit status, negative for a signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = Path(f"{name}.txt")
    found[name] = [code, text.read_text() if text.exists() else ""]
    return code


def kill_at(moment: int) -> None:
    """SIGKILL this process at the moment-th sync, rename or removal; a removal is then half done."""

    def counted(function: Callable) -> Callable:
        def call(first, *arguments, **named):
            nonlocal moment
            moment -= 1
            if moment == 0:
                if function is real_remove and Path(first).is_dir():
                    next(iter(sorted(Path(first).iterdir()))).unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return function(first, *arguments, **named)

        return call

    real_remove = shutil.rmtree
    shutil.rmtree = counted(shutil.rmtree)
    os.fsync, os.rename = counted(os.fsync), counted(os.rename)
    Path.rename = counted(Path.rename)


def kill_while_saving(descent: str, moments: range) -> None:
    """One run, killed within its saves at each of the given moments, gone on with each time, and finished."""
    out = Path(f"saving-{descent}")

    def attempt(moment: int) -> None:
        kill_at(moment)
        train(out, descent)

    codes = [ended(f"attempt-{descent}-{m}", start("attempt", lambda m=m: attempt(m))) for m in moments]
    codes.append(ended(f"last-{descent}", start(f"last-{descent}", lambda: train(out, descent))))
    found[f"saving-{descent}"] = codes


def kill_any_time(descent: str) -> None:
    """One run, killed after random times until a life is long enough to finish; the first two lives are slow."""
    out, times, codes = Path(f"any-{descent}"), random.Random(0), []
    for life in range(40):
        slow = (lambda *_: time.sleep(0.1)) if life < 2 else None
        child = start("any", lambda slow=slow: train(out, descent, slow))
        time.sleep(times.uniform(0.05, 0.3) * 1.2**life)
        os.kill(child, signal.SIGKILL)
        codes.append(ended("any", child))
        if codes[-1] == 0:
            break
    found[f"any-{descent}"] = codes


def interrupt(name: str, *numbers: int) -> None:
    """Signals while step 7 is computed; one after a second one is not waited for."""
    out = Path(name)

    def observe(step: int, *_: object) -> None:
        if step == 7:
            Path(f"{name}.ready").touch()
            time.sleep(0.2 if len(numbers) == 1 else 60)

    child = start(name, lambda: train(out, "dwa", observe, checkpoint_seconds=1e9))
    while not Path(f"{name}.ready").exists():
        time.sleep(0.01)
    for number in numbers:
        os.kill(child, number)
        time.sleep(0.1)
    ended(name, child)
    if len(numbers) == 1:
        ended(f"{name}-resumed", start(f"{name}-resumed", lambda: train(out, "dwa")))


def fill_the_disk() -> None:
    """From step 9 on no file may grow beyond 4 kB: a checkpoint does, a log does not."""

    def observe(step: int, *_: object) -> None:
        if step == 9:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    ended("full", start("full", lambda: train(Path("full"), "dwa", observe)))
    found["full-left"] = sorted(path.name for path in Path("full/checkpoints").iterdir())
    ended("full-resumed", start("full-resumed", lambda: train(Path("full"), "dwa")))


def fill_the_disk_for_logs() -> None:
    """From step 6 on no file may grow at all."""

    def observe(step: int, *_: object) -> None:
        if step == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))

    ended("full-log", start("full-log", lambda: train(Path("full-log"), "dwa", observe, checkpoint_seconds=1e9)))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    for i, descent in enumerate(DESCENTS):
        ended(f"whole-{descent}", start(f"whole-{descent}", lambda d=descent: train(Path(f"whole-{d}"), d)))
        # Saves have about 18 moments each; every descent gets its share, in its later saves too.
        kill_while_saving(descent, range(1 + i + MOMENTS_OF_A_SAVE, 4 * MOMENTS_OF_A_SAVE, 13))
    kill_while_saving("equal", range(1, MOMENTS_OF_A_SAVE + 1))
    ended("whole-equal", start("whole-equal", lambda: train(Path("whole-equal"), "equal")))
    kill_any_time("dwa")
    interrupt("ctrl-c", signal.SIGINT)
    interrupt("terminated", signal.SIGTERM)
    interrupt("twice", signal.SIGINT, signal.SIGINT)
    fill_the_disk()
    fill_the_disk_for_logs()
    Path("found.json").write_text(json.dumps(found))
