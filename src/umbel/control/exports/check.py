"""How far the answers of a file are from those of the network that was exported."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.control.exports.cases import Case
from umbel.control.exports.files import Run
from umbel.core import Task, UmbelError
from umbel.data.task_records import TaskRecord

TOLERANCE = 1e-5
"""Largest difference, relative to the scale of the answers."""


@torch.no_grad()
def differences(file: str, run: Run, tasks: Sequence[Task], cases: Sequence[Case]) -> dict[str, float]:
    """Task -> largest difference of a file, max |a - b| / max(1, max |b|); of values in units of the task's scale.

    Raises:
        UmbelError: One is too large, or not a number.
    """
    worst = dict.fromkeys((task.name for task in tasks), 0.0)
    for case in cases:
        answers = run(case)
        for task in tasks:
            name, expected = task.name, case.expected[task.name]
            answer = answers[name]
            if answer.shape != expected.shape:
                shapes = f"{tuple(answer.shape)} instead of {tuple(expected.shape)}"
                raise UmbelError(f"{file}: task {name!r} answers with shape {shapes}; nothing was exported")
            given, wanted = in_scale(task, answer), in_scale(task, expected)
            difference = float((given - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
            if not difference <= TOLERANCE:
                raise UmbelError(
                    f"{file}: task {name!r} differs from the original network by {difference:.2g} of its scale, more "
                    f"than {TOLERANCE:g}; nothing was exported"
                )
            worst[name] = max(worst[name], difference)
    return worst


def in_scale(task: Task, answer: Tensor) -> Tensor:
    """Answers in double precision, values in standard units."""
    record = TaskRecord.of(task)
    if record.answers != "values":
        return answer.double()
    centre, scale = (torch.tensor(numbers, dtype=torch.float64) for numbers in (record.centre, record.scale))
    return (answer.double() - centre) / scale
