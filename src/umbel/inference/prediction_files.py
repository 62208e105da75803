"""Predictions as a file: beside what tells the rows apart, as CSV or Parquet."""

import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from umbel.data.cell_values import texts_of
from umbel.data.cells import Cells
from umbel.errors import UmbelError, unknown
from umbel.inference.new_inputs import FILE, NewInputs
from umbel.spreadsheets import safe_cell

ARRAYS = ".npz"
"""How the name of a file of arrays ends."""
OUT_ENDINGS = (".csv", ".parquet", ARRAYS)
"""How the name of a file of predictions ends."""


def row_names(inputs: NewInputs, predicted: Collection[str], keep: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """What tells the rows of a table of predictions apart: column -> [n].

    Args:
        inputs: What is predicted for.
        predicted: The columns of the predictions.
        keep: Columns of the table to copy as they are; without any, the file names of pictures ("file"), or the number
            of each row from 1 ("row").

    Raises:
        UmbelError: The table has no such column, or a prediction has that name.
    """
    for name in keep:
        if name not in inputs.columns:
            raise unknown("column in --keep", name, inputs.columns)
        if name in predicted:
            raise UmbelError(f"--keep {name}: a column of the predictions has that name; leave it out or rename it")
    if keep:
        return {name: _as_given(inputs.columns[name]) for name in keep}
    named = inputs.index.name == FILE
    first = FILE if named else "row"
    while first in predicted:
        first += "'"
    return {first: inputs.index.to_numpy() if named else np.arange(1, len(inputs) + 1)}


def _as_given(cells: Cells) -> np.ndarray:
    return cells.values if cells.typed and not cells.blank.any() else texts_of(cells)


def check_out(out: Path, data: Path | None, overwrite: bool) -> None:
    """Refuse a place for predictions before anything is computed.

    Args:
        out: Where they are to go.
        data: The table that is read; None for standard input.
        overwrite: Whether a file that is there may go.

    Raises:
        UmbelError: Another kind of file, the table itself, or a file that is there already.
    """
    if out.suffix.lower() not in OUT_ENDINGS:
        raise UmbelError(f"--out {out}: give a name that ends in .csv or .parquet, or in .npz for arrays")
    if out.is_dir():
        raise UmbelError(f"--out {out} is a folder; give the name of a file")
    if not out.exists():
        return
    if data is not None and data.exists() and out.samefile(data):
        raise UmbelError(f"--out {out} is the table that is read; give another name")
    if not overwrite:
        raise UmbelError(f"--out {out} exists already; give another name, or --overwrite")


def table_bytes(table: pd.DataFrame, ending: str = ".csv") -> bytes:
    """A table as CSV (UTF-8, numbers that keep every bit, no formulas) or Parquet.

    Args:
        table: Without its index.
        ending: ".csv" or ".parquet".

    Raises:
        UmbelError: Parquet without pyarrow.
    """
    buffer = io.BytesIO()
    if ending.lower() == ".parquet":
        try:
            table.to_parquet(buffer, index=False)
        except ImportError:
            raise UmbelError('writing Parquet needs pyarrow; run: pip install "umbel[parquet]"') from None
        return buffer.getvalue()
    safe = table.rename(columns=safe_cell)
    for name in safe.columns:
        if not is_numeric_dtype(safe[name]):
            safe[name] = [None if pd.isna(cell) else safe_cell(str(cell)) for cell in safe[name]]
    return safe.to_csv(index=False, lineterminator="\n").encode()


def array_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays by name as an .npz file; of two calls with the same arrays the bytes are the same.

    Args:
        arrays: Name -> array, as `Predictor.predict_arrays` gives them.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            with file.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()
