"""Folders of predictions for pictures or a film: how files are called, and what tells pictures apart in tables."""

from pathlib import PurePosixPath

from umbel.data.films import Film, Moment

DRAWN, DRAWN_FILM = "drawn", "drawn.mp4"
"""The folder of drawn pictures, and the drawn film."""
SKIPPED = "skipped.txt"
"""A line for each picture that could not be read, where there were some."""


class DrawnNames:
    """Gives each drawn picture a name of its own."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str, ending: str) -> PurePosixPath:
        """Where a drawn picture goes: under its path below its folder, or, given as a file, under its name.

        Args:
            name: Of the picture, as `listed_pictures` names it.
            ending: Of the drawing, as ".jpg".
        """
        path = PurePosixPath(name)
        stem = PurePosixPath(path.name) if path.is_absolute() or ".." in path.parts else path
        chosen = stem.with_suffix(ending)
        number = 1
        while str(chosen).lower() in self._taken:  # "a.png" beside "a.jpg"
            number += 1
            chosen = stem.with_name(f"{stem.name}-{number}{ending}")
        self._taken.add(str(chosen).lower())
        return chosen


def first_columns(film: Film | None) -> list[str]:
    """Names of the columns that tell pictures, or the frames of a film, from each other."""
    return ["file"] if film is None else ["frame", "time_s"]


def first_cells(of: str | Moment) -> list[str | int]:
    """What is in them: the name of a picture; number and time in seconds of a frame."""
    return [of] if isinstance(of, str) else [of.number, f"{of.seconds:.3f}"]
