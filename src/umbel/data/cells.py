"""The cells of a table as they lie in its file: nothing is a number, a category or a label yet."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from umbel.arguments import plain_name
from umbel.errors import UmbelError

_MIDNIGHT = "00:00:00"


@dataclass(frozen=True)
class Cells:
    """One column of a file.

    Attributes:
        name: As in the header.
        values: [rows]; texts without surrounding blanks (object), or the numbers of a typed file in their own type.
        blank: Bool [rows], where the cell is empty.
        trouble: Why no use can be made of the column, as "lists"; empty otherwise.
        text: Whether the file itself says that these are texts, so that "007" is no number.
        spellings: How else programs write those values that are booleans or times in the file: "True" -> "true",
            "TRUE". Of cells that are text in the file there is none.
    """

    name: str
    values: np.ndarray
    blank: np.ndarray
    trouble: str = ""
    text: bool = False
    spellings: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def typed(self) -> bool:
        """Whether the file itself says that these are numbers."""
        return self.values.dtype != object


def read_cells(path: Path) -> dict[str, Cells]:
    """The columns of a CSV, TSV or Parquet file by name, in the order of the file.

    Args:
        path: CSV, TSV (a header line, UTF-8) or Parquet.

    Raises:
        UmbelError: No such file, not a table, a line with too many or too few cells, or two columns of one name.
    """
    if not path.is_file():
        raise UmbelError(f"{path}: no such file; give the path of a CSV, TSV or Parquet table")
    if path.suffix.lower() in (".parquet", ".pq"):
        return cells_by_name(path, _read_parquet(path))
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_text_cells(path, file, separator)
    except OSError as error:
        raise UmbelError(f"{path}: cannot be read ({error.strerror}); give a file that you may read") from None


def cells_by_name(path: Path, columns: Iterable[Cells]) -> dict[str, Cells]:
    """Columns by their names, in their order.

    Raises:
        UmbelError: There is none, or two have one name.
    """
    by_name: dict[str, Cells] = {}
    for place, cells in enumerate(columns, 1):
        plain_name(cells.name, f"{path}: column {place},")
        if cells.name in by_name:
            raise UmbelError(f"{path}: two columns are called {cells.name!r}; rename one")
        by_name[cells.name] = cells
    if not by_name:
        raise UmbelError(f"{path}: it has no column at all; give a table")
    return by_name


def read_text_cells(path: Path, file: TextIO, separator: str = ",") -> dict[str, Cells]:
    """The columns of an open file of text, as standard input, by name.

    Args:
        path: Its name, for messages.
        file: Its lines, with their ends as they are (newline="").
        separator: Between cells.

    Raises:
        UmbelError: As `read_cells`.
    """
    return cells_by_name(path, _read_text(path, file, separator))


def _read_text(path: Path, file: TextIO, separator: str) -> list[Cells]:
    try:
        rows = list(_rows(path, csv.reader(file, delimiter=separator, strict=True)))
    except (ValueError, OSError) as error:
        raise UmbelError(
            f"{path}: cannot be read as a table of UTF-8 text ({_one_line(error)}); export it as CSV"
        ) from None
    if not rows:
        raise UmbelError(f"{path}: the file is empty; its first line must name the columns")
    names, *rows = rows
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return [text_column(column_name(name, i), list(column)) for i, (name, column) in enumerate(zip(names, columns))]  # noqa: B905


def _rows(path: Path, reader: Any) -> Iterator[list[str]]:
    """The header and every row, all of one length; lines without anything are left out."""
    width = 0
    while True:
        line = reader.line_num + 1  # where this row begins: one with a line break in quotes has several lines
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UmbelError(f"{path}: line {line} cannot be read ({_one_line(error)}); mend its quotes") from None
        if row is None:
            return
        if not row or (width != 1 and len(row) == 1 and not row[0].strip()):
            continue
        if not width:
            width = len(row)
            if width == 1 and ";" in row[0]:
                raise UmbelError(f"{path}: its columns are separated by ';'; export it with commas and decimal points")
        elif len(row) != width:
            raise UmbelError(
                f"{path}: line {line} has {len(row)} cells, the header has {width}; mend the line, and put quotes "
                "round a cell that holds a separator"
            )
        yield row


def column_name(name: str, index: int) -> str:
    """A name without blanks round it; one that is blank is "column 3"."""
    return name.strip() or f"column {index + 1}"


def text_column(name: str, cells: list[str]) -> Cells:
    """A column of texts; those that are blank are empty cells."""
    values = np.array([cell.strip() for cell in cells], dtype=object)
    return Cells(name, values, values == "")


def _read_parquet(path: Path) -> list[Cells]:
    try:
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UmbelError(f'{path}: reading Parquet needs pyarrow; run: pip install "umbel[parquet]"') from None
    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, ValueError) as error:
        raise UmbelError(f"{path}: cannot be read as Parquet ({_one_line(error)})") from None
    return [arrow_column(column_name(str(name), i), table.column(i)) for i, name in enumerate(table.column_names)]


def arrow_column(name: str, column: Any) -> Cells:
    """A column of Arrow's: whole numbers keep every digit, which pandas loses where there are gaps."""
    from pyarrow import types  # noqa: PLC0415

    kind = column.type
    if types.is_dictionary(kind):
        kind = kind.value_type
    blank = np.asarray(column.is_null().to_pylist(), dtype=bool)
    nothing = np.full(len(blank), "", dtype=object)
    if types.is_null(kind):
        return Cells(name, nothing, np.ones(len(blank), dtype=bool))
    if (
        types.is_nested(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
    ):
        return Cells(name, nothing, blank, _readable(kind))
    if column.type != kind:  # categories with codes of their own
        column = column.cast(kind)
    if types.is_integer(kind) or types.is_floating(kind):
        numbers = column.fill_null(0).to_numpy() if blank.any() else column.to_numpy()
        if types.is_floating(kind):
            blank = blank | np.isnan(numbers)
        return Cells(name, numbers, blank)
    cells = column.to_pandas() if types.is_temporal(kind) else column.to_pylist()
    return replace(objects_column(name, list(cells), blank), text=not types.is_decimal(kind))


def objects_column(name: str, cells: Sequence[object], blank: np.ndarray) -> Cells:
    """A column of Python objects as texts.

    Args:
        name: As in the header.
        cells: [rows].
        blank: Bool [rows], where a cell is empty.
    """
    texts: list[str] = []
    spellings: dict[str, Sequence[str]] = {}
    for cell, gap in zip(cells, blank, strict=True):
        texts.append("" if gap else _cell_text(cell))
        if not gap and (others := _spellings(cell)):
            spellings[texts[-1]] = others
    return replace(text_column(name, texts), spellings=spellings)


def _cell_text(cell: object) -> str:
    """A typed cell as text; a decimal without exponent."""
    return format(cell, "f") if type(cell).__name__ == "Decimal" else str(cell)


def _spellings(cell: object) -> Sequence[str]:
    if isinstance(cell, bool | np.bool_):
        return (str(cell).lower(), str(cell).upper())
    if not isinstance(cell, date):
        return ()
    day, _, clock = str(cell).partition(" ")
    clock = clock or _MIDNIGHT
    return (f"{day} {clock}", f"{day}T{clock}", *([day] if clock == _MIDNIGHT else []))


def _readable(kind: object) -> str:
    """Arrow's name of a type, without what is inside it."""
    name = str(kind).split("<", maxsplit=1)[0].split("[", maxsplit=1)[0]
    return {"list": "lists", "large_list": "lists", "fixed_size_list": "lists", "struct": "structs", "map": "maps"}.get(
        name, f"{name} values"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
