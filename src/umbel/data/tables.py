"""The user's own tables, with or without pictures, and the multi-target tables of MULAN."""

import csv
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from umbel.core import Batch
from umbel.data.cell_values import MISSING_WORDS
from umbel.data.cells import Cells, read_cells
from umbel.data.columns import Column, Roles, describe_columns, typed_table
from umbel.data.find import need
from umbel.data.picture_files import check_picture_paths
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource
from umbel.data.split_columns import group_numbers
from umbel.data.split_rules import AT_RANDOM, SPLIT_NAMES, SplitRule, rule_columns
from umbel.data.split_warnings import split_warnings
from umbel.data.table_description import ImageColumn, TableDescription
from umbel.data.table_pictures import load_pictures
from umbel.data.table_rows import (
    Values,
    described_values,
    input_tensor,
    new_rows,
    picture_paths,
    target_tensors,
)
from umbel.data.table_scales import input_columns, target_column
from umbel.data.table_splits import Rows, check_splits, split_digests, split_rows
from umbel.errors import UmbelError, unknown

__all__ = [
    "MULAN_TARGETS",
    "Column",
    "TableDescription",
    "describe_columns",
    "from_table",
    "new_rows",
    "table_set",
]

MULAN_TARGETS = {
    "enb": 2,
    "jura": 3,
    "wq": 14,
    "atp1d": 6,
    "oes97": 16,
    "oes10": 16,
    "scpf": 3,
    "andro": 6,
    "edm": 2,
    "slump": 3,
}
"""The ten tables of `table_set`, with their number of targets (the last columns)."""

_CATEGORIES = ("category", "classification")
_MULAN_NOTE = (
    "MULAN's multi-target regression tables (github.com/tsoumakas/mulan). Licence: none stated for the tables,"
    " customary research use (enb, slump: UCI, CC BY 4.0). Cite: Spyromitros-Xioufis et al., Machine Learning, 2016."
)


def from_table(
    path: str | Path,
    targets: Sequence[str] = (),
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    split: SplitRule = AT_RANDOM,
    ignore: Sequence[str] = (),
    resolution: int | None = None,
    missing: Sequence[str] = MISSING_WORDS,
    description: TableDescription | None = None,
    pictures_anywhere: bool = False,
) -> MultiTaskData:
    """Several columns of a table as tasks, all other columns (or a picture) as the input.

    A blank cell in a target means: no label. Numbers become regressions, in natural units and double precision; text,
    booleans and a few distinct whole numbers become classifications, whose classes are the sorted values of the whole
    table, as they are written ("007" is not "7"). Inputs that are numbers are standardised; one with gaps in the
    training rows has them filled with the mean and brings a second input, 1 where the cell was blank. Categories become
    one input each (all 0 for one that no training row has). Means, scales and categories come from the training rows
    alone.

    Args:
        path: CSV, TSV (a header line, UTF-8) or Parquet.
        targets: Columns to predict, in the order of the tasks.
        image_column: Paths of pictures, relative to the table's folder. They become uint8 RGB [3, H, W], and no
            other column is an input.
        kinds: Column -> "number" or "regression", "category" or "classification", where the inferred kind
            (see `describe_columns`) is not the right one.
        split: How rows are dealt out to training, validation and test: `RandomSplit` (70/15/15, where nothing else is
            said), `TimeSplit` or `ColumnSplit`. A column of groups or times is an input only where `kinds` names it.
        ignore: Columns that are not used.
        resolution: Pictures are resized to this height and width. None keeps their size, which must then be the same.
        missing: Words (or numbers, as "-999") that mean "no value", as an empty cell does.
        description: What an earlier call made of this table, `table` of what it gave. It says all that the other
            arguments say, and the file must hold the rows that it was made of; for other rows see `new_rows`.
        pictures_anywhere: Read pictures outside the table's folder, too: absolute paths, paths through "..", links.

    Raises:
        UmbelError: The file cannot be read; a column is unknown, cannot be used as asked or cannot be learnt; a picture
            is missing or of another size; the file is not that of the description: names the columns, or the splits.
    """
    path = Path(path)
    if description is not None:
        given = any((targets, image_column, kinds, ignore, resolution))
        if given or split != AT_RANDOM or tuple(missing) != MISSING_WORDS:
            raise UmbelError(
                f"{path}: a description says what the columns are; give it alone, without targets or kinds"
            )
        return _by_description(path, description, pictures_anywhere)
    if not targets:
        raise UmbelError(f"{path}: no target column; name at least one")
    if resolution is not None and resolution < 1:
        raise UmbelError(f"{path}: the resolution is {resolution}; it must be at least 1")
    roles = Roles(tuple(targets), image_column, dict(kinds or {}), split, tuple(ignore), tuple(missing))
    return _first_read(path, roles, resolution, pictures_anywhere)


def _by_description(path: Path, description: TableDescription, pictures_anywhere: bool) -> MultiTaskData:
    """The set that the description was made of, and no other."""
    cells = read_cells(path)
    values = described_values(path, cells, description, pictures_anywhere)
    for name in (*(column.name for column in description.targets), *rule_columns(description.split).values()):
        if name not in cells:
            raise UmbelError(f"{path} does not fit the table that was learnt from: there is no column {name!r}")
    categories = [c.name for c in (*description.inputs, *description.targets) if c.kind in _CATEGORIES]
    rows = split_rows(path, cells, description.split, description.missing, categories)
    check_splits(path, description, split_digests(path, values, description, rows))
    return _data(path, description, cells, values, rows, ())


def _first_read(path: Path, roles: Roles, resolution: int | None, pictures_anywhere: bool) -> MultiTaskData:
    """The set with a description made now."""
    targets, image_column, split = roles.targets, roles.image_column, roles.split
    cells, values, columns = typed_table(path, roles)
    if image_column is not None:
        check_picture_paths(path, values[image_column], pictures_anywhere)
    categories = [c.name for c in columns if c.role in ("input", "target") and c.kind == "category"]
    rows = split_rows(path, cells, split, roles.missing, categories)
    described = tuple(target_column(path, name, values[name], rows) for name in targets)
    pictures = None if image_column is None else _pictures(path, values[image_column], image_column, resolution, rows)
    description = TableDescription(
        inputs=input_columns(path, columns, values, rows) if pictures is None else (),
        targets=described,
        image=None if pictures is None else ImageColumn(image_column, resolution, tuple(pictures["train"].shape[1:])),
        split=split,
        splits=(),
        missing=roles.missing,
    )
    description = replace(description, splits=split_digests(path, values, description, rows))
    return _data(path, description, cells, values, rows, columns, pictures)


def _data(
    path: Path,
    description: TableDescription,
    cells: Mapping[str, Cells],
    values: Values,
    rows: Rows,
    columns: Sequence[Column],
    pictures: Mapping[str, Tensor] | None = None,
) -> MultiTaskData:
    """The set, from a description and the values of the file."""
    if pictures is None and (image := description.image) is not None:
        pictures = _pictures(path, values[image.name], image.name, image.resolution, rows)
    splits = {}
    for split, index in rows.items():
        inputs = input_tensor(path, values, description, index) if pictures is None else pictures[split]
        splits[split] = TensorSource(Batch(inputs, target_tensors(values, description, index)))
    count, tasks = sum(map(len, rows.values())), description.tasks()
    return MultiTaskData(
        name=path.stem,
        title=f"{path.name}: {count} rows, {len(tasks)} task{'s' if len(tasks) > 1 else ''}",
        tasks=tasks,
        input_shape=description.input_shape,
        note=_note(path, description, cells, columns, rows),
        warnings=(
            *([c.warning for c in columns if c.warning] if columns else _warnings(description, cells)),
            *_unseen(description, values, rows),
        ),
        reading=description,
        **splits,
    )


def table_set(name: str, size: int | None = None) -> MultiTaskData:
    """One of the ten multi-target regression tables of MULAN: `tables/{name}.csv` in a data folder.

    Args:
        name: One of `MULAN_TARGETS`. The last columns of the file are its targets.
        size: Number of training rows to use, drawn at random; None for all.

    Raises:
        UmbelError: Unknown name, or the file is not there.
    """
    if name not in MULAN_TARGETS:
        raise unknown("table", name, MULAN_TARGETS)
    hint = "convert the ARFF file of github.com/tsoumakas/mulan to CSV with a header, the targets last"
    path = need(name, f"tables/{name}.csv", hint=hint)
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), [])
    targets = [column.strip() for column in header[-MULAN_TARGETS[name] :]]
    data = from_table(path, targets, kinds=dict.fromkeys(targets, "regression"))
    train = data.train.select(subset(len(data.train), size))
    return replace(data, name=name, train=train, note=f"{_MULAN_NOTE} {data.note}")


def _pictures(path: Path, files: np.ndarray, name: str, resolution: int | None, rows: Rows) -> dict[str, Tensor]:
    """The pictures of every split: uint8 [n, 3, H, W], each split a part of one tensor."""
    order = np.concatenate([rows[split] for split in SPLIT_NAMES])
    pictures = load_pictures(picture_paths(path, name, files, order), resolution)
    return dict(zip(SPLIT_NAMES, pictures.split([len(rows[split]) for split in SPLIT_NAMES]), strict=True))


def _note(
    path: Path, description: TableDescription, cells: Mapping[str, Cells], columns: Sequence[Column], rows: Rows
) -> str:
    counts, how = "/".join(str(len(rows[split])) for split in SPLIT_NAMES), str(description.split)
    if (name := rule_columns(description.split).get("group")) is not None:
        groups = group_numbers(cells[name], description.missing)
        how += f"; {'/'.join(str(len(np.unique(groups[rows[split]]))) for split in SPLIT_NAMES)} groups"
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        if column.role == "ignored":
            by_reason.setdefault(column.note, []).append(column.name)
    parts = [f"Table {path.name}, split {counts} into training, validation and test ({how})."]
    parts += [f"Ignored ({reason}): {_few(names)}." for reason, names in by_reason.items()]
    parts += [f"In {c.name}: {c.note}." for c in columns if c.role == "target" and c.note]
    return " ".join(parts)


def _warnings(description: TableDescription, cells: Mapping[str, Cells]) -> Collection[str]:
    """What can go wrong as the rows of a file are dealt out; see `Column.warning`."""
    targets = [target.name for target in description.targets]
    return split_warnings(cells, description.split, targets, description.missing).values()


def _unseen(description: TableDescription, values: Values, rows: Rows) -> Iterator[str]:
    """Which classes are not learnt."""
    for target in description.targets:
        if unseen := sorted(set(target.classes) - set(values[target.name][rows["train"]])):
            yield (
                f"No training row of {target.name} is {_few(unseen)}: a model can only get it wrong; use "
                f"--stratify-column {shlex.quote(target.name)}, or more such rows."
            )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
