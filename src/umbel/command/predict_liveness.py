"""`umbel predict` of a network that tells live faces from attacks: what it says of pictures or of a film."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.errors import UmbelError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from umbel.data.films import Moment
    from umbel.inference import Predictor
    from umbel.inference.listed_pictures import ListedPictures
    from umbel.inference.liveness_answers import Judge, Mean

_TOLD = 3
_TABLES = (".csv", ".tsv", ".parquet", ".npz", ".json")
WARNING = "no number is for deciding who is let in anywhere"
"""What every answer goes with."""


@dataclass(frozen=True)
class LivenessRequest:
    """What is asked of a network with a task of liveness.

    Attributes:
        images: Folders and files of pictures; none where there is a film.
        video: A film.
        every: Which of its frames.
        threshold: From which probability on a picture is taken for live; None: what validation gave.
        draw: Whether drawings are wanted.
        out: A new folder; None prints the answers.
        batch_size: Pictures that go through the network together; None: the usual many.
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


def predict_liveness(predictor: "Predictor", request: LivenessRequest) -> int:
    """Answer for pictures or a film, and write or print it.

    Raises:
        UmbelError: Neither pictures nor a film or both, drawings without a folder, a folder that is there already, a
            network without such a task, or nothing that can be read.
    """
    from umbel.inference.liveness_answers import Judge  # noqa: PLC0415

    _check(request)
    answered = _Answered(predictor, Judge(predictor, request.threshold), request)
    if request.out is None:
        _print(answered)
    else:
        _write(answered, request.out)
    return 0


def _check(request: LivenessRequest) -> None:
    from umbel.control.place import check_place  # noqa: PLC0415

    if bool(request.images) == (request.video is not None):
        raise UmbelError("say what to look at: --images FOLDER, --images FILE FILE ..., or --video FILM")
    if request.video is None and request.every != 1:
        raise UmbelError("--every is for the frames of a film; leave it out with pictures")
    if request.draw and request.out is None:
        raise UmbelError("--draw writes pictures; say into which new folder with --out")
    if request.out is not None:
        if request.out.suffix in _TABLES:
            raise UmbelError(
                f"--out {request.out}: answers for pictures go into a new folder with tables in it; give a name "
                f"without {request.out.suffix}, or leave --out out to print them"
            )
        check_place(request.out)


class _Answered:
    """Goes through what is asked once, and knows afterwards what must be said of it."""

    def __init__(self, predictor: "Predictor", judge: "Judge", request: LivenessRequest) -> None:
        from umbel.data.films import Film  # noqa: PLC0415
        from umbel.inference.listed_pictures import listed_pictures  # noqa: PLC0415
        from umbel.inference.liveness_answers import FilmsOf, Means  # noqa: PLC0415
        from umbel.inference.picture_stream import TOGETHER, PictureStream  # noqa: PLC0415

        self.predictor, self.judge, self.request = predictor, judge, request
        self.stream = PictureStream(predictor, TOGETHER if request.batch_size is None else request.batch_size)
        self.film: Film | None = Film(request.video, request.every) if request.video else None
        self.pictures: ListedPictures | None = None if self.film else listed_pictures(list(request.images))
        self._film_of = FilmsOf(request.images)
        self._means = Means(judge)
        self.count = 0

    def __iter__(self) -> "Iterator[tuple[str | Moment, Image.Image, Mapping[str, np.ndarray]]]":
        """Each picture or frame with its answers; a progress bar once it takes long, and notes at the end."""
        from umbel.engine import TerminalReporter  # noqa: PLC0415
        from umbel.inference.late_progress import LateProgress  # noqa: PLC0415

        source: Any = self.film or self.pictures
        with TerminalReporter() as reporter:
            progress = LateProgress(reporter, self.film.count if self.film else len(source))
            for of, picture, answers in self.stream.answers(source):
                self.count += 1
                film = self._film_of(of) if isinstance(of, str) else str(self.request.video)
                self._means.add(film, self.judge.probability(answers))
                yield of, picture, answers
                progress.at(self.count)
            progress.end()
        if not self.count:
            raise UmbelError(f"nothing could be read: {(self.skipped or ['there is no frame in the film'])[0]}")

    @property
    def skipped(self) -> list[str]:
        """A line for each picture that could not be read, or for what ended the film."""
        if self.film is not None:
            return [self.film.damage] if self.film.damage else []
        return list(self.pictures.skipped) if self.pictures is not None else []

    @property
    def means(self) -> "list[Mean]":
        """Over the frames of each film."""
        return self._means.all()

    @property
    def notes(self) -> list[str]:
        """What must be said, a sentence each."""
        notes = [*self.judge.notes]
        if self.stream.resized:
            width, height = self.stream.size
            notes.append(
                f"{self.stream.resized:,} of {self.count:,} were resized to {width}×{height} pixels, as the network "
                "takes them (the aspect ratio is not kept); crop to the face as its training's pictures were"
            )
        if self.film is not None or not self.skipped:
            return [*notes, *self.skipped]
        few = "; ".join(self.skipped[:_TOLD]) + (f"; {more} more" if (more := len(self.skipped) - _TOLD) > 0 else "")
        return [*notes, f"{len(self.skipped)} of {len(self.skipped) + self.count} pictures skipped: {few}"]

    def record(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "checkpoint": str(self.predictor.path),
            "task": self.judge.task,
            "calibrated": self.judge.calibrated,
            "threshold": self.judge.threshold,
            "films": [asdict(one) for one in self.means],
            "skipped": self.skipped,
            "notes": [*self.notes, WARNING],
        }

    def tell(self) -> None:
        """Notes, and the means over films, on standard error."""
        means = self.means
        more = [f"{len(means) - _TOLD:,} more films; --out FOLDER writes them all"] if len(means) > _TOLD else []
        for note in [*self.notes, *(one.sentence for one in means[:_TOLD]), *more]:
            print(f"umbel: {note}", file=sys.stderr)


def _print(answered: _Answered) -> None:
    from umbel.inference.liveness_files import AnswerTable  # noqa: PLC0415

    film = answered.film is not None
    if answered.request.json:
        rows = [{**_named(of), **answered.judge.row(answers)} for of, _, answers in answered]
        print(_json({**answered.record(), "frames" if film else "pictures": rows}))
        return
    table = AnswerTable(sys.stdout, ["frame", "time_s"] if film else ["file"], answered.judge.columns)
    for of, _, answers in answered:
        table.add(of, answered.judge.row(answers))
    sys.stdout.flush()
    answered.tell()


def _write(answered: _Answered, out: Path) -> None:
    from umbel.control.place import place_of, put_in_place  # noqa: PLC0415
    from umbel.inference.drawn_names import SKIPPED  # noqa: PLC0415
    from umbel.inference.liveness_files import LivenessFiles  # noqa: PLC0415

    folder = out.absolute()
    drawn = answered.predictor.learner.tasks if answered.request.draw else None
    with place_of(folder) as partial:
        with LivenessFiles(partial, answered.judge, drawn, answered.film) as files:
            for of, picture, answers in answered:
                files.add(of, picture, answers)
            files.add_means(answered.means)
        if answered.skipped:
            (partial / SKIPPED).write_text("".join(f"{line}\n" for line in answered.skipped), encoding="utf-8")
        written = sorted(path.name + ("/" if path.is_dir() else "") for path in partial.iterdir())
        put_in_place(partial, folder)
    what = "frames" if answered.film else "pictures"
    if answered.request.json:
        print(_json({**answered.record(), what: files.count, "out": str(out), "files": written}))
        return
    answered.tell()
    print(f"{out}: {files.count:,} {what if files.count != 1 else what[:-1]}; {', '.join(written)}")


def _named(of: "str | Moment") -> dict[str, Any]:
    return {"file": of} if isinstance(of, str) else {"frame": of.number, "time_s": round(of.seconds, 3)}


def _json(record: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False)
