"""What a description takes from the training rows: means, scales, categories; and classes from all rows."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from umbel.data.cell_values import distinct_numbers, is_number
from umbel.data.columns import Column, is_missing
from umbel.data.table_description import InputColumn, TargetColumn
from umbel.data.table_rows import Values
from umbel.data.table_splits import Rows
from umbel.errors import UmbelError

_NOISE = 4e-15  # spread over mean below which numbers in double precision differ by rounding alone


def target_column(path: Path, name: str, values: np.ndarray, rows: Rows) -> TargetColumn:
    """Scales or classes of a target.

    Args:
        path: The file, for messages.
        name: The column.
        values: What it says, [rows].
        rows: Which rows are where.

    Raises:
        UmbelError: A split has no label, the training rows have one only, or they cannot be told apart.
    """
    what, present = f"{path}: target column {name!r}", ~is_missing(values)
    for split, index in rows.items():
        if not present[index].any():
            raise UmbelError(f"{what} has no label in the {split} rows; split the rows otherwise, or add labels")
    train = rows["train"]
    known = values[train][present[train]]
    if len(set(known)) == 1:
        raise UmbelError(
            f"{what} is {known[0]} in every training row that has a label; split the rows otherwise, or add labels"
        )
    if values.dtype == np.float64:
        centre, scale = float(known.mean()), float(known.std())
        _check_precision(what, known, centre, scale)
        return TargetColumn(name, "regression", centre, scale)
    return TargetColumn(name, "classification", classes=_sorted_names(values[present]))


def _sorted_names(names: np.ndarray) -> tuple[str, ...]:
    """Distinct values: in numerical order where all are numbers, otherwise in alphabetical order."""
    distinct = sorted(set(names))
    return tuple(sorted(distinct, key=Decimal) if all(map(is_number, distinct)) else distinct)


def input_columns(path: Path, columns: Sequence[Column], values: Values, rows: Rows) -> tuple[InputColumn, ...]:
    """The input columns, with what they depend on taken from the training rows.

    Args:
        path: The file, for messages.
        columns: What each column was taken for.
        values: What they say.
        rows: Which rows are where.

    Raises:
        UmbelError: No input is left, or numbers cannot be told apart.
    """
    used = [column.name for column in columns if column.role == "input"]
    if not used:
        ignored = ", ".join(f"{c.name!r} ({c.note})" for c in columns if c.role == "ignored") or "none"
        raise UmbelError(f"{path}: no input column is left beside the targets; ignored: {ignored}")
    return tuple(_input(path, name, values[name][rows["train"]]) for name in used)


def _input(path: Path, name: str, train: np.ndarray) -> InputColumn:
    gap = is_missing(train)
    seen, flagged = train[~gap], bool(gap.any())
    if train.dtype != np.float64:
        return InputColumn(name, "category", flagged, categories=_sorted_names(seen))
    if not len(seen) or seen.min() == seen.max():  # it does not vary in training and has taught nothing: it stays 0
        return InputColumn(name, "number", flagged, centre=float(seen[0]) if len(seen) else 0.0)
    centre, scale = float(seen.mean()), float(seen.std())
    _check_precision(f"{path}: column {name!r}", seen, centre, scale)
    return InputColumn(name, "number", flagged, centre, scale)


def _check_precision(what: str, seen: np.ndarray, centre: float, scale: float) -> None:
    """Refuse numbers whose differences are lost where the network sees them: standardised, in single precision."""
    remedy = "subtract an offset, leave outliers blank, take logarithms, make it a category or ignore it"
    if scale <= _NOISE * abs(centre):
        raise UmbelError(f"{what} varies by rounding errors only ({centre:.17g} ± {scale:.1g}); {remedy}")
    distinct, left = distinct_numbers(seen), distinct_numbers(((seen - centre) / scale).astype(np.float32))
    if left < 2 or 2 * left < distinct:
        raise UmbelError(
            f"{what} has {distinct} different values from {seen.min():.9g} to {seen.max():.9g}, of which single "
            f"precision can tell only {left} apart; {remedy}"
        )
