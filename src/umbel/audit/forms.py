"""What the target of a task holds, so that attackers without gradients can answer it: classes, yes/no or values."""

from typing import Literal

import torch
from torch import Tensor

from umbel.core import Task, labelled

Form = Literal["classes", "yes/no", "values"]
_RARE = 1e-3  # a share of 0 or 1 that was counted is not certain


def form_of(task: Task, target: Tensor) -> Form | None:
    """The form of a task, read from how it decodes raw predictions; None for any other, as directions.

    Args:
        task: Whose.
        target: [n, ...], as the task has it.
    """
    shape = (1, task.outputs) + (1,) * max(target.ndim - (2 if target.is_floating_point() else 1), 0)
    if not target.is_floating_point():
        return "classes" if task.outputs > 1 and target.dtype != torch.bool and target.ndim in (1, 3) else None
    if target.ndim < 2 or target.shape[1] != task.outputs:
        return None
    try:
        below, zero, one, two = (task.decode(torch.full(shape, value)).double() for value in (-1.0, 0.0, 1.0, 2.0))
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None  # a decoding of its own, which wants something else
    if below.shape != shape:
        return None
    steps = [one - zero, zero - below, two - one]
    if all(torch.allclose(step, steps[0], rtol=1e-3) for step in steps) and bool((steps[0] > 0).all()):
        return "values"
    return "yes/no" if bool((zero == 0.5).all() and (below > 0).all() and (two < 1).all()) else None


def units_of(task: Task, target: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and scale of values, [1, K, ...] float64: natural = centre + scale * raw."""
    shape = (1, task.outputs) + (1,) * (target.ndim - 2)
    centre = task.decode(torch.zeros(shape)).double()
    return centre, task.decode(torch.ones(shape)).double() - centre


def numbers_of(task: Task, form: Form, target: Tensor) -> tuple[Tensor, Tensor]:
    """A target as numbers whose mean over samples means something: shares of classes or of yes, raw values.

    Args:
        task: Whose.
        form: Its form.
        target: [n, ...], missing labels included.

    Returns:
        [n, K, ...] float32, 0 where missing; and which are labelled, bool, of a shape that broadcasts to it.
    """
    known = labelled(target)
    if form == "classes":
        ones = torch.nn.functional.one_hot(target.clamp(min=0), task.outputs).float().movedim(-1, 1)
        return ones * known.unsqueeze(1), known.unsqueeze(1)
    if form == "values":
        centre, scale = units_of(task, target)
        target = ((target.double() - centre) / scale).float()
    return torch.where(known, target, 0).float(), known


def raw_of(form: Form, numbers: Tensor) -> Tensor:
    """Means of `numbers_of` as raw predictions: logits of shares, values as they are."""
    if form == "classes":
        return numbers.clamp(min=1e-6).log()
    return numbers.clamp(_RARE, 1 - _RARE).logit() if form == "yes/no" else numbers


def number_count(numbers: Tensor) -> int:
    """How many numbers each sample of a tensor [n, ...] has."""
    return numbers[:1].numel() if len(numbers) else 0
