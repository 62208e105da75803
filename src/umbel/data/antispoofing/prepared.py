"""How a folder of prepared frames is known. Free of torch."""

from pathlib import Path

FRAMES_TABLE = "frames.csv"
"""Name of the table in a prepared folder."""


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds prepared frames.

    Args:
        folder: Which may not exist.
    """
    return (folder / FRAMES_TABLE).is_file()
