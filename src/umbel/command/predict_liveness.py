"""`umbel predict` of a network that tells live faces from attacks: what it says of pictures or of a film."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.command.picture_request import (
    TOLD,
    PictureRequest,
    counted,
    finish_folder,
    named,
    skipped_notes,
    skipped_of,
)
from umbel.errors import UmbelError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from umbel.data.films import Moment
    from umbel.inference import Predictor
    from umbel.inference.liveness_answers import Judge, Mean

WARNING = "no number is for deciding who is let in anywhere"
"""What every answer goes with."""


def predict_liveness(predictor: "Predictor", request: PictureRequest) -> int:
    """Answer for pictures or a film, and write or print it.

    Raises:
        UmbelError: Neither pictures nor a film or both, drawings without a folder, a folder that is there already, a
            network without such a task, or nothing that can be read.
    """
    from umbel.inference.liveness_answers import Judge  # noqa: PLC0415

    request.check("say what to look at", "answers for pictures go into", "them")
    answered = _Answered(predictor, Judge(predictor, request.threshold), request)
    if request.out is None:
        _print(answered)
    else:
        _write(answered, request.out)
    return 0


class _Answered:
    """Goes through what is asked once, and knows afterwards what must be said of it."""

    def __init__(self, predictor: "Predictor", judge: "Judge", request: PictureRequest) -> None:
        from umbel.data.films import Film  # noqa: PLC0415
        from umbel.inference.liveness_answers import FilmsOf, Means  # noqa: PLC0415
        from umbel.inference.picture_stream import TOGETHER, PictureStream  # noqa: PLC0415

        self.predictor, self.judge, self.request = predictor, judge, request
        self.stream = PictureStream(predictor, TOGETHER if request.batch_size is None else request.batch_size)
        self.source = request.source()
        self.film = self.source if isinstance(self.source, Film) else None
        self._film_of = FilmsOf(request.images)
        self._means = Means(judge)
        self.count = 0

    def __iter__(self) -> "Iterator[tuple[str | Moment, Image.Image, Mapping[str, np.ndarray]]]":
        """Each picture or frame with its answers; a progress bar once it takes long, and notes at the end."""
        from umbel.data.films import Film  # noqa: PLC0415
        from umbel.engine import TerminalReporter  # noqa: PLC0415
        from umbel.inference.late_progress import LateProgress  # noqa: PLC0415

        pictures: Iterable[tuple[Any, Image.Image]] = self.source
        with TerminalReporter() as reporter:
            count = self.source.count if isinstance(self.source, Film) else len(self.source)
            progress = LateProgress(reporter, count)
            for of, picture, answers in self.stream.answers(pictures):
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
        return skipped_of(self.source)

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
        return [*notes, *skipped_notes(self.source)]

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
        more = [f"{len(means) - TOLD:,} more films; --out FOLDER writes them all"] if len(means) > TOLD else []
        for note in [*self.notes, *(one.sentence for one in means[:TOLD]), *more]:
            print(f"umbel: {note}", file=sys.stderr)


def _print(answered: _Answered) -> None:
    from umbel.inference.liveness_files import AnswerTable  # noqa: PLC0415
    from umbel.inference.picture_folders import first_columns  # noqa: PLC0415

    if answered.request.json:
        rows = [{**named(of), **answered.judge.row(answers)} for of, _, answers in answered]
        print(_json({**answered.record(), "frames" if answered.film else "pictures": rows}))
        return
    table = AnswerTable(sys.stdout, first_columns(answered.film), answered.judge.columns)
    for of, _, answers in answered:
        table.add(of, answered.judge.row(answers))
    sys.stdout.flush()
    answered.tell()


def _write(answered: _Answered, out: Path) -> None:
    from umbel.control.place import place_of  # noqa: PLC0415
    from umbel.inference.liveness_files import LivenessFiles  # noqa: PLC0415

    folder = out.absolute()
    drawn = answered.predictor.learner.tasks if answered.request.draw else None
    with place_of(folder) as partial:
        with LivenessFiles(partial, answered.judge, drawn, answered.film) as files:
            for of, picture, answers in answered:
                files.add(of, picture, answers)
            files.add_means(answered.means)
        written = finish_folder(partial, folder, answered.skipped)
    if answered.request.json:
        print(
            _json(
                {
                    **answered.record(),
                    "frames" if answered.film else "pictures": files.count,
                    "out": str(out),
                    "files": written,
                }
            )
        )
        return
    answered.tell()
    print(f"{out}: {counted(files.count, answered.film is not None)}; {', '.join(written)}")


def _json(record: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False)
