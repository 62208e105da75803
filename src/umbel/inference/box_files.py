"""What a detector found, as files: a table of boxes, a table of pictures, COCO's JSON, drawn pictures, a film."""

import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from PIL import Image

from umbel.data.films import Film, FilmWriter, Moment
from umbel.data.task_records import TaskRecord
from umbel.files import writing
from umbel.inference.answers import answer_columns, row_values
from umbel.inference.box_predictor import PLACES, PictureBoxes
from umbel.inference.picture_folders import DRAWN, DRAWN_FILM, DrawnNames, first_cells, first_columns
from umbel.report import draw_boxes
from umbel.spreadsheets import safe_value

BOXES, PICTURES, FRAMES = "boxes.csv", "pictures.csv", "frames.csv"
"""The tables: a row for each box, for each picture, for each frame of a film."""
COCO_RESULTS, COCO_PICTURES = "coco_results.json", "coco_pictures.json"
"""The boxes as COCO's tools read them, and which numbers stand for which pictures and classes."""
_QUALITY = 92  # of JPEG


class BoxTable:
    """A table with a row for each box, written row by row.

    Args:
        stream: Where to.
        first: Columns that tell the pictures apart.
        labels: Names of the classes.
    """

    def __init__(self, stream: TextIO, first: Sequence[str], labels: Sequence[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._labels = labels
        self._writer.writerow([*first, "class", "score", *PLACES])

    def add(self, first: Sequence[object], answer: PictureBoxes) -> None:
        """The boxes of a picture."""
        for row in answer.boxes:
            places = [f"{value:.3f}" for value in row[:4]]
            self._writer.writerow(
                [*map(safe_value, first), safe_value(self._labels[int(row[5])]), f"{row[4]:.5f}", *places]
            )


class PictureFiles:
    """A folder with all that was found in pictures or in a film. Use as a context manager.

    Args:
        folder: That exists.
        labels: Names of the classes.
        further: The tasks with an answer for the whole picture.
        draw: Whether pictures are drawn with their boxes.
        film: The film that frames come from; None for pictures.

    Attributes:
        boxes: How many there were so far.
        count: How many pictures.
    """

    def __init__(
        self, folder: Path, labels: Sequence[str], further: Sequence[TaskRecord], draw: bool, film: Film | None
    ) -> None:
        self.boxes = self.count = 0
        self._folder = folder
        self._labels = labels
        self._further = further
        self._draw = draw
        self._film = film
        self._open = ExitStack()
        self._drawn = DrawnNames()
        self._pictures: list[dict[str, Any]] = []

    def __enter__(self) -> "PictureFiles":
        with writing(self._folder), ExitStack() as opening:
            first = first_columns(self._film)
            self._table = BoxTable(opening.enter_context(self._text(BOXES)), first, self._labels)
            self._rows = csv.writer(
                opening.enter_context(self._text(PICTURES if self._film is None else FRAMES)), lineterminator="\n"
            )
            columns = answer_columns(self._further)
            self._columns = {one.name: columns[one.name] for one in self._further if one.name in columns}
            named = [safe_value(column) for of_task in self._columns.values() for column in of_task.values()]
            self._rows.writerow([*first, "width", "height", "boxes", *named])
            if self._film is None:
                self._results = opening.enter_context(self._text(COCO_RESULTS))
                self._results.write("[")
            elif self._draw:
                self._written = opening.enter_context(FilmWriter(self._folder / DRAWN_FILM, self._film))
            self._open = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with writing(self._folder):
            if kind is None and self._film is None:
                self._results.write("\n]\n")
                categories = [{"id": place, "name": name} for place, name in enumerate(self._labels, 1)]
                known = {"images": self._pictures, "categories": categories, "annotations": []}
                with self._text(COCO_PICTURES) as file:
                    json.dump(known, file, ensure_ascii=False)
            self._open.__exit__(kind, error, at)

    def _text(self, name: str) -> TextIO:
        return (self._folder / name).open("w", encoding="utf-8", newline="")

    def add(self, of: str | Moment, picture: Image.Image, answer: PictureBoxes) -> None:
        """A picture, or a frame of the film, and what was found in it."""
        first = first_cells(of)
        with writing(self._folder):
            self._table.add(first, answer)
            further = further_values(self._further, self._columns, answer)
            values = [safe_value(value) for value in further.values()]
            self._rows.writerow([*map(safe_value, first), picture.width, picture.height, len(answer), *values])
            self.count, self.boxes = self.count + 1, self.boxes + len(answer)
            if isinstance(of, str):
                self._add_coco(of, picture, answer)
            if self._draw:
                self._add_drawn(of, draw_boxes(picture, answer.boxes, self._labels))

    def _add_coco(self, name: str, picture: Image.Image, answer: PictureBoxes) -> None:
        self._pictures.append({"id": self.count, "file_name": name, "width": picture.width, "height": picture.height})
        for number, (x1, y1, x2, y2, score, kind) in enumerate(answer.boxes.tolist()):
            box = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
            entry = {"image_id": self.count, "category_id": int(kind) + 1, "bbox": box, "score": round(score, 5)}
            begins = self.boxes == len(answer) and number == 0
            self._results.write(("\n" if begins else ",\n") + json.dumps(entry))

    def _add_drawn(self, of: str | Moment, drawn: Image.Image) -> None:
        if isinstance(of, Moment):
            self._written.add(of, drawn)
            return
        path = self._folder / DRAWN / self._drawn.of(of, ".jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path, quality=_QUALITY, subsampling=0)


def further_values(
    further: Sequence[TaskRecord], columns: Mapping[str, Mapping[str, str]], answer: PictureBoxes
) -> dict[str, object]:
    """The columns of the tasks with an answer for the whole picture, for one picture.

    Args:
        further: Those tasks.
        columns: Task -> label -> column, as `answer_columns` gives them.
        answer: Of the picture.
    """
    values: dict[str, object] = {}
    for record in further:
        if record.name in columns:
            values |= row_values(record, columns[record.name], answer.answers[record.name])
    return values
