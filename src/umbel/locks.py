"""Locks that the kernel takes back when the process that holds them ends, however it ends."""

import errno
import os
import socket
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind the text, which others must be able to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class InUse(Exception):
    """Somebody else holds the lock; the text says who."""


@dataclass
class _Held:
    """A lock of this process, and how many `Lock` objects share it."""

    descriptor: int
    thread: int
    count: int = 1


_held: dict[str, _Held] = {}
_guard = threading.RLock()  # a finalizer may run while its own thread is in here


@dataclass(eq=False)
class Lock:
    """A lock on a file, from `take` until `release` or the end of the process. The file is removed with it.

    The thread that holds a lock may take it again, as a study and the training in it do.

    Attributes:
        path: The file.
    """

    path: str
    _finalizer: "weakref.finalize[[str, int], Lock]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._finalizer = weakref.finalize(self, _release, self.path, os.getpid())

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """Take the lock of a file, which is made; its folder must be there.

        Where the file system knows no locks, everybody gets it.

        Raises:
            InUse: Another process or thread has it.
            OSError: The file cannot be made.
        """
        key = os.path.join(os.path.realpath(path.parent), path.name)
        with _guard:
            if (own := _held.get(key)) is not None:
                if own.thread != threading.get_ident():
                    raise InUse("another thread of this process")
                own.count += 1
            else:
                _held[key] = _Held(_open_locked(key), threading.get_ident())
        return cls(key)

    def release(self) -> None:
        """Let it go; a second call does nothing."""
        self._finalizer()


def _open_locked(path: str) -> int:
    """A descriptor of the file at the path, locked."""
    while True:
        descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o644)
        try:
            if not lock_open_file(descriptor):
                raise InUse(_holder(descriptor))
            if _is_at(descriptor, path):  # else its holder removed it between our opening and locking it
                os.ftruncate(descriptor, 0)
                with suppress(OSError):  # a full disk: what is written says who holds it, and is not needed
                    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def lock_open_file(descriptor: int) -> bool:
    """Lock an open file until it is closed; False when somebody else has it. No locks at all count as locked."""
    try:
        _lock(descriptor)
    except OSError as error:
        return error.errno not in _TAKEN
    return True


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of a file; False for none that can be opened."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return False
    try:
        return not lock_open_file(descriptor)
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether the open file is the one that is at the path now."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _holder(descriptor: int) -> str:
    with suppress(OSError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        text = os.read(descriptor, 200).decode("utf-8", "replace").strip()
        if text.isprintable() and text:
            return text
    return "another process"


def _release(path: str, process: int) -> None:
    if process != os.getpid():
        return
    with _guard:
        held = _held.get(path)
        if held is None:
            return
        held.count -= 1
        if not held.count:
            del _held[path]
            with suppress(OSError):
                os.unlink(path)
            with suppress(OSError):
                os.close(held.descriptor)


def _forget() -> None:
    """In a forked child: the locks are its parent's, and must not outlive it in the child."""
    global _guard  # noqa: PLW0603 - the parent's other threads, which might hold it, are not in the child
    _guard = threading.RLock()
    for held in _held.values():
        with suppress(OSError):
            os.close(held.descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
