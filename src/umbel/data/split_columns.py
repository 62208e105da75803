"""What a rule needs to know of its columns: groups, classes to keep in proportion, and times."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from umbel.data.cell_values import CLASS_LIMIT, distinct_numbers, names_of, numbers_of
from umbel.data.cells import Cells
from umbel.errors import UmbelError

BINS = 10
"""Parts of the range of a column with more than `CLASS_LIMIT` numbers, of about as many rows each."""
_ROWS = 10  # that a part of the range has at least, where there are several
_EPOCH = datetime(1970, 1, 1)
_MONTH = re.compile(r"\d{4}-\d{2}")


def group_numbers(cells: Cells, words: Collection[str]) -> np.ndarray:
    """The group of each row, int64 [rows], from 0 in alphabetical order; every blank cell is a group of its own."""
    names = names_of(cells, words)
    blank = np.array([name is None for name in names], dtype=bool)
    numbers = np.zeros(len(names), dtype=np.int64)
    distinct, numbers[~blank] = np.unique(names[~blank].astype(str), return_inverse=True)
    numbers[blank] = len(distinct) + np.arange(blank.sum())
    return numbers


def class_numbers(cells: Cells, words: Collection[str], category: bool) -> np.ndarray:
    """The class of each row to be kept in proportion, int64 [rows], from 0; blank cells are a class of their own.

    Args:
        cells: The column.
        words: What marks a missing value.
        category: Whether its values are names, even if they look like numbers.
    """
    numbers = None if category or cells.text else numbers_of(cells, words, styled=True)
    if numbers is None:
        names = names_of(cells, words)
        keys = np.array([f"={name}" if name is not None else "" for name in names])
    elif distinct_numbers(known := numbers[~np.isnan(numbers)]) <= min(CLASS_LIMIT, len(known) // 3):
        keys = numbers
    else:
        bins = max(1, min(BINS, len(known) // _ROWS))
        edges = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
        keys = np.where(np.isnan(numbers), np.nan, np.searchsorted(edges, numbers))
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def time_values(cells: Cells, words: Collection[str]) -> np.ndarray | None:
    """The time of each row: float64 or int64 (microseconds) [rows]; None where a cell is neither number nor date.

    Args:
        cells: The column; no cell is blank.
        words: What marks a missing value.
    """
    if (numbers := numbers_of(cells, words)) is not None:
        return numbers
    times = [moment(cell) for cell in cells.values]
    if None in times:
        return None
    zoned = {time.tzinfo is not None for time in times if time is not None}
    if len(zoned) > 1:
        return None
    return np.array([_microseconds(time) for time in times if time is not None], dtype=np.int64)


def moment(text: str) -> datetime | None:
    """A date or time as ISO 8601 writes it, or a month as 2024-05; None for anything else."""
    try:
        return datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    except ValueError:
        return None


def _microseconds(time: datetime) -> int:
    since = time.replace(tzinfo=None) - _EPOCH - (time.utcoffset() or timedelta())
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def times_of(path: Path, cells: Cells, words: Collection[str]) -> np.ndarray:
    """The time of each row, in an order; see `time_values`.

    Raises:
        UmbelError: A cell is blank, or neither a number nor a date.
    """
    what = f"{path}: time column {cells.name!r}"
    folded = {word.casefold() for word in words}
    blank = cells.blank | np.array([str(cell).casefold() in folded for cell in cells.values], dtype=bool)
    values = None if blank.any() else time_values(cells, words)
    if values is not None and np.isnan(values).any():
        blank, values = np.isnan(values), None
    if blank.any():
        raise UmbelError(f"{what} is blank in row {int(blank.argmax()) + 1}; fill it in, or leave such rows out")
    if values is None:
        wrong = next((i for i, cell in enumerate(cells.values) if moment(str(cell)) is None), None)
        held = "times with and without a time zone" if wrong is None else f"{cells.values[wrong]!r} in row {wrong + 1}"
        raise UmbelError(f"{what} holds {held}; write numbers, or dates as 2024-05-31 or 2024-05-31T14:00")
    return values
