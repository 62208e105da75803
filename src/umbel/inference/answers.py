"""Raw predictions as people read them: probabilities, names of classes, natural units; and what their columns are."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from umbel.core import Task
from umbel.data.task_records import TaskRecord

VALUE = ""
"""Key of the column that holds a task's answer itself: the likeliest class, or the one value."""


def answer_columns(records: Sequence[TaskRecord]) -> dict[str, dict[str, str]]:
    """Which columns of the predictions belong to which task.

    A classification has a column with its name (the likeliest class) and "NAME: CLASS" (the probability) for each
    class; a regression with one value has one column with its name; anything else "NAME: LABEL" for each output, or
    "NAME: 0", "NAME: 1" where they have no labels. Where two would be called alike, as those of a task "a: b" beside a
    class "b" of task "a", the later one gets as many apostrophes behind it as make it differ. Tasks whose predictions
    are maps or pictures have none.

    Args:
        records: The tasks.

    Returns:
        Task -> label -> column; the answer itself has the label "" (`VALUE`).
    """
    taken: set[str] = set()
    columns: dict[str, dict[str, str]] = {}
    for record in records:
        if record.output != "vector":
            continue
        names = {}
        if record.answers == "probabilities of classes" or (record.outputs == 1 and record.answers != "probabilities"):
            names[VALUE] = record.name
        if record.outputs > 1 or VALUE not in names:
            names |= {label: f"{record.name}: {label}" for label in record.output_labels}
        for label, name in names.items():
            while name in taken:
                name += "'"  # noqa: PLW2901
            taken.add(name)
            names[label] = name
        columns[record.name] = names
    return columns


def decoded(record: TaskRecord, task: Task, raw: Tensor) -> Tensor:
    """Raw predictions in natural units; vectors in double precision.

    Args:
        record: What is known of the task.
        task: The task itself, for kinds that have no shorter way.
        raw: [n, outputs, ...].

    Returns:
        Of the same shape: probabilities, values, directions or pictures.
    """
    if record.output != "vector":
        return task.decode(raw)
    if record.answers == "probabilities of classes":
        return raw.double().softmax(1)
    if record.answers == "probabilities":
        return raw.double().sigmoid()
    if record.answers == "values":
        centre, scale = (torch.tensor(part, dtype=torch.float64) for part in (record.centre, record.scale))
        return raw.double() * scale + centre
    return task.decode(raw).double()


def column_values(record: TaskRecord, names: Mapping[str, str], answers: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of a task.

    Args:
        record: The task.
        names: Label -> column, as `answer_columns` has it.
        answers: Decoded, [n, outputs].
    """
    outputs = answers.reshape(len(answers), -1)
    columns = {
        column: outputs[:, place]
        for place, column in enumerate(name for label, name in names.items() if label != VALUE)
    }
    if VALUE not in names:
        return columns
    if record.answers != "probabilities of classes":
        return {names[VALUE]: outputs[:, 0]}
    labels = np.array(record.output_labels, dtype=object)
    return {names[VALUE]: labels[outputs.argmax(1)], **columns}


def row_values(record: TaskRecord, names: Mapping[str, str], answer: np.ndarray) -> dict[str, object]:
    """The columns of a task for one row, as plain values.

    Args:
        record: The task.
        names: Label -> column, as `answer_columns` has it.
        answer: Decoded, [outputs].
    """
    columns = column_values(record, names, answer.reshape(1, -1))
    return {
        name: value.item() if isinstance(value := column[0], np.generic) else value for name, column in columns.items()
    }
