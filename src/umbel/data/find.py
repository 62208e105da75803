"""The one place that finds data: `$UMBEL_DATA`, then the user's cache folder, then, when allowed, a download."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from umbel.errors import UmbelError


def cache_folder() -> Path:
    """Where downloads go: `umbel` in the cache folder of the user (`$XDG_CACHE_HOME` wins on every system)."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "umbel"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "umbel"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "umbel"


def data_folders() -> list[Path]:
    """The folders that are searched, in order: `$UMBEL_DATA` where it is set, then the cache folder."""
    own = os.environ.get("UMBEL_DATA")
    return [*([Path(own).expanduser()] if own else []), cache_folder()]


def find(*alternatives: str) -> Path | None:
    """The first file or folder that exists.

    Args:
        alternatives: Paths relative to a data folder; `*` and `?` stand for any characters (the first match in
            alphabetical order counts). Any of them will do; earlier ones are preferred, and for each of
            them earlier folders.

    Returns:
        Its full path; None where there is none.
    """
    for relative in alternatives:
        for folder in data_folders():
            if match := min(folder.glob(relative), default=None):
                return match
    return None


def need(
    name: str,
    *alternatives: str,
    hint: str = "",
    fetch: Callable[[Path], object] | None = None,
    download: bool = False,
) -> Path:
    """The first file or folder that exists, or an error that says what to put where.

    Args:
        name: The data set, as the user calls it.
        alternatives: As for `find`.
        hint: Where to get the set, or how its files are made; one clause, without a full stop.
        fetch: Downloads the set into the folder that it is given. Called only when the set is missing and the user
            asked for it.
        download: The user asked. `UMBEL_DOWNLOAD=1` in the environment asks as well.

    Raises:
        UmbelError: The set is neither here nor could it be downloaded.
    """
    if path := find(*alternatives):
        return path
    if fetch and (download or os.environ.get("UMBEL_DOWNLOAD", "0") not in ("", "0")):
        _download(name, fetch)
        if path := find(*alternatives):
            return path
    folders = data_folders()
    places = " and ".join(str(folder) for folder in folders)
    ways = [hint] if hint else []
    if len(folders) == 1:
        ways.append("set UMBEL_DATA to the folder that holds it")
    if fetch:
        ways.append("allow the download with UMBEL_DOWNLOAD=1 (in Python: download=True)")
    advice = f"; {', or '.join(ways)}" if ways else ""
    raise UmbelError(f"data set {name!r} is not here: looked for {' or '.join(alternatives)} in {places}{advice}")


def _download(name: str, fetch: Callable[[Path], object]) -> None:
    target = cache_folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
        fetch(target)
    except (OSError, RuntimeError) as error:  # no network, a full disk, a file that came damaged
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UmbelError(f"data set {name!r} could not be downloaded to {target}: {reason}") from error
