"""The user's own tables, with or without pictures, and the multi-target tables of MULAN."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from umbel.core import Batch, Task
from umbel.data.columns import Column, Roles, describe_columns, typed_table
from umbel.data.find import need
from umbel.data.pictures import subset
from umbel.data.source import MultiTaskData, TensorSource, seeded
from umbel.data.table_pictures import load_pictures
from umbel.errors import UmbelError, unknown
from umbel.tasks import classification, regression

__all__ = ["MULAN_TARGETS", "Column", "describe_columns", "from_table", "table_set"]

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

_MULAN_NOTE = (
    "MULAN's multi-target regression tables (github.com/tsoumakas/mulan). Licence: none stated for the tables,"
    " customary research use (enb, slump: UCI, CC BY 4.0). Cite: Spyromitros-Xioufis et al., Machine Learning, 2016."
)
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
_SPLIT_NAMES = ("train", "validation", "test")

Rows = Mapping[str, np.ndarray]  # split -> the numbers of its rows, ascending


def from_table(
    path: str | Path,
    targets: Sequence[str],
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    split_column: str | None = None,
    ignore: Sequence[str] = (),
    resolution: int | None = None,
    seed: int = 0,
) -> MultiTaskData:
    """Several columns of a table as tasks, all other columns (or a picture) as the input.

    A blank cell in a target means: no label. Numbers become regressions, in natural units; text, booleans and a few
    distinct whole numbers become classifications, whose classes are the sorted values of the whole table. Inputs that
    are numbers are standardised; one with gaps in the training rows has them filled with the mean and brings a second
    input, 1 where the cell was blank. Categories become one input each (all 0 for one that no training row has). Means,
    scales and categories come from the training rows alone.

    Args:
        path: CSV, TSV (a header line, UTF-8) or Parquet.
        targets: Columns to predict, in the order of the tasks.
        image_column: Paths of pictures, relative to the table's folder. They become uint8 RGB [3, H, W], and no
            other column is an input.
        kinds: Column -> "number" or "regression", "category" or "classification", where the inferred kind
            (see `describe_columns`) is not the right one.
        split_column: Holds "train", "validation" (or "val") and "test". Without validation rows, 15 % of the training
            rows are taken. Without this column the rows are split 70/15/15 at random.
        ignore: Columns that are not used.
        resolution: Pictures are resized to this height and width. None keeps their size, which must then be the same.
        seed: Of the random split.

    Raises:
        UmbelError: The file cannot be read; a column is unknown, cannot be used as asked or cannot be learnt; a picture
            is missing or of another size.
    """
    path = Path(path)
    if not targets:
        raise UmbelError(f"{path}: no target column; name at least one")
    roles = Roles(tuple(targets), image_column, dict(kinds or {}), split_column, tuple(ignore))
    frame, columns = typed_table(path, roles)
    rows = _split_rows(path, frame, split_column, seed)
    made = [_task(path, frame[name], rows) for name in targets]
    if image_column is not None:
        inputs = _pictures(path, frame[image_column], resolution, rows)
    else:
        inputs = _table_inputs(path, frame, columns, rows)
    splits = {
        split: TensorSource(Batch(inputs[split], {task.name: values[index] for task, values, _ in made}))
        for split, index in rows.items()
    }
    return MultiTaskData(
        name=path.stem,
        title=f"{path.name}: {len(frame)} rows, {len(made)} task{'s' if len(made) > 1 else ''}",
        tasks=tuple(task for task, _, _ in made),
        input_shape=tuple(inputs["train"].shape[1:]),
        note=_note(path, columns, rows, split_column, seed, [warning for _, _, warning in made if warning]),
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


def _split_rows(path: Path, frame: pd.DataFrame, split_column: str | None, seed: int) -> Rows:
    """The row numbers of each split."""
    if split_column is None:
        shuffled = torch.randperm(len(frame), generator=seeded(seed, len(frame))).numpy()
        held = round(0.15 * len(frame))
        parts = {"test": shuffled[:held], "validation": shuffled[held : 2 * held], "train": shuffled[2 * held :]}
        return {split: np.sort(parts[split]) for split in _SPLIT_NAMES}
    names = [_split_name(path, split_column, row, cell) for row, cell in enumerate(frame[split_column])]
    rows = {split: np.flatnonzero(np.array(names) == split) for split in _SPLIT_NAMES}
    if not len(rows["validation"]) and len(rows["train"]) > 1:
        shuffled = rows["train"][torch.randperm(len(rows["train"]), generator=seeded(seed, len(frame))).numpy()]
        held = max(1, round(0.15 * len(shuffled)))
        rows |= {"validation": np.sort(shuffled[:held]), "train": np.sort(shuffled[held:])}
    for split in ("train", "test"):
        if not len(rows[split]):
            raise UmbelError(f"{path}: split column {split_column!r} has no row {split!r}; add some or leave it out")
    return rows


def _split_name(path: Path, column: str, row: int, cell: str | None) -> str:
    if (split := _SPLITS.get(str(cell or "").lower())) is None:
        raise UmbelError(
            f"{path}: split column {column!r} holds {cell or ''!r} in row {row + 1}; write train, validation or test"
        )
    return split


def _task(path: Path, cells: pd.Series, rows: Rows) -> tuple[Task, Tensor, str]:
    """The task of a target column, its labels for all rows, and a warning (or nothing)."""
    name, present = str(cells.name), cells.notna().to_numpy()
    for split, index in rows.items():
        if not present[index].any():
            raise UmbelError(
                f"{path}: target column {name!r} has no label in the {split} rows; use another seed, a split column"
                " or more labels"
            )
    known = cells.iloc[rows["train"]].dropna()
    if known.nunique() == 1:
        raise UmbelError(
            f"{path}: target column {name!r} is {known.iloc[0]} in every training row that has a label; use another"
            " seed, a split column or more labels"
        )
    if cells.dtype == np.float64:
        task = regression(name, centre=float(known.mean()), scale=float(known.std(ddof=0)))
        return task, torch.tensor(cells.to_numpy(), dtype=torch.float32)[:, None], ""
    labels = _sorted_names(cells)
    codes = pd.Categorical(cells, categories=labels).codes
    unseen = sorted(set(labels) - set(known))
    warning = f"No training row of {name} is {_few(unseen)}: a model can only get it wrong." if unseen else ""
    return classification(name, labels), torch.tensor(codes, dtype=torch.int64), warning


def _sorted_names(cells: pd.Series) -> list[str]:
    """Distinct values: in numerical order where all are numbers, otherwise in alphabetical order."""
    names = sorted(cells.dropna().unique())
    values = pd.to_numeric(pd.Series(names, dtype=object), errors="coerce")
    return names if values.isna().any() else [names[i] for i in np.argsort(values.to_numpy(), kind="stable")]


def _table_inputs(path: Path, frame: pd.DataFrame, columns: Sequence[Column], rows: Rows) -> dict[str, Tensor]:
    """The input columns of every split: float [n, F]."""
    used = [column.name for column in columns if column.role == "input"]
    if not used:
        ignored = ", ".join(f"{c.name!r} ({c.note})" for c in columns if c.role == "ignored") or "none"
        raise UmbelError(f"{path}: no input column is left beside the targets; ignored: {ignored}")
    pieces = [piece for name in used for piece in _encoded(frame[name], rows["train"])]
    table = torch.tensor(np.stack(pieces, 1), dtype=torch.float32)
    return {split: table[torch.from_numpy(index)] for split, index in rows.items()}


def _encoded(cells: pd.Series, train: np.ndarray) -> list[np.ndarray]:
    """The inputs that one column becomes, each [n]; what they depend on is taken from the training rows."""
    gap = cells.isna().to_numpy()
    if cells.dtype == np.float64:
        values = cells.to_numpy()
        seen = values[train][~gap[train]]
        centre, deviation = (seen.mean(), seen.std()) if len(seen) else (0.0, 0.0)
        # A number that does not vary in training has taught nothing: it stays 0.
        varies = deviation > 1e-9 * abs(centre)
        pieces = [np.where(gap, 0.0, (values - centre) / deviation) if varies else np.zeros(len(values))]
    else:
        pieces = [(cells == name).to_numpy(dtype=np.float64) for name in _sorted_names(cells.iloc[train])]
    return [*pieces, gap.astype(np.float64)] if gap[train].any() else pieces


def _pictures(path: Path, cells: pd.Series, resolution: int | None, rows: Rows) -> dict[str, Tensor]:
    """The pictures of every split: uint8 [n, 3, H, W], each split a part of one tensor."""
    if resolution is not None and resolution < 1:
        raise UmbelError(f"{path}: the resolution is {resolution}; it must be at least 1")
    if (blank := cells.isna().to_numpy()).any():
        raise UmbelError(f"{path}: image column {cells.name!r} is blank in row {int(blank.argmax()) + 1}")
    order = np.concatenate([rows[split] for split in _SPLIT_NAMES])
    pictures = load_pictures([path.parent / cells.iloc[i] for i in order], resolution)
    return dict(zip(_SPLIT_NAMES, pictures.split([len(rows[split]) for split in _SPLIT_NAMES]), strict=True))


def _note(
    path: Path, columns: Sequence[Column], rows: Rows, split_column: str | None, seed: int, warnings: Sequence[str]
) -> str:
    counts = "/".join(str(len(rows[split])) for split in _SPLIT_NAMES)
    how = f"column {split_column}" if split_column else f"at random, seed {seed}"
    by_reason: dict[str, list[str]] = {}
    for column in columns:
        if column.role == "ignored":
            by_reason.setdefault(column.note, []).append(column.name)
    ignored = [f"Ignored ({reason}): {_few(names)}." for reason, names in by_reason.items()]
    split = f"Table {path.name}, split {counts} into training, validation and test ({how})."
    return " ".join([split, *ignored, *warnings])


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
