"""Files that are either the old ones or the new ones, never half of each."""

import os
import tempfile
from pathlib import Path

from umbel.core import UmbelError


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name beside it, then rename it; folders are made.

    Raises:
        UmbelError: The disk is full or the folder cannot be written to; what was there before stays.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise UmbelError(f"cannot write {path}: {error.strerror}; free some space or choose another folder") from error
    return path
