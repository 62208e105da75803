"""How the rows of a table are dealt out to training, validation and test, and how a changed file is told."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from umbel.data.cell_values import texts_of
from umbel.data.cells import Cells
from umbel.data.dealing import deal_classes, deal_groups, deal_rows
from umbel.data.source import seeded
from umbel.data.split_columns import class_numbers, group_numbers, times_of
from umbel.data.split_rules import HELD_OUT, SPLIT_NAMES, ColumnSplit, RandomSplit, Shares, SplitRule, TimeSplit
from umbel.data.table_description import SplitRows, TableDescription
from umbel.data.table_rows import Values, rows_digest
from umbel.errors import UmbelError

Rows = Mapping[str, np.ndarray]
"""Split -> the numbers of its rows, ascending."""

_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_rows(
    path: Path, columns: Mapping[str, Cells], rule: SplitRule, missing: Sequence[str], categories: Collection[str] = ()
) -> Rows:
    """The row numbers of each split.

    Args:
        path: The file, for messages.
        columns: Its columns as they lie there, among them those that the rule names.
        rule: How rows are dealt out.
        missing: What marks a missing value, besides an empty cell.
        categories: Inputs and targets that are no measures, even if they look like numbers.

    Raises:
        UmbelError: A cell of the rule's columns does not fit, or a part would have no row.
    """
    if isinstance(rule, ColumnSplit):
        return _named(path, texts_of(columns[rule.column]), rule)
    if isinstance(rule, TimeSplit):
        rows = _by_time(path, times_of(path, columns[rule.column], missing), rule)
    else:
        rows = _at_random(path, columns, rule, missing, categories)
    for split, index in rows.items():
        if not len(index):
            count = len(next(iter(columns.values())).values)
            raise UmbelError(f"{path}: the split ({rule}) leaves no row of {count} for {split}; give larger shares")
    return rows


def _at_random(
    path: Path, columns: Mapping[str, Cells], rule: RandomSplit, missing: Sequence[str], categories: Collection[str]
) -> Rows:
    count = len(next(iter(columns.values())).values)
    groups = None if rule.group is None else group_numbers(columns[rule.group], missing)
    classes = None
    if (name := rule.stratify) is not None:
        classes = class_numbers(columns[name], missing, name in categories)
        _check_classes(path, columns[name], int(classes.max()) + 1, count)
    seeds = (rule.seed, count)

    def deal(rows: np.ndarray, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        of_rows = None if classes is None else np.unique(classes[rows], return_inverse=True)[1]
        if groups is None:
            dealt = deal_rows(len(rows), shares, seeds) if of_rows is None else deal_classes(of_rows, shares, seeds)
            return dealt
        present, numbers = np.unique(groups[rows], return_inverse=True)
        if len(present) < len(shares):
            raise UmbelError(
                f"{path}: group column {rule.group!r} has {len(present)} groups for {len(shares)} parts ({rule}); each "
                "part needs one of its own"
            )
        return deal_groups(numbers, np.zeros(len(rows), np.int64) if of_rows is None else of_rows, shares, seeds)

    everything = np.arange(count)
    if isinstance(rule.parts, Shares):
        part = deal(everything, rule.parts.values, seeds)
        return {split: np.flatnonzero(part == number) for number, split in enumerate(SPLIT_NAMES)}
    folds = rule.parts
    test = deal(everything, (1 / folds.count,) * folds.count, seeds) == folds.fold
    rest = everything[~test]
    part = deal(rest, (1 - HELD_OUT, HELD_OUT), (*seeds, 1 + folds.fold))
    return {"train": rest[part == 0], "validation": rest[part == 1], "test": everything[test]}


def _check_classes(path: Path, cells: Cells, values: int, count: int) -> None:
    what = f"{path}: stratify column {cells.name!r}"
    if cells.trouble:
        raise UmbelError(f"{what} holds {cells.trouble}; choose another column, or leave it out")
    if values == 1:
        raise UmbelError(f"{what} is the same in every row; choose another column, or leave it out")
    if 3 * values > count:
        raise UmbelError(
            f"{what} has {values} values in {count} rows, too many to have each in every part; choose another column, "
            "or leave it out"
        )


def _by_time(path: Path, times: np.ndarray, rule: TimeSplit) -> Rows:
    """The oldest rows, later ones and the newest, cut between two times where the shares are nearest."""
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < len(SPLIT_NAMES):
        raise UmbelError(
            f"{path}: time column {rule.column!r} has {len(moments)} different times; training, validation and test "
            "need one each"
        )
    until = np.cumsum(counts)  # rows up to each moment
    train, validation, _ = rule.shares.values
    first = int(np.abs(until[:-2] - train * len(times)).argmin())
    second = first + 1 + int(np.abs(until[first + 1 : -1] - (train + validation) * len(times)).argmin())
    part = (times > moments[first]).astype(np.int64) + (times > moments[second])
    return {split: np.flatnonzero(part == number) for number, split in enumerate(SPLIT_NAMES)}


def _named(path: Path, cells: np.ndarray, rule: ColumnSplit) -> Rows:
    names = [_split_name(path, rule.column, row, cell) for row, cell in enumerate(cells)]
    rows = {split: np.flatnonzero(np.array(names) == split) for split in SPLIT_NAMES}
    if len(rows["validation"]) and rule.seed:
        raise UmbelError(
            f"{path}: split column {rule.column!r} names the rows of all parts, and nothing is random; leave the seed "
            "of the split out"
        )
    if not len(rows["validation"]) and len(rows["train"]) > 1:
        shuffled = rows["train"][torch.randperm(len(rows["train"]), generator=seeded(rule.seed, len(names))).numpy()]
        held = max(1, round(HELD_OUT * len(shuffled)))
        rows |= {"validation": np.sort(shuffled[:held]), "train": np.sort(shuffled[held:])}
    for split in ("train", "test"):
        if not len(rows[split]):
            raise UmbelError(f"{path}: split column {rule.column!r} has no row {split!r}; add some or leave it out")
    return rows


def _split_name(path: Path, column: str, row: int, cell: str | None) -> str:
    if (split := _SPLITS.get(str(cell or "").lower())) is None:
        raise UmbelError(
            f"{path}: split column {column!r} holds {cell or ''!r} in row {row + 1}; write train, validation or test"
        )
    return split


def split_digests(path: Path, values: Values, description: TableDescription, rows: Rows) -> tuple[SplitRows, ...]:
    """What is in each split, so that a changed file can be told.

    Args:
        path: The file.
        values: Its columns.
        description: Which of them are used; what it says of its splits is not read.
        rows: Which rows are where.
    """
    names = [column.name for column in (*description.inputs, *description.targets)]
    image = description.image.name if description.image is not None else None
    names += [image] if image is not None else []
    return tuple(
        SplitRows(split, len(index), rows_digest(path, values, names, image, index)) for split, index in rows.items()
    )


def check_splits(path: Path, description: TableDescription, now: Sequence[SplitRows]) -> None:
    """Refuse a file whose rows are not those of the description.

    Args:
        path: The file, for the message.
        description: What was learnt from.
        now: What `split_digests` says of the file.

    Raises:
        UmbelError: Names the splits that changed, and their numbers of rows.
    """
    changed = [(old, new) for old, new in zip(description.splits, now, strict=True) if old != new]
    if changed:
        said = ", ".join(
            f"{old.split} ({old.rows} then, {new.rows} now)" if old.rows != new.rows else f"{old.split} (other values)"
            for old, new in changed
        )
        raise UmbelError(
            f"{path}: its rows are not those that were learnt from: {said}; give the unchanged file, or read this one "
            "as new rows"
        )
