"""Tables as they lie on disk: read as text, typed column by column, and shown before anything is learnt from them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from umbel.data.cell_values import (
    CLASS_LIMIT,
    MISSING_WORDS,
    distinct_numbers,
    has_decimal_comma,
    is_number,
    merged,
    missing,
    names_of,
    numbers_of,
    plain_number,
    texts_of,
)
from umbel.data.cells import Cells, read_cells
from umbel.data.split_rules import AT_RANDOM, SplitRule, apart, check_rule, rule_columns
from umbel.data.split_warnings import split_warnings
from umbel.errors import UmbelError, unknown

CATEGORY_LIMIT = 100
"""Most categories that an input column may have."""
FEWEST_ROWS = 20
"""Rows that training, validation and test need together."""
LARGEST = 1e30
"""Beyond this, squares of standardised float32 values overflow."""

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
        note: Why it is ignored, which words among its categories were taken as missing, or how it deals out the rows;
            empty otherwise.
        warning: What can go wrong with it as the rows are dealt out; empty otherwise.
    """

    name: str
    role: str
    kind: str
    distinct: int
    missing: int
    note: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Roles:
    """What the user said about the columns of a table.

    Attributes:
        targets: Columns to predict.
        image_column: Paths of pictures; None where the inputs are the other columns.
        kinds: Column -> kind, where the inferred one is not right.
        split: How rows are dealt out to training, validation and test.
        ignore: Columns that are not used.
        missing: What marks a missing value, besides an empty cell.
    """

    targets: Sequence[str] = ()
    image_column: str | None = None
    kinds: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    split: SplitRule = AT_RANDOM
    ignore: Sequence[str] = ()
    missing: Sequence[str] = MISSING_WORDS

    @property
    def apart(self) -> Collection[str]:
        """Columns that deal out the rows and are no inputs: those that are given no kind."""
        return [name for name in apart(self.split).values() if name not in self.kinds]


def describe_columns(
    path: str | Path,
    targets: Sequence[str] = (),
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    split: SplitRule = AT_RANDOM,
    ignore: Sequence[str] = (),
    missing: Sequence[str] = MISSING_WORDS,
) -> tuple[Column, ...]:
    """What each column of a table would be taken for by `umbel.data.tables.from_table`, whose arguments these are.

    Raises:
        UmbelError: As `from_table`, for everything that can be seen before the rows are split.
    """
    roles = Roles(tuple(targets), image_column, dict(kinds or {}), split, tuple(ignore), tuple(missing))
    return typed_table(path, roles)[2]


def typed_table(path: str | Path, roles: Roles) -> tuple[dict[str, Cells], dict[str, np.ndarray], tuple[Column, ...]]:
    """The columns of a table as they lie there, their values, and what each is taken for.

    Values are float64 (NaN is missing) or text (object, None is missing).

    Raises:
        UmbelError: The file cannot be read, or `roles` does not fit it.
    """
    path = Path(path)
    columns = read_cells(path)
    rows = len(next(iter(columns.values())).values)
    if rows < FEWEST_ROWS:
        raise UmbelError(f"{path}: {rows} rows; training, validation and test together need at least {FEWEST_ROWS}")
    check_roles(path, columns, roles)
    values = {name: _values(path, cells, roles) for name, cells in columns.items()}
    described = [_column(path, name, values[name], roles) for name in columns]
    warnings = split_warnings(columns, roles.split, roles.targets, roles.missing)
    described = [replace(column, warning=warnings.get(column.name, "")) for column in described]
    return columns, values, tuple(_with_words(column, columns[column.name], roles) for column in described)


def _with_words(column: Column, cells: Cells, roles: Roles) -> Column:
    """The column with a note of the words in it that were taken as missing, where they might be answers."""
    if column.note or column.kind not in ("category", "text") or column.role not in ("input", "target") or cells.typed:
        return column
    words = sorted(set(roles.missing).intersection(cells.values))
    return replace(column, note=f"{', '.join(map(repr, words))} taken as missing") if words else column


def check_roles(path: Path, names: Collection[str], roles: Roles) -> None:
    """Refuse roles that do not fit the columns.

    Raises:
        UmbelError: An unknown column or kind, or a column with two roles.
    """
    check_rule(roles.split)
    rule = rule_columns(roles.split)
    asked = {
        "target column": list(roles.targets),
        "image column": [roles.image_column] if roles.image_column is not None else [],
        **{f"{what} column": [name] for what, name in rule.items()},
        "column to ignore": list(roles.ignore),
        "column in `kinds`": list(roles.kinds),
    }
    also = ("stratify column", "column in `kinds`")  # of columns that have a role as well
    taken: dict[str, str] = {}
    for what, columns in asked.items():
        for name in columns:
            if name not in names:
                raise UmbelError(f"{path}: {unknown(what, name, names)}")
            if what in also:
                continue
            if name in taken:
                raise UmbelError(f"{path}: column {name!r} is given as {taken[name]} and as {what}; choose one")
            taken[name] = what
    for name, kind in roles.kinds.items():
        if kind not in _KINDS:
            raise UmbelError(f"{path}: column {name!r}: {unknown('kind', kind, _KINDS)}")
        if taken.get(name) in ("image column", "split column"):
            raise UmbelError(f"{path}: column {name!r} is the {taken[name]}; it takes no kind")


def _unused(name: str, roles: Roles) -> bool:
    """Whether nothing is learnt from a column."""
    named = name in roles.targets or name in roles.apart or name == roles.image_column
    return name in roles.ignore or (roles.image_column is not None and not named)


def _values(path: Path, cells: Cells, roles: Roles) -> np.ndarray:
    """A column with the type that its kind asks for: float64 or text."""
    name, what = cells.name, f"{path}: column {cells.name!r}"
    if cells.trouble:
        if not _unused(name, roles):
            raise UmbelError(f"{what} holds {cells.trouble}; spread them over columns of their own or ignore it")
        return texts_of(cells)
    if name == roles.image_column or name in roles.apart:
        return texts_of(cells)
    kind = _KINDS.get(roles.kinds.get(name, ""))
    if kind == "category":
        return names_of(cells, roles.missing)
    numbers = (
        numbers_of(cells, roles.missing, styled=kind == "number")
        if kind or not cells.text or cells.blank.all()
        else None
    )
    if numbers is None and kind == "number":
        raise UmbelError(f"{what} cannot be of kind number: it holds {_no_number(cells, roles)}")
    if numbers is None:
        if not _unused(name, roles):
            _check_words(what, cells, roles)
        return names_of(cells, roles.missing)
    if kind is None and name in roles.targets and _few_whole_numbers(numbers):
        names = names_of(cells, roles.missing)
        if len(set(names)) <= CLASS_LIMIT + 1:  # as written, one of them a gap
            return names
    if not _unused(name, roles) and (pair := merged(cells, numbers)):
        raise UmbelError(
            f"{what} holds {pair[0]} and {pair[1]}, which are one number in double precision; subtract an offset, "
            "make it a category or ignore it"
        )
    return numbers


def _no_number(cells: Cells, roles: Roles) -> str:
    """The first cell that is no number, for a message."""
    folded = {word.casefold() for word in roles.missing}
    for cell in cells.values[~cells.blank]:
        if cell.casefold() not in folded and not is_number(cell) and plain_number(cell) is None:
            return f"{cell!r}, with a decimal comma; write a point" if has_decimal_comma(cell) else repr(cell)
    return "a word for a missing value that `missing` does not name"


def _check_words(what: str, cells: Cells, roles: Roles) -> None:
    """Refuse text that is meant as numbers: it would become as many categories as there are values."""
    present = dict.fromkeys(cells.values[~missing(cells, roles.missing)])
    words = [cell for cell in present if not is_number(cell)]
    styled = [cell for cell in words if plain_number(cell) is not None or has_decimal_comma(cell)]
    others = len(words) - len(styled)
    numbers = len(present) - others
    choose = f"or say its kind: {cells.name}=number or {cells.name}=category"
    if styled and not others:
        plain = plain_number(styled[0])
        said = f"the first as {plain}, " if plain is not None else "a decimal comma as an error, "
        raise UmbelError(
            f"{what} holds numbers written as {styled[0]!r}; write plain ones, {choose} (number reads {said}category "
            "keeps the text)"
        )
    if others and numbers > max(CLASS_LIMIT, others):
        plain_words = set(words) - set(styled)
        row = next(i for i, cell in enumerate(cells.values) if cell in plain_words)
        raise UmbelError(
            f"{what} holds {numbers} different numbers, but {cells.values[row]!r} in row {row + 1}; leave such cells "
            f"blank, name the word in `missing`, or say its kind: {cells.name}=category"
        )


def _few_whole_numbers(numbers: np.ndarray) -> bool:
    present = numbers[~np.isnan(numbers)]
    distinct = np.unique(present)
    whole = bool(np.isfinite(distinct).all() and (distinct == np.round(distinct)).all())
    return whole and len(distinct) <= min(CLASS_LIMIT, len(present) // 2)


def is_missing(values: np.ndarray) -> np.ndarray:
    """Where a typed column has no value: bool [rows]."""
    if values.dtype == np.float64:
        return np.isnan(values)
    return np.fromiter((value is None for value in values), dtype=bool, count=len(values))


def _column(path: Path, name: str, values: np.ndarray, roles: Roles) -> Column:
    """Role and kind of a column, and what is wrong with it."""
    present = values[~is_missing(values)]
    gaps = len(values) - len(present)
    kind = "number" if values.dtype == np.float64 else "category"
    distinct = distinct_numbers(present) if kind == "number" else len(set(present))
    if name in roles.targets:
        _check_target(path, name, kind, distinct, len(present), gaps)
        _check_range(path, name, values)
        return Column(name, "target", kind, distinct, gaps)
    if name in roles.apart:
        note = {"group": "its groups stay together", "time": "oldest rows first"}
        doing = next(iter(apart(roles.split)))
        return Column(name, "split", kind, distinct, gaps, note.get(doing, ""))
    if name == roles.image_column:
        return Column(name, "input", "image", distinct, gaps)
    if kind == "category" and distinct == len(present) and name not in roles.kinds:
        kind = "text"
    if why := _why_ignored(name, kind, distinct, gaps, roles):
        return Column(name, "ignored", kind, distinct, gaps, why)
    if kind == "category" and distinct > CATEGORY_LIMIT:
        raise UmbelError(
            f"{path}: column {name!r} has {distinct} categories, at most {CATEGORY_LIMIT} can be used; ignore it, or "
            "split the rows by it where it names groups or times"
        )
    _check_range(path, name, values)
    return Column(name, "input", kind, distinct, gaps)


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


def _check_target(path: Path, name: str, kind: str, distinct: int, labelled: int, gaps: int) -> None:
    what = f"{path}: target column {name!r}"
    if not labelled:
        raise UmbelError(f"{what} has no label at all; drop the target or fill in labels")
    if distinct == 1:
        blank = f" besides {gaps} cells that are blank or a word for it, as NA and None are" if gaps else ""
        raise UmbelError(
            f"{what} has only one {'value' if kind == 'number' else 'class'}{blank}; there is nothing to learn"
        )
    if kind == "category" and distinct > labelled // 2:
        raise UmbelError(f"{what} is text with {distinct} different values in {labelled} rows; it cannot be learnt")


def _check_range(path: Path, name: str, values: np.ndarray) -> None:
    if (trouble := out_of_range(values)) is not None:
        raise UmbelError(f"{path}: column {name!r} is {trouble}; leave the cell blank")


def out_of_range(values: np.ndarray) -> str | None:
    """The first number of a column that cannot be used, as "infinite in row 7"; None when all can."""
    if values.dtype != np.float64 or not (large := np.abs(values) > LARGEST).any():
        return None
    row = int(large.argmax())
    return f"{'infinite' if np.isinf(values[row]) else 'too large'} in row {row + 1}"
