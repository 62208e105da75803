"""A trained run, opened: predictions for new rows in natural units, without the data that it learnt from."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from umbel.core import Batch, Evaluation, Learner, OperatingPoint
from umbel.data import TensorSource
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import TableDescription
from umbel.data.task_records import TaskRecord
from umbel.engine import FabricRuntime, evaluate
from umbel.engine.progress import Reporter, Silent
from umbel.errors import UmbelError
from umbel.inference.answers import answer_columns, column_values, decoded
from umbel.inference.late_progress import LateProgress
from umbel.inference.new_inputs import NewInputs, new_inputs
from umbel.methods.controllable import is_controllable
from umbel.recipes.liveness import KeptLiveness, kept_liveness
from umbel.recipes.operating_point import parse_point

BATCH_SIZE = 256
"""Rows that go through the network at a time, where nothing else is said."""


class RowsWarning(UserWarning):
    """What is odd about rows that are predicted all the same."""


class Predictor:
    """A trained network that answers for new rows; made by `load`.

    It computes in float32 whatever the training's precision was, on the accelerator where there is one. A row's answer
    depends neither on the other rows nor on the size of the batches, but for the last digits of float32.

    Args:
        learner: The trained network.
        record: What is known of its data.
        runtime: The device.
        path: Its checkpoint.

    Attributes:
        inputs: How rows, pictures or arrays become what the network gets.
        liveness: Calibration and threshold of a detector of presentation attacks, whose probabilities are calibrated
            by it; None of other networks, and where a training kept none.
    """

    def __init__(self, learner: Learner, record: DataRecord, runtime: FabricRuntime, path: Path) -> None:
        if isinstance(record.inputs, PaddedPictures):
            raise UmbelError(f"{path} finds boxes; open it with umbel.inference.load_detector")
        self.learner = learner.to(runtime.device).eval()
        self.inputs: TableDescription | PlainInputs = record.inputs
        self._runtime = runtime.with_settings("float32", 1)
        self._tasks = {task.name: task for task in learner.tasks}
        self.record = record
        self.path = path
        self.liveness = kept_liveness(path)

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """What is predicted: kinds, labels and units."""
        return self.record.outputs

    @property
    def takes_pictures(self) -> bool:
        """Whether it learnt from pictures."""
        return self.inputs.image is not None if isinstance(self.inputs, TableDescription) else self.inputs.pictures

    def calibration(self, point: str | Mapping[str, Any] | None = None) -> KeptLiveness | None:
        """`liveness`, where the network has the width that it was measured at, the full one; else None.

        Args:
            point: As for `predict`.
        """
        return None if point else self.liveness

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """Task -> label -> column of `predict`; the answer itself has the label ""."""
        return answer_columns(self.tasks)

    def read(self, rows: Any, *, pictures_anywhere: bool = False, labels: bool = False) -> NewInputs:
        """Check rows and tell what is odd about them, without predicting. The others take the result as rows, too.

        Args:
            rows: See `predict`.
            pictures_anywhere: Read pictures outside the table's folder, too: absolute paths, paths through "..", links.
            labels: Read the columns of targets, too, as `evaluate` needs them; else they are not looked at.

        Raises:
            UmbelError: They do not fit what the run learnt from.
        """
        return rows if isinstance(rows, NewInputs) else new_inputs(rows, self.inputs, pictures_anywhere, labels)

    def predict(
        self,
        rows: Any,
        point: str | Mapping[str, Any] | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        reporter: Reporter | None = None,
    ) -> pd.DataFrame:
        """Predictions for new rows, which need no targets.

        Columns are as in the training's table, in any order; others are not looked at. A category that no training row
        had counts as none of the known ones, a blank number as the mean; a warning tells how many there were where the
        training rows had none.

        Args:
            rows: A DataFrame, a list of dicts, or the path of a CSV, TSV or Parquet file. For pictures also a folder, a
                list of paths or of PIL pictures, or an array [n, C, H, W] of bytes or of floats from 0 to 1. For
                other inputs an array [n, ...] or the path of an .npy file.
            point: Widths of a network that can be turned, as "width=0.5,heads=0.25" or an operating point; None for
                its full ones.
            batch_size: Rows at a time.
            reporter: Hears how far it is when it takes long.

        Returns:
            A row for each, with the index of a given DataFrame (file names for a folder), in natural units. Columns:
            `NAME` with the likeliest class and `NAME: CLASS` with its probability for each class of a classification;
            `NAME` with the value of a regression; `NAME: LABEL` for each of several outputs; `NAME: live` with the
            probability of a liveness, calibrated where `calibration` is known. See also `columns`.

        Raises:
            UmbelError: The rows do not fit (names row and column), the network has no such widths, or all that it
                predicts are maps or pictures.
        """
        names = self.columns
        if not names:
            raise UmbelError(
                f"{self.path} predicts maps or pictures only; use predict_arrays, or --out with a name in .npz"
            )
        inputs = self.read(rows)
        _warn(inputs.notes if inputs is not rows else ())
        answers = self._answers(inputs, point, batch_size, reporter, list(names))
        columns: dict[str, np.ndarray] = {}
        for record in self.tasks:
            if record.name in names:
                columns |= column_values(record, names[record.name], answers[record.name])
        return pd.DataFrame(columns, index=inputs.index)

    def predict_arrays(
        self,
        rows: Any,
        point: str | Mapping[str, Any] | None = None,
        *,
        batch_size: int = BATCH_SIZE,
        reporter: Reporter | None = None,
    ) -> dict[str, np.ndarray]:
        """Decoded predictions of every task as arrays [n, outputs] or [n, outputs, H, W], maps and pictures included.

        Args:
            rows: See `predict`, as all the others.
            point: Widths of a network that can be turned.
            batch_size: Rows at a time.
            reporter: Hears how far it is.

        Raises:
            UmbelError: As `predict`.
        """
        inputs = self.read(rows)
        _warn(inputs.notes if inputs is not rows else ())
        return self._answers(inputs, point, batch_size, reporter, list(self._tasks))

    def evaluate(
        self, rows: Any, point: str | Mapping[str, Any] | None = None, *, batch_size: int = BATCH_SIZE
    ) -> Evaluation:
        """Metrics on new rows that have labels; a task without any label there has NaN.

        A warning tells how many of them have the same inputs as rows that the run learnt from.

        Args:
            rows: A table, see `predict`, with columns of the targets.
            point: Widths of a network that can be turned.
            batch_size: Rows at a time.

        Raises:
            UmbelError: The rows do not fit, or hold no label at all.
        """
        inputs = self.read(rows, labels=True)
        targets = {task.name: inputs.targets[task.name] for task in self.learner.tasks if task.name in inputs.targets}
        if not any(bool(self._tasks[name].labelled(target).any()) for name, target in targets.items()):
            raise UmbelError(f"no row has a label; add a column for {', '.join(map(repr, self._tasks))} to evaluate")
        samples = Batch(inputs.read(np.arange(len(inputs))), targets)
        if inputs is not rows:
            _warn([*inputs.notes, *([] if not (old := self.trained_on(inputs)) else [old])])
        return evaluate(self.learner, TensorSource(samples), self._runtime, self._point(point), batch_size)

    def trained_on(self, inputs: NewInputs) -> str:
        """A sentence that says how many rows have the inputs of rows that the run learnt from; empty for none.

        Also where that is not known: of streamed sets, and of more than 100,000 training rows.

        Args:
            inputs: What `read` gave.
        """
        pieces = np.array_split(np.arange(len(inputs)), -(-len(inputs) // BATCH_SIZE))
        old = sum(self.record.learnt_from(inputs.read(some)) or 0 for some in pieces) if self.record.learnt else 0
        return f"{old} of {len(inputs)} rows have the same inputs as rows that it was trained on" if old else ""

    def _answers(
        self,
        inputs: NewInputs,
        point: str | Mapping[str, Any] | None,
        batch_size: int,
        reporter: Reporter | None,
        tasks: Sequence[str],
    ) -> dict[str, np.ndarray]:
        if batch_size < 1:
            raise UmbelError(f"the batch size is {batch_size}; it must be at least 1")
        at, records = self._point(point), {record.name: record for record in self.tasks}
        kept = self.calibration(point)
        parts: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
        for some in _with_progress(len(inputs), batch_size, reporter or Silent()):
            raw = self._raw(inputs.read(some), at)
            for name in tasks:
                own = kept if kept is not None and kept.task == name else None
                answer = own.probability(raw[name]) if own else decoded(records[name], self._tasks[name], raw[name])
                parts[name].append(answer.numpy())
        return {name: np.concatenate(pieces) for name, pieces in parts.items()}

    def _raw(self, inputs: Tensor, point: OperatingPoint) -> dict[str, Tensor]:
        batch = Batch(inputs.to(self._runtime.device))
        with torch.no_grad(), self._runtime.autocast():
            return {name: raw.float().cpu() for name, raw in self.learner.predict(batch, point).items()}

    def _point(self, point: str | Mapping[str, Any] | None) -> OperatingPoint:
        if point is None or point == "":
            return self.learner.sweep()[0]
        if not is_controllable(self.learner):
            raise UmbelError(f"{self.path} has one width only; leave the point out")
        return parse_point(point, list(self._tasks)) if isinstance(point, str) else OperatingPoint(point)


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        warnings.warn(note, RowsWarning, stacklevel=3)


def _with_progress(count: int, batch_size: int, reporter: Reporter) -> Iterator[np.ndarray]:
    """Numbers of rows in batches; the reporter hears of it once it takes long."""
    progress = LateProgress(reporter, count)
    for start in range(0, count, batch_size):
        end = min(start + batch_size, count)
        yield np.arange(start, end)
        progress.at(end)
    progress.end()
