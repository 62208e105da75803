"""Which columns of a table make a random split say something other than its reader believes."""

import re
import shlex
from collections.abc import Collection, Mapping

import numpy as np

from umbel.data.cell_values import CLASS_LIMIT, is_number, missing, names_of, numbers_of
from umbel.data.cells import Cells
from umbel.data.split_columns import group_numbers, moment
from umbel.data.split_rules import RandomSplit, SplitRule

_ONE = {
    "account", "animal", "author", "child", "client", "clinic", "customer", "device", "document", "driver", "family",
    "hospital", "household", "id", "machine", "participant", "patient", "person", "player", "recording", "scene",
    "school", "session", "speaker", "station", "store", "student", "subject", "user", "video", "writer",
}  # fmt: skip
"""One of many, each with several rows: the last word of a column's name, or the one before a word of `_NUMBER`."""
_SEVERAL = {"batch", "cluster", "fold", "group", "lot", "plot", "region", "site"}
"""The same, but often of a few kinds."""
_NUMBER = {"code", "key", "name", "no", "nr", "num", "number"}
_TIME = {
    "date", "datetime", "day", "epoch", "hour", "minute", "month", "period", "quarter", "time", "timestamp", "ts",
    "week", "year",
}  # fmt: skip
_BIRTH = {"birth", "birthdate", "birthday", "born", "dob"}
_FEW, _SOME = 3, 10  # values that a column must have to be a warning: where its name says what it is, where it may be


def split_warnings(
    columns: Mapping[str, Cells], rule: SplitRule, targets: Collection[str], words: Collection[str]
) -> dict[str, str]:
    """Column -> what can go wrong with it as the rows are dealt out, in one sentence that names the flag to use.

    Args:
        columns: Of the file, those too that are no inputs.
        rule: How rows are dealt out.
        targets: Columns to predict; they are not looked at.
        words: What marks a missing value.
    """
    if not isinstance(rule, RandomSplit):
        return {}
    if rule.group is not None:
        groups = group_numbers(columns[rule.group], words)
        alone = f"Group column {rule.group!r} differs in every row, so that the split is as random as without it."
        return {rule.group: alone} if groups.max() + 1 == len(groups) else {}
    asked = {name: _warning(cells, words) for name, cells in columns.items() if name not in (*targets, rule.stratify)}
    return {name: warning for name, warning in asked.items() if warning}


def _warning(cells: Cells, words: Collection[str]) -> str:
    """What a random split hides, where a column holds times or groups."""
    folded = {word.casefold() for word in words}
    known = (str(cell) for cell in cells.values[~cells.blank])
    first = next((cell for cell in known if cell.casefold() not in folded), None)
    if cells.trouble or first is None:
        return ""
    said = _words(cells.name)
    number = cells.typed or (is_number(first) and not cells.text)
    telling = _is_one(said) or _is_several(said) or _TIME.intersection(said)
    if (number and not telling) or _BIRTH.intersection(said):
        return ""
    flag = shlex.quote(cells.name) if cells.name.isprintable() else repr(cells.name)
    if times := _times(cells, words, number, said):
        return (
            f"Column {cells.name!r} holds times ({times[0]} to {times[1]}) and the split is random: the test rows lie "
            "among the training rows and not after them, and the error on later rows may be far larger; use "
            f"--time-column {flag}."
        )
    if repeated := _repeated(cells, words, number, said):
        return (
            f"Column {cells.name!r} has {repeated[0]} values in {repeated[1]} rows and the split is random: a test row "
            "may have its like among the training rows, and the error on new values may be far larger; use "
            f"--group-column {flag}."
        )
    return ""


def _repeated(cells: Cells, words: Collection[str], number: bool, said: list[str]) -> tuple[int, int] | None:
    """Number of values and of rows that have one, where values repeat as those of groups do."""
    present = [name for name in names_of(cells, words) if name is not None]
    distinct = len(set(present))
    if number and not all(name.lstrip("+-").isdigit() for name in present):
        return None
    hinted = (_is_one(said) and distinct >= _FEW) or (_is_several(said) and distinct > _SOME)
    if hinted:
        return (distinct, len(present)) if len(present) >= 1.1 * distinct else None
    return (distinct, len(present)) if not number and CLASS_LIMIT < distinct <= len(present) / 2 else None


def _words(name: str) -> list[str]:
    """The words of a name in lower case: "PatientID" and "patient_id" are patient, id."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z]+", " ", name)
    return apart.lower().split()


def _is_one(said: list[str]) -> bool:
    last = said[-1] if said else ""
    before = said[-2] if len(said) > 1 else ""
    return last in _ONE or last.removesuffix("id") in _ONE or (last in _NUMBER and before in _ONE)


def _is_several(said: list[str]) -> bool:
    return bool(said) and (said[-1] in _SEVERAL or (said[-1] in _NUMBER and len(said) > 1 and said[-2] in _SEVERAL))


def _times(cells: Cells, words: Collection[str], number: bool, said: list[str]) -> tuple[str, str] | None:
    """First and last time, where a column holds dates, or numbers that never fall (or never rise) and are called so."""
    known = ~missing(cells, words)
    present = [str(cell) for cell in cells.values[known]]
    if len(set(present)) < _FEW:
        return None
    if not number:
        if any(moment(cell) is None for cell in present):
            return None
        return min(present), max(present)
    if not _TIME.intersection(said) or (values := numbers_of(cells, words)) is None:
        return None
    steps = np.diff(values[~np.isnan(values)])
    return (present[0], present[-1]) if (steps >= 0).all() or (steps <= 0).all() else None
