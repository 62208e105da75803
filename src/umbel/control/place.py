"""Where an export is written: beside its place, and renamed into it when it is whole."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from umbel.errors import UmbelError


def check_place(folder: Path) -> None:
    """Refuse a place for an export that is taken; makes nothing.

    Raises:
        UmbelError: As said.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UmbelError(f"{folder} is there already and not an empty folder; export into a new one")


@contextmanager
def place_of(folder: Path) -> Iterator[Path]:
    """A partial folder beside the place of an export; after an error nothing is left of it.

    Raises:
        UmbelError: It cannot be written.
    """
    partial = folder.parent / f".{folder.name}.{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        yield partial
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space" if full else "choose another folder"
        raise UmbelError(f"cannot write {folder}: {error.strerror}; {advice}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: Path, folder: Path) -> None:
    """Make sure that all is on the disk, then rename."""
    for path in (*partial.iterdir(), partial):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if folder.exists():
        folder.rmdir()  # empty, or this fails and nothing is lost
    partial.rename(folder)
