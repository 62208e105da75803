"""A pandas DataFrame as the cells of a file that says the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api import types

from umbel.data.cells import Cells, arrow_column, cells_by_name, column_name, objects_column

_INSIDE = (list, tuple, dict, set, bytes, bytearray, complex, np.ndarray)


def frame_cells(frame: pd.DataFrame, name: Path) -> dict[str, Cells]:
    """The columns of a DataFrame by name, as `read_cells` gives them of a Parquet file of it.

    Numbers keep their type and every digit, all else becomes text; None, NaN, NA and NaT are empty cells. A column of
    Python objects is text whatever it holds, so whole numbers beside gaps keep their digits.

    Args:
        frame: Of any index, which is not looked at.
        name: What messages call it.

    Raises:
        UmbelError: No column at all, or two of one name.
    """
    names = [column_name(str(label), place) for place, label in enumerate(frame.columns)]
    return cells_by_name(name, [_column(each, frame.iloc[:, place]) for place, each in enumerate(names)])


def _column(name: str, series: pd.Series) -> Cells:
    blank = series.isna().to_numpy(dtype=bool)
    kind = series.dtype
    if isinstance(kind, pd.ArrowDtype):
        import pyarrow  # noqa: PLC0415

        return arrow_column(name, pyarrow.chunked_array([pyarrow.array(series.array)]))
    if types.is_complex_dtype(kind):
        return Cells(name, np.full(len(series), "", dtype=object), blank, "complex values")
    if types.is_numeric_dtype(kind) and not types.is_bool_dtype(kind):
        own = np.asarray(series if not blank.any() else series.fillna(0))
        if own.dtype == object:  # pandas' own numbers with gaps
            own = own.astype(kind.numpy_dtype)
        return Cells(name, own, blank)
    cells = series.astype(object).tolist()
    present = [cell for cell, gap in zip(cells, blank, strict=True) if not gap]
    inside = sorted({type(cell).__name__ for cell in present if isinstance(cell, _INSIDE)})
    if inside:
        return Cells(name, np.full(len(series), "", dtype=object), blank, f"{inside[0]} values")
    return replace(objects_column(name, cells, blank), text=any(isinstance(cell, str) for cell in present))
