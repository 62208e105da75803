"""A run that answers requests, without anything of HTTP but the kinds of bodies and the status of a refusal."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import umbel
from umbel.data.table_description import TableDescription
from umbel.errors import UmbelError
from umbel.inference.new_inputs import table_inputs
from umbel.serving import request_tables
from umbel.serving.description import describe_inputs, describe_output, example_inputs, prediction, takes_pictures
from umbel.serving.refusal import Refusal
from umbel.serving.request_pictures import picture_of
from umbel.spreadsheets import safe_cell

if TYPE_CHECKING:
    import pandas as pd

    from umbel.inference import Predictor

JSON = "application/json"
"""Media type of rows as objects."""
TABLES = {"text/csv": ",", "text/tab-separated-values": "\t"}
"""Media types of tables as text, and what stands between their cells."""
PARQUET = "application/vnd.apache.parquet"
"""Media type of Parquet."""
PICTURES = (
    "image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "image/gif", "image/x-portable-anymap",
    "image/x-portable-graymap", "image/x-portable-pixmap",
)  # fmt: skip
"""Media types of pictures. Which it is of these is seen in the file."""


_OTHER_COLUMNS = 10_000  # that a table may have beside the inputs


@dataclass(frozen=True)
class Limits:
    """What a request may ask for.

    Attributes:
        request_bytes: Of a body.
        rows: Of a table.
        pixels: Of a picture.
        waiting: Requests that are read or computed at a time; more are told to come back.
        seconds: In which a body must have arrived.
    """

    request_bytes: int = 16_000_000
    rows: int = 100_000
    pixels: int = 40_000_000
    waiting: int = 32
    seconds: float = 60.0


@dataclass(frozen=True)
class Answers:
    """What came of a request.

    Attributes:
        table: As `umbel.inference.Predictor.predict` gives it, a row for each.
        predictions: The same as plain values, by task.
        notes: What the client should know of the rows, a sentence each.
    """

    table: "pd.DataFrame"
    predictions: list[dict[str, Any]]
    notes: tuple[str, ...]

    def csv(self) -> str:
        """The table as CSV; cells that a spreadsheet would take for a formula are made safe."""
        safe = self.table.rename(columns=safe_cell)
        texts = [name for name in safe.columns if safe[name].dtype.kind not in "fiu"]
        safe = safe.assign(**{name: [safe_cell(str(cell)) for cell in safe[name]] for name in texts})
        return safe.to_csv(index=False, lineterminator="\r\n")


class Service:
    """A trained run that answers bodies of requests. Any number of threads may ask; one at a time computes.

    Args:
        predictor: The run, from `umbel.load`.
        point: Widths of a network that can be turned; None for its full ones.
        name: What clients see of it.
        limits: Of requests.

    Raises:
        UmbelError: The run predicts maps or pictures only, or has no such point.
    """

    def __init__(
        self, predictor: "Predictor", point: str | None = None, name: str = "run", limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._predictor, self._point = predictor, point or None
        self._known = predictor.inputs
        self._lock = threading.Lock()
        self._outputs = [describe_output(record, predictor.calibration(self._point)) for record in predictor.tasks]
        if not any(output["kind"] for output in self._outputs):
            raise UmbelError(f"{name} predicts maps or pictures only; what is served are classes and values")
        self.description = {
            "run": name,
            "version": umbel.__version__,
            "point": self._point,
            "inputs": describe_inputs(self._known),
            "outputs": [output for output in self._outputs if output["kind"]],
            "not_served": [output["name"] for output in self._outputs if not output["kind"]],
            "media_types": list(self.media_types),
            "limits": {"bytes": self.limits.request_bytes, "rows": self.limits.rows},
        }
        self._predict(example_inputs(self._known))  # a wrong point is told at the start, and the first answer is quick

    @property
    def media_types(self) -> tuple[str, ...]:
        """Kinds of bodies that it takes."""
        if takes_pictures(self._known):
            return PICTURES
        return (JSON, *TABLES, PARQUET) if isinstance(self._known, TableDescription) else (JSON,)

    def check_media_type(self, media_type: str) -> None:
        """Refuse a kind of body before it is read.

        Args:
            media_type: In lower case, without parameters.

        Raises:
            Refusal: The run takes others.
        """
        if media_type not in self.media_types:
            *others, last = self.media_types
            taken = f"{', '.join(others)} or {last}" if others else last
            given = f"a body of type {media_type[:60]!r}" if media_type else "a body without a Content-Type"
            raise Refusal(415, f"{given} is not taken here; send {taken}")

    def answer(self, media_type: str, body: bytes) -> Answers:
        """Predictions for a body.

        Args:
            media_type: In lower case, without parameters.
            body: What was sent.

        Raises:
            UmbelError: It does not fit the run; names row and column. A `Refusal` says its status, all else is 422.
        """
        self.check_media_type(media_type)
        if len(body) > self.limits.request_bytes:
            raise Refusal(413, f"the body has more than {self.limits.request_bytes / 1e6:g} MB; send it in parts")
        inputs = self._predictor.read(self._rows(media_type, body))
        table = self._predict(inputs)
        columns = self._predictor.columns
        rows = table.to_dict("records")
        return Answers(table, [prediction(self._outputs, columns, row) for row in rows], inputs.notes)

    def _rows(self, media_type: str, body: bytes) -> Any:
        if media_type in PICTURES:
            return [picture_of(body, self.limits.pixels)]
        known, most = self._known, self.limits.rows
        if not isinstance(known, TableDescription):
            rows = request_tables.json_rows(request_tables.json_value(body))
            request_tables.check_count(len(rows), most)
            return request_tables.json_array(rows, known.shape)
        names = [column.name for column in known.inputs]
        if media_type == JSON:
            rows = request_tables.json_rows(request_tables.json_value(body))
            request_tables.check_count(len(rows), most)
            cells = request_tables.json_cells(rows, known.inputs)
        elif media_type == PARQUET:
            cells = request_tables.parquet_cells(body, names, most, 4 * self.limits.request_bytes)
        else:
            cells = request_tables.text_cells(body, TABLES[media_type], most, len(names) + _OTHER_COLUMNS)
        inputs = {name: cells[name] for name in names if name in cells}
        if not inputs:
            raise Refusal(422, f"the request has none of the columns that are inputs ({', '.join(names[:8])})")
        return table_inputs(request_tables.WHERE, inputs, None, known)

    def _predict(self, inputs: Any) -> "pd.DataFrame":
        with self._lock:
            return self._predictor.predict(inputs, self._point)
