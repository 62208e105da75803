"""How files in a folder of predictions for pictures are called."""

from pathlib import PurePosixPath

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
