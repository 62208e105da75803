"""What cells say: numbers in double precision, or the names of categories, which keep their text."""

import math
import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation

import numpy as np

from umbel.data.cells import Cells

MISSING_WORDS = (
    "#N/A",
    "#N/A N/A",
    "#NA",
    "#NULL!",
    "-NaN",
    "-nan",
    "<NA>",
    "?",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "NaT",
    "None",
    "n/a",
    "nan",
    "null",
)
"""What marks a missing value besides an empty cell: pandas' list, and "?", as many public tables have it.

In a column of categories only these very spellings count ("Na" is an element, "none" an answer); among numbers, which
have no words of their own, upper and lower case do not matter."""

CLASS_LIMIT = 20
"""Whole numbers with more distinct values than this are a measure, not classes."""
_STYLED = re.compile(
    r"(?P<sign>[+\-−]?)\s*[$€£¥]?\s*"
    r"(?P<whole>\d{1,3}(?P<mark>[,'’ \u00a0\u202f])\d{3}(?:(?P=mark)\d{3})*|\d+)"
    r"(?P<rest>(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*[%$€£¥]?"
)
_WHOLE, _DIGITS = 2.0**53, 15
_DECIMAL_COMMA = re.compile(r"[+\-−]?\d+,\d+")


def missing(cells: Cells, words: Collection[str]) -> np.ndarray:
    """Where a column of categories has no value: bool [rows]."""
    if cells.typed:
        return cells.blank | _marked(cells.values, words)
    if not words:
        return cells.blank
    return cells.blank | np.fromiter(
        (cell in words or _without_point(cell) in words for cell in cells.values), dtype=bool, count=len(cells.values)
    )


def _marked(numbers: np.ndarray, words: Collection[str]) -> np.ndarray:
    """Where a number marks a missing value, as -999 does: bool [rows]."""
    return np.isin(numbers, [float(word) for word in words if is_number(word)])


def numbers_of(cells: Cells, words: Collection[str], styled: bool = False) -> np.ndarray | None:
    """A column as float64 [rows], NaN where it is missing; None when a cell is neither a number nor missing.

    Args:
        cells: The column.
        words: What marks a missing value, besides an empty cell.
        styled: Whether "1,234", "12 %" and "$5" are numbers, too: 1234, 12 and 5.
    """
    if cells.typed:
        return np.where(cells.blank | _marked(cells.values, words), np.nan, cells.values.astype(np.float64))
    gap = cells.blank
    numbers = _floats(np.where(gap, "nan", cells.values))
    if numbers is None and not _hopeless(cells, words, styled):
        folded = {word.casefold() for word in words}
        gap = gap | np.array([cell.casefold() in folded for cell in cells.values], dtype=bool)
        texts = np.where(gap, "nan", cells.values)
        numbers = _floats(np.array([plain_number(cell) or cell for cell in texts], dtype=object) if styled else texts)
    if numbers is None:
        return None
    folded = {word.casefold() for word in words}
    odd = np.flatnonzero(np.isnan(numbers) & ~gap)
    if not all(cells.values[i].casefold() in folded for i in odd):
        return None
    return np.where(_marked(numbers, words), np.nan, numbers)


def _hopeless(cells: Cells, words: Collection[str], styled: bool) -> bool:
    """Whether the first cell with anything in it is no number already: most columns of text end here."""
    if cells.blank.all():
        return False
    first = cells.values[int(np.argmin(cells.blank))]
    folded = {word.casefold() for word in words}
    return first.casefold() not in folded and not (is_number(first) or (styled and plain_number(first) is not None))


def _floats(texts: np.ndarray) -> np.ndarray | None:
    """Texts as float64, rounded correctly; None when one is no number."""
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return None
    return None if any("_" in text for text in texts) else numbers  # Python reads 1_000, the field does not


def is_number(text: str) -> bool:
    """Whether a cell is a number as it stands."""
    try:
        return "_" not in text and not math.isnan(float(text))
    except ValueError:
        return False


def plain_number(text: str) -> str | None:
    """A number written with grouped digits, a percent sign or a currency, as "1,234" or "12 %", without them.

    None when it is no such number; the percent sign does not divide by 100.
    """
    if (match := _STYLED.fullmatch(text)) is None:
        return None
    whole = match["whole"].replace(match["mark"], "") if match["mark"] else match["whole"]
    return match["sign"].replace("−", "-") + whole + match["rest"]


def has_decimal_comma(text: str) -> bool:
    """Whether a cell is a number as "3,5"."""
    return _DECIMAL_COMMA.fullmatch(text) is not None


def texts_of(cells: Cells) -> np.ndarray:
    """A column word for word: object [rows], None where it is blank."""
    texts = np.array([str(value) for value in cells.values], dtype=object)
    texts[cells.blank] = None
    return texts


def names_of(cells: Cells, words: Collection[str]) -> np.ndarray:
    """A column as the names of categories: object [rows], None where it is missing.

    A name is the text of its cell alone, whatever stands in the others: "007" is not "7". Only the ending ".0" goes,
    which programs write behind whole numbers as soon as a column has gaps.
    """
    texts = np.array([str(value) for value in cells.values], dtype=object) if cells.typed else cells.values
    names = np.array([_without_point(text) for text in texts], dtype=object)
    names[missing(cells, words)] = None
    return names


def _without_point(text: str) -> str:
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("+-").isdigit() else text


def merged(cells: Cells, numbers: np.ndarray) -> tuple[str, str] | None:
    """Two numbers of a column that differ as they are written and are the same in double precision; None without.

    Args:
        cells: As written.
        numbers: What `numbers_of` made of them.
    """
    present = ~np.isnan(numbers)
    values = cells.values[present]
    if (cells.typed and values.dtype.kind == "f") or _plainly_apart(values, cells.typed):
        return None
    written = set(values.tolist())
    if len(written) == distinct_numbers(numbers[present]):
        return None
    first: dict[float, tuple[Decimal, str]] = {}
    for text in map(str, written):
        exact = _exact(text)
        other = first.setdefault(float(exact), (exact, text))
        if other[0] != exact:
            return other[1], text
    return None


def _plainly_apart(values: np.ndarray, typed: bool) -> bool:
    """Whether no two different numbers can be one in double precision: up to 15 digits it tells all apart."""
    if not len(values):
        return True
    return bool(np.abs(values.astype(np.float64)).max() < _WHOLE) if typed else max(map(len, values)) <= _DIGITS


def distinct_numbers(present: np.ndarray) -> int:
    """How many different numbers there are in [n], NaN not among them."""
    if not len(present):
        return 0
    ascending = np.sort(present)
    return 1 + int(np.count_nonzero(ascending[1:] != ascending[:-1]))


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(plain_number(text) or "NaN")
