"""Pictures of any size, one after the other: those of a folder, files, or pictures that are open already."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from umbel.data.boxes.annotated import pictures_in
from umbel.data.boxes.reading import read_picture
from umbel.errors import UmbelError, shown

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Which files are taken for films."""


class ListedPictures:
    """Names and pictures, in colour and upright, each read when its turn comes; what cannot be read is skipped.

    Args:
        items: Name and file, or name and picture.

    Attributes:
        skipped: A line for each picture that could not be read, filled while the others are gone through.
    """

    def __init__(self, items: Sequence[tuple[str, Path | Image.Image]]) -> None:
        self._items = tuple(items)
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[tuple[str, Image.Image]]:
        self.skipped.clear()
        for name, given in self._items:
            if isinstance(given, Image.Image):
                yield name, ImageOps.exif_transpose(given).convert("RGB")
                continue
            try:
                picture = read_picture(given, upright=True)
            except UmbelError as error:
                self.skipped.append(str(error))
                continue
            yield name, picture


def listed_pictures(given: Any) -> ListedPictures:
    """The pictures that a user means.

    Args:
        given: A folder (with those in it), a file, a list of files and folders, a picture, or a list of pictures.
            Pictures of a folder are named by their path below it, files as they were given, open pictures "1", "2", ...

    Raises:
        UmbelError: No such file or folder, a folder without a picture, a film, or something else.
    """
    single = isinstance(given, str | Path | Image.Image)
    listed = [given] if single else list(given) if isinstance(given, list | tuple) else []
    if not listed:
        raise UmbelError(f"pictures are {shown(given)}; give a folder, files, or pictures of PIL")
    items: list[tuple[str, Path | Image.Image]] = []
    for number, one in enumerate(listed, 1):
        if isinstance(one, Image.Image):
            items.append((str(number), one))
        elif isinstance(one, str | Path) and str(one):
            items += _files(Path(one), len(listed) > 1)
        else:
            raise UmbelError(f"picture {number} is {shown(one)}; give a file, or a picture of PIL")
    return ListedPictures(items)


def _files(path: Path, among_others: bool) -> list[tuple[str, Path]]:
    """Name and path of the pictures of a folder, or of the file itself."""
    path = path.expanduser()
    if path.suffix.lower() in VIDEO_ENDINGS and path.is_file():
        raise UmbelError(f"{path} is a film; give it with --video")
    if path.is_file():
        return [(str(path) if among_others else path.name, path)]
    if not path.is_dir():
        raise UmbelError(f"{path}: no such picture or folder of pictures")
    files = pictures_in(path, deep=True)
    if not files:
        raise UmbelError(f"{path}: no picture is in it")
    return [((file if among_others else file.relative_to(path)).as_posix(), file) for file in files]
