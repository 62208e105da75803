"""What was said of pictures or of a film by a network that tells live faces from attacks, as a folder of files."""

import csv
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
from PIL import Image

from umbel.core import Task
from umbel.data.films import Film, FilmWriter, Moment
from umbel.files import writing
from umbel.inference.liveness_answers import Judge, Mean
from umbel.inference.picture_folders import DRAWN, DRAWN_FILM, DrawnNames, first_cells, first_columns
from umbel.report import draw_answers
from umbel.spreadsheets import safe_value

PICTURES, FRAMES, FILMS = "pictures.csv", "frames.csv", "films.csv"
"""The tables: a row for each picture, for each frame of a film, for each film."""


class AnswerTable:
    """A table with a row for each picture, written row by row.

    Args:
        stream: Where to.
        first: Columns that tell the pictures apart.
        columns: Those of the answers.
    """

    def __init__(self, stream: TextIO, first: Sequence[str], columns: Sequence[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._columns = columns
        self._writer.writerow([*first, *map(safe_value, columns)])

    def add(self, of: str | Moment, row: Mapping[str, object]) -> None:
        """A picture or a frame, with its answers by column."""
        self._writer.writerow([*map(safe_value, first_cells(of)), *(safe_value(row[name]) for name in self._columns)])


class LivenessFiles:
    """A folder with all that was said of pictures or of a film. Use as a context manager.

    Args:
        folder: That exists.
        judge: Reads the answers.
        drawn: The tasks whose maps are drawn beside each picture; None draws nothing.
        film: The film that frames come from; None for pictures.

    Attributes:
        count: How many pictures there were so far.
    """

    def __init__(self, folder: Path, judge: Judge, drawn: Sequence[Task] | None, film: Film | None) -> None:
        self.count = 0
        self._folder = folder
        self._judge = judge
        self._tasks = drawn
        self._film = film
        self._names = DrawnNames()
        self._open = ExitStack()

    def __enter__(self) -> "LivenessFiles":
        with writing(self._folder), ExitStack() as opening:
            name = PICTURES if self._film is None else FRAMES
            stream = opening.enter_context((self._folder / name).open("w", encoding="utf-8", newline=""))
            self._table = AnswerTable(stream, first_columns(self._film), self._judge.columns)
            if self._film is not None and self._tasks is not None:
                self._written = opening.enter_context(FilmWriter(self._folder / DRAWN_FILM, self._film))
            self._open = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with writing(self._folder):
            self._open.__exit__(kind, error, at)

    def add(self, of: str | Moment, picture: Image.Image, answers: Mapping[str, np.ndarray]) -> None:
        """A picture, or a frame of the film, with its decoded answers by task."""
        with writing(self._folder):
            self._table.add(of, self._judge.row(answers))
            self.count += 1
            if self._tasks is None:
                return
            drawn = draw_answers(picture, self._tasks, answers, self._judge.words(answers))
            if isinstance(of, Moment):
                self._written.add(of, drawn)
                return
            path = self._folder / DRAWN / self._names.of(of, ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(path)

    def add_means(self, means: Sequence[Mean]) -> None:
        """The table of films, where there are some."""
        if not means:
            return
        with writing(self._folder), (self._folder / FILMS).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            decided = any(one.decision for one in means)
            writer.writerow(["film", "frames", "mean probability of live", *(["decision"] if decided else [])])
            for one in means:
                writer.writerow([safe_value(one.of), one.frames, one.probability, *([one.decision] if decided else [])])
