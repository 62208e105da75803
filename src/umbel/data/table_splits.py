"""How the rows of a table are dealt out to training, validation and test, and how a changed file is told."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from umbel.data.source import seeded
from umbel.data.table_description import SplitRows, SplitRule, TableDescription
from umbel.data.table_rows import Values, rows_digest
from umbel.errors import UmbelError

SPLIT_NAMES = ("train", "validation", "test")
"""In the order of the file's description."""
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


def split_rows(path: Path, values: Values, rule: SplitRule) -> Rows:
    """The row numbers of each split.

    Args:
        path: The file, for messages.
        values: Its columns.
        rule: How rows are dealt out.

    Raises:
        UmbelError: The split column holds another word, or no row for training or test.
    """
    count = len(next(iter(values.values())))
    if rule.column is None:
        shuffled = torch.randperm(count, generator=seeded(rule.seed, count)).numpy()
        held = round(0.15 * count)
        parts = {"test": shuffled[:held], "validation": shuffled[held : 2 * held], "train": shuffled[2 * held :]}
        return {split: np.sort(parts[split]) for split in SPLIT_NAMES}
    names = [_split_name(path, rule.column, row, cell) for row, cell in enumerate(values[rule.column])]
    rows = {split: np.flatnonzero(np.array(names) == split) for split in SPLIT_NAMES}
    if not len(rows["validation"]) and len(rows["train"]) > 1:
        shuffled = rows["train"][torch.randperm(len(rows["train"]), generator=seeded(rule.seed, count)).numpy()]
        held = max(1, round(0.15 * len(shuffled)))
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
