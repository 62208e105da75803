"""A folder of results is written beside its place, by one process at a time, and renamed when it is whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from umbel.errors import UmbelError
from umbel.files import partial_beside, sweep_beside, writing
from umbel.locks import InUse, Lock


def check_place(folder: Path) -> None:
    """Refuse a place that is taken, or that cannot be looked at; makes nothing.

    Raises:
        UmbelError: As said.
    """
    with writing(folder):
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise UmbelError(f"{folder} is there already and not an empty folder; give a new one")


@contextmanager
def place_of(folder: Path) -> Iterator[Path]:
    """A partial folder beside its place, for one process at a time.

    What killed processes left there is removed; after an error nothing is left.

    Raises:
        UmbelError: The place is taken, another process writes to it, or it cannot be written.
    """
    partial = partial_beside(folder)
    made = [path for path in folder.parents if not path.exists()]
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = Lock.take(folder.parent / f".{folder.name}.umbel.lock")
        except InUse as holder:
            raise UmbelError(f"{folder} is being written by {holder}; wait for it, or give another") from None
        try:
            check_place(folder)
            sweep_beside(folder)
            partial.mkdir()
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock.release()
            with suppress(OSError):  # not empty: it stays
                for path in made:
                    path.rmdir()


def put_in_place(partial: Path, folder: Path) -> None:
    """Make sure that all is on the disk, then rename. A folder that is there, which may be the current one, stays."""
    for path in (*partial.iterdir(), partial):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if not folder.exists():
        partial.rename(folder)
        return
    for path in sorted(partial.iterdir(), key=lambda path: path.name == "export.json"):  # the record last
        path.rename(folder / path.name)
