"""Batches of inputs as users have them, with the answers of the network that is exported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umbel.control.timing import random_input
from umbel.core import MultiTaskModel, OperatingPoint, Task, UmbelError
from umbel.data import as_float
from umbel.data.cell_values import is_number, names_of, numbers_of
from umbel.data.cells import Cells
from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import InputColumn, TableDescription
from umbel.data.table_rows import input_tensor
from umbel.data.task_records import TaskRecord

Inputs = TableDescription | PlainInputs
"""How a row, a picture or an array becomes an input."""

BATCH_SIZES = (1, 3)  # other than that of the trace
_ROWS = 40  # of a table, so that most categories come
_UNSEEN = "no such category"


@dataclass(frozen=True)
class Case:
    """A batch, and what the original network answers.

    Attributes:
        columns: Of a table: column -> float64 (NaN is missing) or texts (object), [rows]; empty otherwise.
        inputs: What a program of torch takes: pictures of bytes, otherwise what the network takes.
        expected: Task -> decoded answer.
    """

    columns: Mapping[str, np.ndarray]
    inputs: Tensor
    expected: Mapping[str, Tensor]


def takes_pictures(inputs: Inputs) -> bool:
    """Whether inputs are pictures of bytes 0 to 255."""
    return inputs.image is not None if isinstance(inputs, TableDescription) else inputs.pictures


@torch.no_grad()
def make_cases(model: MultiTaskModel, point: OperatingPoint, tasks: Sequence[Task], inputs: Inputs) -> list[Case]:
    """Batches with the answers of the model, which must be the same whatever the random numbers are.

    Raises:
        UmbelError: An answer is not finite or random.
    """
    table = isinstance(inputs, TableDescription) and inputs.image is None
    cases = []
    for size in (*BATCH_SIZES, _ROWS) if table else BATCH_SIZES:
        columns = _random_columns(inputs, size) if isinstance(inputs, TableDescription) and table else {}
        given = _given(model, inputs, columns, size)
        answers = [_answers(model, point, as_float(given), seed) for seed in (0, 1)]
        for task in tasks:
            first, second = (answer[task.name] for answer in answers)
            if not torch.isfinite(first).all():
                what = f"task {task.name!r} gives values that are not finite"
                raise UmbelError(f"{what} at this point; mend the model first")
            if not torch.equal(first, second):
                place = f"the link of task {task.name!r}" if task.name in model.links else f"task {task.name!r}"
                raise UmbelError(f"{place} answers at random at this point; export a model without that randomness")
        cases.append(Case(columns, given, {task.name: _decoded(task, answers[0][task.name]) for task in tasks}))
    return cases


def _answers(model: MultiTaskModel, point: OperatingPoint, inputs: Tensor, seed: int) -> Mapping[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return model(inputs, point)


def _decoded(task: Task, raw: Tensor) -> Tensor:
    return raw if TaskRecord.of(task).answers == "code" else task.decode(raw)


def _given(model: MultiTaskModel, inputs: Inputs, columns: Mapping[str, np.ndarray], size: int) -> Tensor:
    """What a program of torch takes."""
    if isinstance(inputs, TableDescription) and columns:
        values = {c.name: _typed(columns[c.name], c, inputs) for c in inputs.inputs}
        return input_tensor(Path("rows to check"), values, inputs, np.arange(size))
    drawn = random_input(inputs.input_shape, size, seed=size)
    if takes_pictures(inputs):
        return (drawn * 256).to(torch.uint8)
    return drawn.to(next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32))


def _typed(cells: np.ndarray, column: InputColumn, table: TableDescription) -> np.ndarray:
    if column.kind == "number":
        numbers = numbers_of(Cells(column.name, cells, np.isnan(cells)), table.missing)
        return cells if numbers is None else numbers
    return names_of(Cells(column.name, cells, cells == ""), table.missing)


def _random_columns(table: TableDescription, size: int) -> dict[str, np.ndarray]:
    """Cells as a file may have them: numbers about as they were, categories, gaps, and what training never showed."""
    generator = np.random.default_rng(size)
    columns = {}
    for column in table.inputs:
        if column.kind == "number":
            numbers = column.centre + (column.scale or 1.0) * generator.normal(size=size)
            gaps = [np.nan, *(float(word) for word in table.missing if is_number(word))]
            columns[column.name] = np.where(generator.random(size) < 0.2, generator.choice(gaps, size), numbers)
        else:
            words = [*column.categories, *table.missing, "", _UNSEEN]
            words += [f"{word}.0" for word in words]
            columns[column.name] = np.array(generator.choice(words, size).tolist(), dtype=object)
    return columns
