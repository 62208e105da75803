"""What a user gives to predict for, as a trained network gets it: rows of a table, pictures, or arrays."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from umbel.data import as_float
from umbel.data.cell_values import texts_of
from umbel.data.cells import Cells, read_cells
from umbel.data.columns import is_missing
from umbel.data.frames import frame_cells
from umbel.data.picture_files import PICTURE_ENDINGS
from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import TableDescription
from umbel.data.table_pictures import load_pictures
from umbel.data.table_rows import Values, described_values, input_tensor, target_tensors
from umbel.errors import UmbelError

TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".parquet", ".pq")
"""Which files are taken for tables."""

FILE = "file"
"""Name of the index where it holds the names of pictures in a folder."""
_BYTES = 16.0  # no scaling of pictures to standard units gives values beyond this; bytes as floats do
_NAMED, _LONGEST = 3, 60


@dataclass(frozen=True)
class NewInputs:
    """Checked inputs; pictures are read when their batch is asked for.

    Attributes:
        index: Of the predictions, [n]: that of a DataFrame, the names of pictures in a folder, else 0, 1, 2, ...
        read: Numbers of rows, int64 [m] -> what the network gets for them, float32 [m, ...].
        targets: Labels by task, where they were asked for.
        columns: The cells as they were given, for those who want some of them beside the predictions.
        notes: What the user should know of the rows, a sentence each.
    """

    index: pd.Index
    read: Callable[[np.ndarray], Tensor]
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    columns: Mapping[str, Cells] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.index)


def new_inputs(
    rows: Any, known: TableDescription | PlainInputs, pictures_anywhere: bool = False, labels: bool = False
) -> NewInputs:
    """Rows of any kind that `Predictor.predict` takes, checked.

    Args:
        rows: A DataFrame, a list of dicts or a table's path; a folder, paths or pictures; an array or tensor.
        known: What the network learnt from.
        pictures_anywhere: Whether a table may name pictures outside its folder.
        labels: Whether columns of targets are read, and must then fit.

    Raises:
        UmbelError: They do not fit it: names the row and column, or the shape.
    """
    pictures = known.image is not None if isinstance(known, TableDescription) else known.pictures
    if isinstance(rows, str | Path) and Path(rows).suffix.lower() not in (*TABLE_ENDINGS, ".npy"):
        if not pictures:
            raise UmbelError(f"{rows}: the run learnt from {_wanted(known)}; give those")
        return _picture_files(*_listed(Path(rows)), known)
    if isinstance(rows, str | Path) and Path(rows).suffix.lower() == ".npy":
        rows = _array_of(Path(rows))
    if isinstance(rows, np.ndarray | Tensor):
        return _arrays(rows, known)
    if isinstance(rows, list | tuple) and rows and all(isinstance(one, str | Path | Image.Image) for one in rows):
        if not pictures:
            raise UmbelError(f"pictures were given, but the run learnt from {_wanted(known)}; give those")
        files = [Path(one) if isinstance(one, str) else one for one in rows]
        return _picture_files(files, pd.RangeIndex(len(files)), (), known)
    if isinstance(known, PlainInputs):
        raise UmbelError(f"{_given(rows)}: the run learnt from {_wanted(known)}; give those")
    name, cells, index = _cells(rows)
    return table_inputs(name, cells, index, known, pictures_anywhere, labels)


def _given(rows: Any) -> str:
    return str(rows) if isinstance(rows, str | Path) else f"a {type(rows).__name__} was given"


def _wanted(known: TableDescription | PlainInputs) -> str:
    if isinstance(known, TableDescription):
        if known.image is not None:
            return "pictures: a table that names them, a folder, a list of paths, or an array"
        return "a table: a DataFrame, a list of dicts, or the path of a CSV, TSV or Parquet file"
    what = "pictures" if known.pictures else "arrays"
    more = "; a folder, a list of paths, or an array" if known.pictures else " (an array, or the path of an .npy file)"
    return f"{what} of shape {tuple(known.shape)}{more}"


def _cells(rows: Any) -> tuple[Path, Mapping[str, Cells], pd.Index | None]:
    if isinstance(rows, str | Path):
        return Path(rows), read_cells(Path(rows)), None
    if isinstance(rows, pd.DataFrame):
        return Path("the DataFrame"), frame_cells(rows, Path("the DataFrame")), rows.index
    if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
        name = Path("the list of rows")
        if not rows:
            raise UmbelError(f"{name} is empty; give at least one row")
        return name, frame_cells(pd.DataFrame(list(rows), dtype=object), name), None
    raise UmbelError(
        f"a {type(rows).__name__} is no table; give a DataFrame, a list of dicts, or the path of a CSV, TSV or Parquet "
        "file"
    )


def table_inputs(
    name: Path,
    cells: Mapping[str, Cells],
    index: pd.Index | None,
    known: TableDescription,
    pictures_anywhere: bool = False,
    labels: bool = False,
) -> NewInputs:
    """Rows of a table.

    Args:
        name: The file, for messages and because paths of pictures are relative to its folder.
        cells: Its columns.
        index: Of the predictions; None counts from 0.
        known: The table that was learnt from.
        pictures_anywhere: Whether pictures may lie outside the table's folder.
        labels: Whether columns of targets are read, and must then fit.

    Raises:
        UmbelError: There is no row, or a column or cell does not fit: names it, and how.
    """
    count = len(next(iter(cells.values())).values)
    if not count:
        raise UmbelError(f"{name}: it has a header and no row; add rows")
    if known.image is not None and known.image.name in cells:
        _check_named(name, known.image.name, texts_of(cells[known.image.name]))
    known = known if labels else replace(known, targets=())
    values = described_values(name, cells, known, pictures_anywhere)
    return NewInputs(
        pd.RangeIndex(count) if index is None else index,
        lambda some: as_float(input_tensor(name, values, known, some)),
        target_tensors(values, known, np.arange(count)),
        cells,
        tuple(_unseen(values, known)),
    )


def _check_named(name: Path, column: str, files: np.ndarray) -> None:
    for row, file in enumerate(files):
        if file is None:
            raise UmbelError(f"{name}: image column {column!r} is blank in row {row + 1}")
        if not os.path.isfile(name.parent / file):
            raise UmbelError(
                f"{name}: there is no picture {file[:_LONGEST]!r} (column {column!r}, row {row + 1}); paths are "
                "relative to the table's folder"
            )


def _unseen(values: Values, known: TableDescription) -> list[str]:
    """A sentence for each column with cells that no training row had."""
    said = []
    for column in known.inputs:
        cells = values[column.name]
        gap = is_missing(cells)
        if gap.any() and not column.flagged:
            taken = "the training rows' mean" if column.kind == "number" else "no category at all"
            said.append(f"{_cells_of(int(gap.sum()), column.name)} blank, as in no training row; taken as {taken}")
        if column.kind == "category":
            new = Counter(cells[~gap].tolist())
            for category in column.categories:
                new.pop(category, None)
            if new:
                shown = ", ".join(repr(one) for one, _ in new.most_common(_NAMED)) + (
                    ", ..." if len(new) > _NAMED else ""
                )
                said.append(
                    f"{_cells_of(new.total(), column.name)} of a category that no training row had ({shown}); taken as "
                    "none of the known ones"
                )
    return said


def _cells_of(count: int, column: str) -> str:
    return f"column {column!r}: {count} cell{'' if count == 1 else 's'} {'is' if count == 1 else 'are'}"


def _listed(folder: Path) -> tuple[list[Path], pd.Index, tuple[str, ...]]:
    """The pictures of a folder in the order of their names, or the one picture that a path names."""
    if folder.is_file():
        return [folder], pd.Index([folder.name], name=FILE), ()
    if not folder.is_dir():
        raise UmbelError(f"{folder}: no such file or folder; give a table, a folder of pictures or a picture")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    pictures = [path for path in files if path.suffix.lower() in PICTURE_ENDINGS]
    if not pictures:
        raise UmbelError(f"{folder}: no picture is in it; their names end in {', '.join(PICTURE_ENDINGS)}")
    others = len(files) - len(pictures)
    left = (f"{folder}: {others} file{'s' if others > 1 else ''} in it left out, being no pictures",) if others else ()
    return pictures, pd.Index([path.name for path in pictures], name=FILE), left


def _picture_files(
    files: Sequence[Path | Image.Image],
    index: pd.Index,
    notes: tuple[str, ...],
    known: TableDescription | PlainInputs,
) -> NewInputs:
    for file in files:
        if isinstance(file, Path) and not file.is_file():
            raise UmbelError(f"{file}: no such picture; give the path of a file")
    resolution = known.image.resolution if isinstance(known, TableDescription) and known.image else None
    channels, height, width = known.input_shape

    def read(some: np.ndarray) -> Tensor:
        pictures = load_pictures([files[row] for row in some], resolution, "L" if channels == 1 else "RGB")
        if pictures.shape[2:] != (height, width):
            first = files[some[0]] if isinstance(files[some[0]], Path) else f"picture {some[0] + 1}"
            raise UmbelError(
                f"{first} is {pictures.shape[3]}×{pictures.shape[2]}, the network was trained on {width}×{height}; "
                "resize it"
            )
        return as_float(pictures)

    return NewInputs(index, read, notes=notes)


def _array_of(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise UmbelError(f"{path}: cannot be read as an array ({' '.join(str(error).split())})") from None


def _arrays(given: np.ndarray | Tensor, known: TableDescription | PlainInputs) -> NewInputs:
    """An array [n, ...] of samples as the network gets them, or of pictures as bytes."""
    if isinstance(known, TableDescription) and known.image is None:
        raise UmbelError(f"an array has no columns, and the run learnt from {_wanted(known)}; give those")
    array = given.detach().cpu() if isinstance(given, Tensor) else torch.from_numpy(_plain(given))
    shape = tuple(known.input_shape)
    if array.ndim != len(shape) + 1 or tuple(array.shape[1:]) != shape or not len(array):
        raise UmbelError(
            f"the array has shape {tuple(array.shape)}; give ({', '.join(['n', *map(str, shape)])}), a sample in each "
            "of its n rows"
        )
    array = array if array.dtype == torch.uint8 else array.float()
    if array.is_floating_point():
        odd = (~array.isfinite()).reshape(len(array), -1).any(1)
        if bool(odd.any()):
            raise UmbelError(f"sample {int(odd.nonzero()[0]) + 1} of the array holds NaN or infinity; fill it first")
        pictures = isinstance(known, TableDescription) or known.pictures
        if pictures and float(array.max()) > _BYTES:
            raise UmbelError(
                f"the array of pictures holds {float(array.max()):g}; give bytes (uint8), or floats from 0 to 1"
            )
    return NewInputs(pd.RangeIndex(len(array)), lambda some: as_float(array[torch.from_numpy(some)]))


def _plain(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise UmbelError(f"the array is of type {array.dtype}; give numbers")
    return array if array.dtype == np.uint8 else np.ascontiguousarray(array, dtype=np.float32)
