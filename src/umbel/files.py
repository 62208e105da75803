"""Files: what goes wrong with one becomes one line, and a file is the old one or the new one, never half of each."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from umbel.errors import UmbelError
from umbel.locks import is_locked, lock_open_file

_PARTIAL = re.compile(r"\..*\.umbel-\w+")
_LONGEST_PART = 40  # of a name, so that a partial file's is not too long where its own is not
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ADVICE = {
    **dict.fromkeys(_NO_SPACE, "free some space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place where you may write"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file is where a folder should be; choose another place"),
    errno.EISDIR: "a folder is where a file should be; move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a symbolic link in it leads to itself; choose another place",
}


def is_full(error: OSError) -> bool:
    """Whether a write failed because there is no space left."""
    return error.errno in _NO_SPACE


def reason(error: OSError) -> str:
    """What the system says of an error: "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def cannot_write(path: Path, error: OSError, then: str = "") -> UmbelError:
    """The line for a file or folder that cannot be written: which, why, and what to do.

    Args:
        path: What was to be written.
        error: What the system says.
        then: What to do after that, as "go on with --resume".
    """
    advice = _ADVICE.get(error.errno or 0, "choose another place")
    return UmbelError(f"cannot write {path}: {reason(error)}; {advice}{f' and {then}' if then else ''}")


@contextmanager
def writing(path: Path, then: str = "") -> Iterator[None]:
    """A block that writes a file or folder; the system's errors become one line.

    Args:
        path: What is written, for the line.
        then: What to do after that, as "go on with --resume".

    Raises:
        UmbelError: The disk is full, the folder cannot be written to, ...
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, then) from error


@contextmanager
def reading(path: Path, remedy: str) -> Iterator[None]:
    """A block that reads a file of Umbel's own; a missing, unreadable or damaged one becomes one line.

    Args:
        path: What is read, for the line.
        remedy: What to do, as "use another checkpoint".

    Raises:
        UmbelError: The file cannot be read, is not text, not JSON, or nests too deeply.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UmbelError(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise UmbelError(f"cannot read {path}: {reason(error)}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise UmbelError(f"{path} is damaged: it is not text in UTF-8; {remedy}") from error
    except json.JSONDecodeError as error:
        raise UmbelError(f"{path} is damaged: not valid JSON in line {error.lineno} ({error.msg}); {remedy}") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, lists in lists in lists
        raise UmbelError(f"{path} is damaged: {' '.join(str(error).split())}; {remedy}") from error


def read_json(path: Path, remedy: str) -> Any:
    """What a JSON file of Umbel's own holds.

    Args:
        path: Of the file.
        remedy: What to do when it cannot be read.

    Raises:
        UmbelError: See `reading`.
    """
    with reading(path, remedy):
        return json.loads(path.read_text(encoding="utf-8"))


def write_atomically(path: Path, content: str | bytes, then: str = "") -> Path:
    """Write a file under a temporary name beside it, then rename it; folders are made.

    While it is written the temporary file is locked, so that `sweep` leaves it to the process that writes it.

    Args:
        path: Of the file.
        content: All that it will hold.
        then: What to do after a failure was mended, for the line.

    Raises:
        UmbelError: The disk is full or the folder cannot be written to; what was there before stays.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = None
    with writing(path, then):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:_LONGEST_PART]}.umbel-")
            with os.fdopen(handle, "wb") as file:
                lock_open_file(file.fileno())
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
        except OSError:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            raise
    return path


def partial_beside(folder: Path) -> Path:
    """Where this process writes a folder before it is renamed into its place."""
    return folder.parent / f".{folder.name}.umbel-{os.getpid()}"


def is_partial(name: str) -> bool:
    """Whether a name is that of a file or folder that is being written, or was when its process ended."""
    return _PARTIAL.fullmatch(name) is not None


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder and below.

    A file that a living process is writing stays. Partial folders are removed, so call this under the folder's lock.
    """
    for inside, folders, files in os.walk(folder):
        for name in filter(is_partial, [*folders]):
            folders.remove(name)
            shutil.rmtree(Path(inside, name), ignore_errors=True)
        for name in filter(is_partial, files):
            path = Path(inside, name)
            if not is_locked(path):
                with suppress(OSError):
                    path.unlink()


def sweep_beside(folder: Path) -> None:
    """Remove what killed processes left of a folder that they were writing (see `partial_beside`)."""
    for path in folder.parent.glob(f".{_glob_text(folder.name)}.umbel-*"):
        shutil.rmtree(path, ignore_errors=True)


def _glob_text(name: str) -> str:
    """A name as a pattern that only it fits."""
    return re.sub(r"([*?[])", r"[\1]", name)
