"""What scikit-learn's users give, as a described table: the same means, scales and categories as a file would get."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from umbel.core import Batch
from umbel.data import MultiTaskData, TensorSource, seeded
from umbel.data.cell_values import CLASS_LIMIT, MISSING_WORDS, names_of, numbers_of
from umbel.data.cells import Cells
from umbel.data.columns import CATEGORY_LIMIT, Column, is_missing, out_of_range
from umbel.data.frames import frame_cells
from umbel.data.split_rules import RandomSplit
from umbel.data.table_description import InputColumn, TableDescription, TargetColumn
from umbel.data.table_rows import described_values, input_tensor
from umbel.data.table_scales import input_columns, target_column
from umbel.errors import UmbelError, unknown
from umbel.recipes.build import GIVEN_ROWS

HELD_OUT = 0.15
"""Part of the rows that chooses the best step, where there are enough."""
FEWEST_ROWS = 20
"""With fewer rows, or where a target would have no label in one of the parts, all rows do both."""

_X, _Y = Path("X"), Path("y")
_KINDS = ("classification", "regression")


@dataclass(frozen=True)
class Target:
    """One column of y.

    Attributes:
        name: Of its task.
        values: As they were given, [n].
        gaps: Where there is no label, bool [n].
        kind: "classification" or "regression".
    """

    name: str
    values: np.ndarray
    gaps: np.ndarray
    kind: str

    def classes(self) -> np.ndarray:
        """The distinct labels, rising, in their own type."""
        present = self.values[~self.gaps]
        if present.dtype == object and len({type(value) for value in present}) > 1:
            present = present.astype(str)
        return np.unique(present)


def targets_of(y: Any, kinds: Mapping[str, str] | str | None) -> list[Target]:
    """The columns of y: of a DataFrame or Series by their names, else "y", or "y0", "y1" and so on.

    Args:
        y: [n] or [n, T]; NaN, None or NA is a missing label.
        kinds: The kind of all, or of some by name. Of the others: decimals are a regression, and so are whole numbers
            with more than 20 different values; all else is a classification.

    Raises:
        UmbelError: No column, no label, or an unknown kind or name.
    """
    columns = _columns(y)
    if not columns:
        raise UmbelError("y has no column; give at least one target")
    if isinstance(kinds, Mapping):
        for name, kind in kinds.items():
            if name not in columns:
                raise unknown("target in `kinds`", name, columns)
            if kind not in _KINDS:
                raise unknown("kind", kind, _KINDS)
    targets = []
    for name, values in columns.items():
        gaps = np.asarray(pd.isna(values), dtype=bool)
        if gaps.all():
            raise UmbelError(f"target {name!r} has no label at all; drop it or add labels")
        tidy = _tidy(values, gaps)
        told = kinds if isinstance(kinds, str) else (kinds or {}).get(name)
        targets.append(Target(name, tidy, gaps, told or _kind(tidy[~gaps])))
    return targets


def _columns(y: Any) -> dict[str, np.ndarray]:
    if isinstance(y, pd.DataFrame):
        names = [str(name) for name in y.columns]
        if len(set(names)) < len(names):
            raise UmbelError("two columns of y have one name; rename one")
        return {name: y.iloc[:, place].to_numpy() for place, name in enumerate(names)}
    if isinstance(y, pd.Series):
        return {"y" if y.name is None else str(y.name): y.to_numpy()}
    array = np.asarray(y)
    if array.ndim == 1 or array.shape[1:] == (1,):
        return {"y": array.reshape(-1)}
    if array.ndim != 2:
        raise UmbelError(f"y has {array.ndim} axes; give [n] or [n, targets]")
    return {f"y{place}": array[:, place] for place in range(array.shape[1])}


def _tidy(values: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Python objects that are all numbers as numbers, NaN where one is missing; all else as it is."""
    if values.dtype != object:
        return values
    present = values[~gaps]
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in present):
        numbers = np.full(len(values), np.nan)
        numbers[~gaps] = present.astype(np.float64)
        whole = all(isinstance(value, int | np.integer) for value in present)
        return values if whole and gaps.any() else numbers.astype(np.int64) if whole else numbers
    return values


def _kind(present: np.ndarray) -> str:
    if present.dtype.kind == "f":
        return "regression"
    whole = present.dtype.kind in "iu" or all(isinstance(one, int) and not isinstance(one, bool) for one in present)
    return "regression" if whole and len(set(present.tolist())) > CLASS_LIMIT else "classification"


def cells_of(x: Any, names: Sequence[str]) -> dict[str, Cells]:
    """The cells of X.

    Args:
        x: A DataFrame, or an array [n, F].
        names: Of its columns.
    """
    frame = x if isinstance(x, pd.DataFrame) else pd.DataFrame(np.asarray(x))
    return frame_cells(frame.set_axis(list(names), axis=1), _X)


def described(cells: Mapping[str, Cells], targets: Sequence[Target], train: np.ndarray, seed: int) -> TableDescription:
    """The description of a table that lies in memory.

    Numbers are inputs as they are; text, booleans and categories become one input for each of at most 100 categories.

    Args:
        cells: The columns of X.
        targets: Those of y.
        train: Numbers of the training rows.
        seed: By which they were drawn.

    Raises:
        UmbelError: A column cannot be used or told apart: names it.
    """
    return TableDescription(
        inputs=_inputs(cells, train),
        targets=tuple(_target(target, train) for target in targets),
        image=None,
        split=RandomSplit(seed=seed),
        splits=(),
        missing=MISSING_WORDS,
    )


def _inputs(cells: Mapping[str, Cells], train: np.ndarray) -> tuple[InputColumn, ...]:
    values, columns = {}, []
    for name, column in cells.items():
        if column.trouble:
            raise UmbelError(f"X: column {name!r} holds {column.trouble}; spread them over columns or drop it")
        numbers = None if column.text else numbers_of(column, MISSING_WORDS)
        values[name] = names_of(column, MISSING_WORDS) if numbers is None else numbers
        if (trouble := out_of_range(values[name])) is not None:
            raise UmbelError(f"X: column {name!r} is {trouble}; leave the cell blank")
        present = values[name][~is_missing(values[name])]
        distinct = len(set(present.tolist())) if numbers is None else 0
        if distinct > CATEGORY_LIMIT or (distinct > 2 and distinct == len(present)):
            raise UmbelError(f"X: column {name!r} is text with {distinct} different values; drop it")
        kind = "category" if numbers is None else "number"
        columns.append(Column(name, "input", kind, distinct, len(values[name]) - len(present)))
    return input_columns(_X, columns, values, {"train": train})


def class_names(classes: np.ndarray) -> tuple[str, ...]:
    """Labels as a file has them, which is how the run knows them.

    Raises:
        UmbelError: Two would be written alike.
    """
    names = names_of(frame_cells(pd.DataFrame({"y": classes}), _Y)["y"], ())
    if len(set(names)) < len(names) or None in names:
        raise UmbelError("y: two classes are written alike, or one is blank; give them names that differ")
    return tuple(names)


def _target(target: Target, train: np.ndarray) -> TargetColumn:
    if target.kind == "regression":
        return target_column(_Y, target.name, target.values.astype(np.float64), {"train": train})
    classes = target.classes()
    if len(classes) < 2:
        raise UmbelError(
            f"target {target.name!r} has only one class ({classes.tolist()[0]!r}); there is nothing to learn"
        )
    return TargetColumn(target.name, "classification", classes=class_names(classes))


def dealt(count: int, targets: Sequence[Target], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that teach and of those that choose the best step; all for both where there are few."""
    every = np.arange(count)
    if count < FEWEST_ROWS:
        return every, every
    order = torch.randperm(count, generator=seeded(seed, count)).numpy()
    held = round(HELD_OUT * count)
    parts = np.sort(order[held:]), np.sort(order[:held])
    if all(_teachable(target, part) for target in targets for part in parts):
        return parts
    return every, every


def _teachable(target: Target, part: np.ndarray) -> bool:
    present = target.values[part][~target.gaps[part]]
    return len(present) > 0 and bool((present != present[0]).any())


def described_data(
    cells: Mapping[str, Cells], targets: Sequence[Target], description: TableDescription, parts: Sequence[np.ndarray]
) -> MultiTaskData:
    """The set of these rows, whose test part is the validation part.

    Args:
        cells: The columns of X.
        targets: Those of y.
        description: Of both.
        parts: Numbers of the rows for training and validation.
    """
    values = described_values(_X, cells, description)
    labels = {target.name: _labels(target) for target in targets}
    train, validation = (
        TensorSource(
            Batch(
                input_tensor(_X, values, description, part),
                {name: torch.from_numpy(label[part]) for name, label in labels.items()},
            )
        )
        for part in parts
    )
    return MultiTaskData(
        GIVEN_ROWS,
        "rows given to fit",
        description.tasks(),
        train,
        validation,
        validation,
        description.input_shape,
        reading=description,
    )


def _labels(target: Target) -> np.ndarray:
    """float64 [n, 1], or int64 [n] with -1 where there is none."""
    if target.kind == "regression":
        return np.where(target.gaps, np.nan, np.where(target.gaps, 0, target.values).astype(np.float64))[:, None]
    classes, codes = target.classes(), np.full(len(target.values), -1)
    present = target.values[~target.gaps]
    codes[~target.gaps] = np.searchsorted(classes, present.astype(classes.dtype))
    return codes
