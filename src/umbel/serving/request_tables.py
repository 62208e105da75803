"""Rows of a table from the body of a request: JSON, CSV or Parquet."""

import contextlib
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from umbel.data.cells import Cells, arrow_column, cells_by_name, read_text_cells
from umbel.data.frames import frame_cells
from umbel.data.table_description import InputColumn
from umbel.errors import shown
from umbel.serving.refusal import Refusal

WHERE = Path("the request")
"""What messages call the table."""


def json_value(body: bytes) -> Any:
    """The value that a body of JSON holds.

    Raises:
        Refusal: It is no JSON.
    """

    def no_number(word: str) -> float:
        raise Refusal(422, f"the request holds {word}, which is no JSON; give null for a number that is missing")

    def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise Refusal(422, f"an object of the request names {shown(name)} twice; which value counts cannot be told")
        return value

    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=no_number, object_pairs_hook=without_doubles)
    except UnicodeDecodeError:
        raise Refusal(422, "the request is no UTF-8 text; send JSON in UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = f"{error}" if isinstance(error, json.JSONDecodeError) else "nested too deeply, or with endless numbers"
        raise Refusal(422, f"the request is no JSON ({reason})") from None


def json_rows(value: Any) -> list[Any]:
    """The rows that a JSON value stands for: {"rows": [...]}, or one row.

    Raises:
        Refusal: It is neither, or there is no row.
    """
    if not isinstance(value, dict):
        raise Refusal(422, f'the request is {_kind(value)}; send {{"rows": [...]}}, or one row as an object')
    rows = value["rows"] if value.keys() == {"rows"} and isinstance(value["rows"], list) else [value]
    if not rows:
        raise Refusal(422, "the request has no row; send at least one")
    return rows


def json_cells(rows: Sequence[Any], columns: Sequence[InputColumn]) -> Mapping[str, Cells]:
    """The input columns of rows given as objects; null is a blank cell.

    Args:
        rows: Of `json_rows`.
        columns: The inputs. A row must name each; what else it names is not looked at.

    Raises:
        Refusal: A row or a cell is of the wrong kind, or a column is not named: names row and column.
    """
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise Refusal(422, f"row {number} of the request is {_kind(row)}; give an object, a value for each column")
    cells = {column.name: [_cell(row, number, column) for number, row in enumerate(rows, 1)] for column in columns}
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in cells.items()})
    return frame_cells(frame, WHERE)


def _cell(row: Mapping[str, Any], number: int, column: InputColumn) -> Any:
    if column.name not in row:
        raise Refusal(422, f"row {number} of the request has no {column.name!r}; give null where it is not known")
    value = row[column.name]
    if isinstance(value, list | dict):
        raise Refusal(422, f"row {number}, column {column.name!r} of the request is {_kind(value)}; give one value")
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(422, f"row {number}, column {column.name!r} of the request is too large a number")
    return value


def json_array(rows: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    """Samples as nested lists of numbers: float32 [n, ...].

    Raises:
        Refusal: Lists of unequal length, or something that is no number.
    """
    wanted = f"give each row as nested lists of numbers of shape {tuple(shape)}"
    try:
        array = np.array(rows)
    except (ValueError, OverflowError):
        raise Refusal(422, f"the rows of the request have lists of different length; {wanted}") from None
    if array.dtype.kind not in "iuf":
        raise Refusal(422, f"the rows of the request hold something that is no number; {wanted}")
    if array.shape[1:] != tuple(shape):
        raise Refusal(422, f"the rows of the request have shape {array.shape[1:]}; {wanted}")
    largest = np.finfo(np.float32).max
    if not (np.abs(array.astype(np.float64)) <= largest).all():
        raise Refusal(422, f"the rows of the request hold a number beyond {largest:.0e}; give smaller ones")
    return array.astype(np.float32)


def text_cells(body: bytes, separator: str, most_rows: int, most_columns: int) -> Mapping[str, Cells]:
    """The columns of a CSV or TSV body.

    Raises:
        UmbelError: It cannot be read; names the line.
        Refusal: It is no UTF-8 text, or has too many rows or columns.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal(422, "the request is no UTF-8 text; export the table as CSV in UTF-8") from None
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    with contextlib.suppress(csv.Error):  # told, with its line, when it is read below
        if len(next(rows, [])) > most_columns:
            raise Refusal(413, f"the request has more than {most_columns:,} columns; send those that are inputs")
        check_count(sum(1 for _ in islice(rows, most_rows + 1)), most_rows)  # a short line needs much memory once read
    return read_text_cells(WHERE, io.StringIO(text, newline=""), separator)


def parquet_cells(body: bytes, names: Sequence[str], most_rows: int, most_bytes: int) -> Mapping[str, Cells]:
    """The columns with these names of a Parquet body; what it says of its size is checked before it is unpacked.

    Raises:
        UmbelError: Columns of one name.
        Refusal: Parquet cannot be read here, the body is none, or it is too large.
    """
    try:
        from pyarrow import ArrowException  # noqa: PLC0415
    except ImportError:
        raise Refusal(415, "this server cannot read Parquet, for it has no pyarrow; send CSV") from None
    try:
        table = _arrow_table(body, names, most_rows)
        if sum(map(_text_bytes, table.columns)) > most_bytes:
            raise Refusal(413, f"the texts of the table need more than {most_bytes / 1e6:g} MB; send fewer rows")
        columns = [arrow_column(name.strip(), table.column(i)) for i, name in enumerate(table.column_names)]
    except (ArrowException, OSError, ValueError, KeyError) as error:
        raise Refusal(422, f"the request cannot be read as Parquet ({' '.join(str(error).split())})") from None
    return cells_by_name(WHERE, columns) if columns else {}


def _arrow_table(body: bytes, names: Sequence[str], most_rows: int) -> Any:
    """The columns with these names as Arrow has them, texts once each with numbers for the cells."""
    from pyarrow import parquet  # noqa: PLC0415

    file = parquet.ParquetFile(io.BytesIO(body))
    check_count(file.metadata.num_rows, most_rows)
    schema = file.schema_arrow
    columns = [name for name in schema.names if name.strip() in names]
    texts = [name for name in columns if str(schema.field(schema.names.index(name)).type) in ("string", "large_string")]
    table = parquet.ParquetFile(io.BytesIO(body), read_dictionary=texts).read(columns)
    table.validate(full=True)  # a damaged file may have numbers beyond its texts
    return table


def _text_bytes(column: Any) -> int:
    """Bytes that a column of texts needs once every cell has its own: a small file can name one long text often."""
    from pyarrow import compute, types  # noqa: PLC0415

    if not types.is_dictionary(column.type) or not len(column):
        return 0
    chunks = column.chunks
    sizes = [compute.sum(compute.take(compute.binary_length(c.dictionary), c.indices)).as_py() or 0 for c in chunks]
    return sum(sizes)


def check_count(rows: int, most: int) -> None:
    """Refuse more rows than are answered at once.

    Raises:
        Refusal: There are more.
    """
    if rows > most:
        raise Refusal(413, f"the request has more than {most:,} rows; send them in parts")


def _kind(value: Any) -> str:
    """A JSON value in words: itself where it is short."""
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "null" if value is None else shown(value)
