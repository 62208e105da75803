"""What `umbel predict` is asked for pictures and films, whatever is seen in them, and what is said alike of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.errors import UmbelError

if TYPE_CHECKING:
    from umbel.data.films import Film, Moment
    from umbel.inference.listed_pictures import ListedPictures

TOLD = 3
"""How many of several things a line names."""
_TABLES = (".csv", ".tsv", ".parquet", ".npz", ".json")
"""What other networks' predictions are written as."""


@dataclass(frozen=True)
class PictureRequest:
    """What is asked of a network that looks at pictures of any size.

    Attributes:
        images: Folders and files of pictures; none where there is a film.
        video: A film.
        every: Which of its frames.
        threshold: From which score on something counts; None: the network's own.
        draw: Whether drawings are wanted.
        out: A new folder; None prints the answers.
        batch_size: Pictures that go through the network together; None: the usual number.
        json: Whether JSON is printed.
    """

    images: tuple[str, ...]
    video: Path | None
    every: int
    threshold: float | None
    draw: bool
    out: Path | None
    batch_size: int | None
    json: bool

    def check(self, ask: str, writes: str, printed: str) -> None:
        """Refuse what does not go together, before a picture is read.

        Args:
            ask: What to say where there are neither pictures nor a film, or both: "say where to look for boxes".
            writes: Who writes a folder, as a clause with its verb: "a detector writes".
            printed: What is printed instead: "the boxes".

        Raises:
            UmbelError: As said; drawings without a folder, a folder that is there already or is called like a table.
        """
        from umbel.control.place import check_place  # noqa: PLC0415

        if bool(self.images) == (self.video is not None):
            raise UmbelError(f"{ask}: --images FOLDER, --images FILE FILE ..., or --video FILM")
        if self.video is None and self.every != 1:
            raise UmbelError("--every is for the frames of a film; leave it out with pictures")
        if self.draw and self.out is None:
            raise UmbelError("--draw writes pictures; say into which new folder with --out")
        if self.out is None:
            return
        if self.out.suffix in _TABLES:
            raise UmbelError(
                f"--out {self.out}: {writes} a new folder with tables in it; give a name without {self.out.suffix}, "
                f"or leave --out out to print {printed}"
            )
        check_place(self.out)

    def source(self) -> "ListedPictures | Film":
        """The pictures, or the frames of the film.

        Raises:
            UmbelError: They cannot be had.
        """
        from umbel.data.films import Film  # noqa: PLC0415
        from umbel.inference.listed_pictures import listed_pictures  # noqa: PLC0415

        return Film(self.video, self.every) if self.video else listed_pictures(list(self.images))


def skipped_of(source: "ListedPictures | Film") -> list[str]:
    """A line for each picture that could not be read, or for what ended the film; known when all was gone through."""
    from umbel.data.films import Film  # noqa: PLC0415

    return [*filter(None, [source.damage])] if isinstance(source, Film) else list(source.skipped)


def skipped_notes(source: "ListedPictures | Film") -> list[str]:
    """The same in at most one line."""
    from umbel.data.films import Film  # noqa: PLC0415

    skipped = skipped_of(source)
    if isinstance(source, Film) or not skipped:
        return skipped
    more = f"; {len(skipped) - TOLD} more" if len(skipped) > TOLD else ""
    return [f"{len(skipped)} of {len(source)} pictures skipped: {'; '.join(skipped[:TOLD])}{more}"]


def named(of: "str | Moment") -> dict[str, Any]:
    """What tells a picture or a frame from the others, as JSON has it."""
    return {"file": of} if isinstance(of, str) else {"frame": of.number, "time_s": round(of.seconds, 3)}


def finish_folder(partial: Path, out: Path, skipped: Sequence[str]) -> list[str]:
    """Write what was skipped, put a written folder in its place, and tell what is in it.

    Args:
        partial: Where it was written.
        out: Where it goes.
        skipped: As of `skipped_of`.
    """
    from umbel.control.place import put_in_place  # noqa: PLC0415
    from umbel.inference.picture_folders import SKIPPED  # noqa: PLC0415

    if skipped:
        (partial / SKIPPED).write_text("".join(f"{line}\n" for line in skipped), encoding="utf-8")
    written = sorted(path.name + ("/" if path.is_dir() else "") for path in partial.iterdir())
    put_in_place(partial, out)
    return written


def counted(count: int, film: bool) -> str:
    """As "1 picture" or "1,200 frames"."""
    return f"{count:,} {'frame' if film else 'picture'}{'' if count == 1 else 's'}"
