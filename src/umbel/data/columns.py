"""Tables as they lie on disk: read as text, typed column by column, and shown before anything is learnt from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from umbel.errors import UmbelError, unknown

CATEGORY_LIMIT = 100
"""Most categories that an input column may have."""
CLASS_LIMIT = 20
"""A target of whole numbers with more distinct values than this is a regression."""
FEWEST_ROWS = 20

_LARGEST = 1e30  # beyond this, squares of standardised float32 values overflow
_GAPS = frozenset({"na", "n/a", "nan", "null", "none", "#n/a", "?"})  # what marks a gap in a column of numbers
_KINDS = {
    "number": "number",
    "regression": "number",
    "category": "category",
    "classification": "category",
}


@dataclass(frozen=True)
class Column:
    """What a column is taken for.

    Attributes:
        name: As in the header.
        role: "input", "target", "split" or "ignored".
        kind: "number" (a target is then a regression), "category" (a classification), "image" or "text".
        distinct: Number of distinct values, blanks not counted.
        missing: Number of blank cells.
        note: Why it is ignored; empty otherwise.
    """

    name: str
    role: str
    kind: str
    distinct: int
    missing: int
    note: str = ""


@dataclass(frozen=True)
class Roles:
    """What the user said about the columns of a table."""

    targets: Sequence[str] = ()
    image_column: str | None = None
    kinds: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    split_column: str | None = None
    ignore: Sequence[str] = ()


def describe_columns(
    path: str | Path,
    targets: Sequence[str] = (),
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    split_column: str | None = None,
    ignore: Sequence[str] = (),
) -> tuple[Column, ...]:
    """What each column of a table would be taken for by `umbel.data.tables.from_table`, whose arguments these are.

    Raises:
        UmbelError: As `from_table`, for everything that can be seen before the rows are split.
    """
    roles = Roles(tuple(targets), image_column, dict(kinds or {}), split_column, tuple(ignore))
    return typed_table(path, roles)[1]


def typed_table(path: str | Path, roles: Roles) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """A table with numbers as float64 (NaN is a blank) and everything else as text (None is a blank), and its columns.

    Raises:
        UmbelError: The file cannot be read, or `roles` does not fit it.
    """
    path = Path(path)
    frame = read_table(path)
    check_roles(path, list(frame.columns), roles)
    for name in frame.columns:
        frame[name] = _as_kind(path, frame[name], roles)
    return frame, tuple(_column(path, frame[name], roles) for name in frame.columns)


def read_table(path: Path) -> pd.DataFrame:
    """The cells of a CSV, TSV or Parquet file: float64 columns, or text columns with None for a blank.

    In a text file a column is one of numbers when every cell that is not blank is a number or a usual mark for a gap
    ("NA", "nan", "null", "?"). In any other column only an empty cell is a blank. Parquet files say their types.

    Raises:
        UmbelError: No such file, not a table, too few rows, or two columns of one name.
    """
    if not path.is_file():
        raise UmbelError(f"{path}: no such file; give the path of a CSV, TSV or Parquet table")
    names, columns = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_text(path)
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(names)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UmbelError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    rows = len(columns[0]) if columns else 0
    if rows < FEWEST_ROWS:
        raise UmbelError(f"{path}: {rows} rows; training, validation and test together need at least {FEWEST_ROWS}")
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def _read_text(path: Path) -> tuple[list[str], list[pd.Series]]:
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        cells = pd.read_csv(path, sep=separator, header=None, dtype=object, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise UmbelError(f"{path}: the file is empty; its first line must name the columns") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UmbelError(f"{path}: cannot be read as a table of UTF-8 text ({reason}); export it as CSV") from None
    names = [str(name) for name in cells.iloc[0]]
    if len(names) == 1 and ";" in names[0]:
        raise UmbelError(f"{path}: its columns are separated by ';'; export it with commas and decimal points")
    columns = [_text(cells.iloc[1:, i]) for i in range(len(names))]
    numbers = [_numbers(column) for column in columns]
    return names, [c if n is None else n for c, n in zip(columns, numbers, strict=True)]


def _read_parquet(path: Path) -> tuple[list[str], list[pd.Series]]:
    try:
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UmbelError(f'{path}: reading Parquet needs pyarrow; run: pip install "umbel[parquet]"') from None
    try:
        cells = parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UmbelError(f"{path}: cannot be read as Parquet ({reason})") from None
    return [str(name) for name in cells.columns], [_plain(cells.iloc[:, i]) for i in range(cells.shape[1])]


def _plain(cells: pd.Series) -> pd.Series:
    """A typed column as float64 if it holds numbers, otherwise as text."""
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        return cells.astype("float64")
    present = cells.dropna()  # objects: decimals, whole numbers with gaps, text, dates
    if len(present) == 0:
        return pd.Series(np.full(len(cells), np.nan))
    if all(isinstance(cell, Number) and not isinstance(cell, bool | np.bool_) for cell in present):
        return cells.astype("float64")
    return _text(cells)


def _text(cells: pd.Series) -> pd.Series:
    """Every cell as text without surrounding blanks; None for an empty one."""
    gaps = [pd.api.types.is_scalar(cell) and pd.isna(cell) for cell in cells]
    text = ["" if gap else str(cell).strip() for cell, gap in zip(cells, gaps, strict=True)]
    return pd.Series([cell or None for cell in text], dtype=object)


def _numbers(text: pd.Series) -> pd.Series | None:
    """Text as float64, or None when a cell is neither a number nor a mark for a gap."""
    gap = text.isna() | text.str.lower().isin(_GAPS)
    values = pd.to_numeric(text.where(~gap), errors="coerce").astype("float64")
    return None if (values.isna() & ~gap).any() or (gap.all() and text.notna().any()) else values


def number_text(value: float) -> str:
    """A number as the name of a category: whole numbers without a point."""
    return str(int(value)) if value.is_integer() else repr(float(value))


def check_roles(path: Path, names: Sequence[str], roles: Roles) -> None:
    """Refuse roles that do not fit the columns.

    Raises:
        UmbelError: An unknown column or kind, or a column with two roles.
    """
    asked = {
        "target column": list(roles.targets),
        "image column": [roles.image_column] if roles.image_column is not None else [],
        "split column": [roles.split_column] if roles.split_column is not None else [],
        "column to ignore": list(roles.ignore),
        "column in `kinds`": list(roles.kinds),
    }
    taken: dict[str, str] = {}
    for what, columns in asked.items():
        for name in columns:
            if name not in names:
                raise UmbelError(f"{path}: {unknown(what, name, names)}")
            if name in taken and what != "column in `kinds`":
                raise UmbelError(f"{path}: column {name!r} is given as {taken[name]} and as {what}; choose one")
            taken.setdefault(name, what)
    for name, kind in roles.kinds.items():
        if kind not in _KINDS:
            raise UmbelError(f"{path}: column {name!r}: {unknown('kind', kind, _KINDS)}")
        if taken[name] in ("image column", "split column"):
            raise UmbelError(f"{path}: column {name!r} is the {taken[name]}; it takes no kind")


def _as_kind(path: Path, cells: pd.Series, roles: Roles) -> pd.Series:
    """A column with the type that its kind asks for: float64 or text."""
    name, is_number = str(cells.name), cells.dtype == np.float64
    kind = _KINDS.get(roles.kinds.get(name, ""))
    if kind is None and name in roles.targets and is_number:
        present = cells.dropna()
        kind = "category" if _few_whole_numbers(present) else "number"
    if name in (roles.image_column, roles.split_column):
        kind = "category"
    if kind == "category" and is_number:
        return pd.Series([None if np.isnan(v) else number_text(v) for v in cells], dtype=object)
    if kind == "number" and not is_number:
        if (numbers := _numbers(cells)) is None:
            wrong = next(c for c in cells.dropna() if c.lower() not in _GAPS and _numbers(pd.Series([c])) is None)
            raise UmbelError(f"{path}: column {name!r} cannot be of kind number: it holds {wrong!r}")
        return numbers
    return cells


def _few_whole_numbers(present: pd.Series) -> bool:
    distinct = present.unique()
    whole = bool(np.isfinite(distinct).all() and (distinct == np.round(distinct)).all())
    return whole and len(distinct) <= min(CLASS_LIMIT, len(present) // 2)


def _column(path: Path, cells: pd.Series, roles: Roles) -> Column:
    """Role and kind of a column, and what is wrong with it."""
    name, rows, missing = str(cells.name), len(cells), int(cells.isna().sum())
    distinct = int(cells.nunique())
    kind = "number" if cells.dtype == np.float64 else "category"
    if name in roles.targets:
        _check_target(path, name, kind, distinct, rows - missing)
        _check_range(path, cells)
        return Column(name, "target", kind, distinct, missing)
    if name == roles.split_column:
        return Column(name, "split", kind, distinct, missing)
    if name == roles.image_column:
        return Column(name, "input", "image", distinct, missing)
    if kind == "category" and distinct == rows - missing and name not in roles.kinds:
        kind = "text"
    if why := _why_ignored(name, kind, distinct, missing, roles):
        return Column(name, "ignored", kind, distinct, missing, why)
    if kind == "category" and distinct > CATEGORY_LIMIT:
        raise UmbelError(
            f"{path}: column {name!r} has {distinct} categories, at most {CATEGORY_LIMIT} can be used; ignore it"
        )
    _check_range(path, cells)
    return Column(name, "input", kind, distinct, missing)


def _why_ignored(name: str, kind: str, distinct: int, missing: int, roles: Roles) -> str:
    if name in roles.ignore:
        return "as asked"
    if roles.image_column is not None:
        return "the picture is the input"
    if distinct == 0:
        return "empty"
    if kind == "text":
        return "text that differs in every row"
    if distinct == 1 and not missing:
        return "the same in every row"
    return "an index written by pandas" if name.startswith("__index_level_") else ""


def _check_target(path: Path, name: str, kind: str, distinct: int, labelled: int) -> None:
    what = f"{path}: target column {name!r}"
    if not labelled:
        raise UmbelError(f"{what} has no label at all; drop the target or fill in labels")
    if distinct == 1:
        raise UmbelError(f"{what} has only one {'value' if kind == 'number' else 'class'}; there is nothing to learn")
    if kind == "category" and distinct > labelled // 2:
        raise UmbelError(f"{what} is text with {distinct} different values in {labelled} rows; it cannot be learnt")


def _check_range(path: Path, cells: pd.Series) -> None:
    if cells.dtype != np.float64 or not (large := (cells.abs() > _LARGEST).to_numpy()).any():
        return
    value = "infinite" if np.isinf(cells.iloc[int(large.argmax())]) else "too large"
    raise UmbelError(f"{path}: column {cells.name!r} is {value} in row {int(large.argmax()) + 1}; leave the cell blank")
