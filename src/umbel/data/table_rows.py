"""Rows of a table by a description: what fits, what does not, and what the network gets."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umbel.core import Batch
from umbel.data.cell_values import is_number, names_of, numbers_of, plain_number, texts_of
from umbel.data.cells import Cells, read_cells
from umbel.data.columns import is_missing, out_of_range
from umbel.data.picture_files import check_picture_paths
from umbel.data.table_description import InputColumn, TableDescription, TargetColumn
from umbel.data.table_pictures import load_pictures
from umbel.errors import UmbelError

Values = Mapping[str, np.ndarray]
"""Column -> float64 (NaN is missing) or text (object, None is missing), [rows]."""

_SHOWN = 3


def described_values(
    path: Path, columns: Mapping[str, Cells], description: TableDescription, pictures_anywhere: bool = False
) -> dict[str, np.ndarray]:
    """The described columns of a file, typed as the description says; target columns may be absent.

    Args:
        path: The file, for messages and because paths of pictures are relative to its folder.
        columns: Its columns.
        description: Of the table that was learnt from.
        pictures_anywhere: See `umbel.data.tables.from_table`.

    Raises:
        UmbelError: Columns do not fit: names them, and how; or a picture may not be read.
    """
    values: dict[str, np.ndarray] = {}
    troubles: list[str] = []
    for column in (*description.inputs, *description.targets):
        if column.name in columns:
            typed = _typed(columns[column.name], column, description.missing)
            if isinstance(typed, str):
                troubles.append(f"column {column.name!r} {typed}")
            else:
                values[column.name] = typed
        elif isinstance(column, InputColumn):
            troubles.append(f"there is no column {column.name!r}, which is an input")
    if (image := description.image) is not None:
        if image.name in columns:
            values[image.name] = texts_of(columns[image.name])
        else:
            troubles.append(f"there is no column {image.name!r}, which names the pictures")
    if troubles:
        more = f"; and {len(troubles) - _SHOWN} more" if len(troubles) > _SHOWN else ""
        raise UmbelError(f"{path} does not fit the table that was learnt from: {'; '.join(troubles[:_SHOWN])}{more}")
    if image is not None:
        check_picture_paths(path, values[image.name], pictures_anywhere)
    return values


def _typed(cells: Cells, column: InputColumn | TargetColumn, words: Sequence[str]) -> np.ndarray | str:
    """The values of a column, or what is wrong with it."""
    if cells.trouble:
        return f"holds {cells.trouble}"
    if column.kind in ("number", "regression"):
        numbers = numbers_of(cells, words, styled=True)
        if numbers is None:
            folded = {word.casefold() for word in words}
            wrong = next(
                i
                for i, cell in enumerate(cells.values)
                if cell and cell.casefold() not in folded and not is_number(cell) and plain_number(cell) is None
            )
            return f"holds numbers, but {cells.values[wrong]!r} in row {wrong + 1}"
        return numbers if (trouble := out_of_range(numbers)) is None else f"is {trouble}"
    if isinstance(column, TargetColumn):  # rows that were given to an estimator may have a class "None" or "NA"
        words = [word for word in words if word not in column.classes]
    names = _as_learnt(names_of(cells, words), cells, column)
    if isinstance(column, TargetColumn):
        classes = set(column.classes)
        for row, name in enumerate(names):
            if name is not None and name not in classes:
                return f"holds {name!r} in row {row + 1}, which is none of its classes ({_few(column.classes)})"
    return names


def _as_learnt(names: np.ndarray, cells: Cells, column: InputColumn | TargetColumn) -> np.ndarray:
    """Names with booleans and times spelled as in the table that was learnt from: programs write them differently."""
    known = column.classes if isinstance(column, TargetColumn) else column.categories
    spelled = {
        name: next((other for other in others if other in known), name)
        for name, others in cells.spellings.items()
        if name not in known
    }
    return np.array([spelled.get(name, name) for name in names], dtype=object) if spelled else names


def input_tensor(path: Path, values: Values, description: TableDescription, rows: np.ndarray) -> Tensor:
    """What the network gets for some rows: float32 [n, features], or uint8 [n, 3, H, W].

    Args:
        path: The file, for messages and because paths of pictures are relative to its folder.
        values: Its described columns.
        description: How they become inputs.
        rows: Numbers of the rows.

    Raises:
        UmbelError: A picture is missing or has another size.
    """
    if description.image is not None:
        return row_pictures(path, values, description, rows)
    numbers = [column for column in description.inputs if column.kind == "number"]
    standard = dict(zip([c.name for c in numbers], _standardised(numbers, values, rows), strict=True))
    pieces: list[np.ndarray] = []
    for column in description.inputs:
        pieces += [standard[column.name]] if column.kind == "number" else _one_hot(column, values[column.name][rows])
        pieces += [is_missing(values[column.name][rows])] if column.flagged else []
    return torch.from_numpy(np.stack(pieces, 1, dtype=np.float32, casting="unsafe"))


def _standardised(columns: Sequence[InputColumn], values: Values, rows: np.ndarray) -> np.ndarray:
    """Columns of numbers in standard units, float64 [columns, n]; 0 where one is missing or did not vary."""
    if not columns:
        return np.zeros((0, len(rows)))
    table = np.stack([values[column.name] for column in columns])[:, rows]
    centre, scale = (np.array([[getattr(column, part)] for column in columns]) for part in ("centre", "scale"))
    standard = (table - centre) / np.where(scale, scale, 1.0)
    return np.where(np.isnan(table) | (scale == 0), 0.0, standard)


def _one_hot(column: InputColumn, names: np.ndarray) -> list[np.ndarray]:
    """An input for each category, each bool [n]."""
    return [names == name for name in column.categories]


def row_pictures(path: Path, values: Values, description: TableDescription, rows: np.ndarray) -> Tensor:
    """The pictures of some rows: uint8 [n, 3, H, W].

    Raises:
        UmbelError: One is missing, cannot be read, or has not the size of those that were learnt from.
    """
    image = description.image
    if image is None:
        raise UmbelError(f"{path}: the description names no pictures; its inputs are columns")
    pictures = load_pictures(picture_paths(path, image.name, values[image.name], rows), image.resolution)
    if tuple(pictures.shape[1:]) != image.shape:
        (_, height, width), (_, wanted_height, wanted_width) = pictures.shape[1:], image.shape
        raise UmbelError(
            f"{path} does not fit the table that was learnt from: its pictures are {width}×{height}, those were "
            f"{wanted_width}×{wanted_height}"
        )
    return pictures


def picture_paths(path: Path, name: str, files: np.ndarray, rows: np.ndarray) -> list[Path]:
    """Where the pictures of some rows are.

    Raises:
        UmbelError: A row names none.
    """
    for row in rows:
        if files[row] is None:
            raise UmbelError(f"{path}: image column {name!r} is blank in row {row + 1}")
    return [path.parent / files[row] for row in rows]


def target_tensors(values: Values, description: TableDescription, rows: np.ndarray) -> dict[str, Tensor]:
    """Labels of some rows: float64 [n, 1] in natural units, or int64 [n]; a column that is absent has none.

    Args:
        values: The described columns.
        description: Which are targets, and their classes.
        rows: Numbers of the rows.
    """
    targets: dict[str, Tensor] = {}
    for column in description.targets:
        cells = values.get(column.name)
        if column.kind == "regression":
            numbers = np.full(len(rows), np.nan) if cells is None else cells[rows]
            targets[column.name] = torch.from_numpy(numbers)[:, None]
        else:
            code = {name: i for i, name in enumerate(column.classes)}
            labels = [None] * len(rows) if cells is None else cells[rows]
            targets[column.name] = torch.tensor([code.get(label, -1) for label in labels], dtype=torch.int64)
    return targets


def rows_digest(path: Path, values: Values, columns: Sequence[str], image: str | None, rows: np.ndarray) -> str:
    """SHA-256 of what columns say in some rows, and of the files of their pictures.

    Equal for files of any format that say the same; the order of rows counts, that of the file's columns does not.

    Args:
        path: The file, because paths of pictures are relative to its folder.
        values: The columns.
        columns: Names of the used columns, in the order of the description.
        image: Which of them names pictures; None without.
        rows: Numbers of the rows.
    """
    digest = hashlib.sha256()
    numbers = [name for name in columns if values[name].dtype == np.float64]
    digest.update(json.dumps([list(columns), numbers, len(rows)]).encode())
    if numbers:
        table = np.stack([values[name] for name in numbers])[:, rows]
        plain = np.where(np.isnan(table), np.nan, table + 0.0)  # one NaN, and 0 for -0
        digest.update(plain.astype("<f8").tobytes())
    for name in columns:
        if values[name].dtype != np.float64:
            digest.update(json.dumps(list(values[name][rows])).encode())
    if image is not None:
        for picture in picture_paths(path, image, values[image], rows):
            try:
                digest.update(hashlib.sha256(picture.read_bytes()).digest())
            except OSError as error:
                raise UmbelError(f"{picture}: cannot be read as a picture ({error.strerror})") from None
    return digest.hexdigest()


def new_rows(path: str | Path, description: TableDescription, pictures_anywhere: bool = False) -> Batch:
    """All rows of a file as a network with this description gets them; the file needs no targets.

    What the training rows never showed is treated as the description says: an unknown category is 0 in all its inputs,
    a missing number is the mean.

    Args:
        path: CSV, TSV or Parquet; its columns may come in any order, and others are left out.
        description: Of the table that was learnt from.
        pictures_anywhere: See `umbel.data.tables.from_table`.

    Returns:
        Inputs and, for every target, labels in natural units: missing where the file has no such column.

    Raises:
        UmbelError: The file cannot be read, has no row, or a column does not fit: names it, and how.
    """
    path = Path(path)
    values = described_values(path, read_cells(path), description, pictures_anywhere)
    rows = np.arange(len(next(iter(values.values()))))
    if not len(rows):
        raise UmbelError(f"{path}: it has a header and no row; add rows")
    return Batch(input_tensor(path, values, description, rows), target_tensors(values, description, rows))


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
