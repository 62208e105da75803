"""Checks that run before or during training and name the culprit."""

import torch

from umbel.core.batch import Batch
from umbel.core.losses import Losses
from umbel.core.task import Task
from umbel.errors import UmbelError


def check_finite(losses: Losses) -> None:
    """Stop when a loss is NaN or infinite.

    Raises:
        UmbelError: Names the losses that are not finite.
    """
    if torch.isfinite(losses.stack()).all():
        return
    bad = [f"{name} is {value.item()}" for name, value in losses.items() if not torch.isfinite(value)]
    raise UmbelError(f"loss of {'; '.join(bad)}; lower the learning rate, clip gradients or look at the inputs")


def check_inputs(batch: Batch, where: str) -> None:
    """Refuse inputs that are not finite.

    Raises:
        UmbelError: Names the set and the first sample.
    """
    tensors = {"": batch.inputs} if isinstance(batch.inputs, torch.Tensor) else batch.inputs
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not (finite := torch.isfinite(tensor).reshape(len(tensor), -1).all(1)).all():
            first = int((~finite).nonzero()[0])
            part = f" {name!r}" if name else ""
            raise UmbelError(f"{where}: inputs{part} of sample {first} hold NaN or infinity; clean or fill them first")


def check_labels(tasks: tuple[Task, ...], batch: Batch, where: str) -> None:
    """Refuse labels that cannot be learnt from: none at all, one class only, or out of range.

    Raises:
        UmbelError: Names the set, the task and what to do.
    """
    for task in tasks:
        target = task.target_of(batch)
        mask = task.labelled(target)
        if not bool(mask.any()):
            raise UmbelError(f"{where}: task {task.name!r} has no label at all; drop the task or add labels")
        if target.is_floating_point() or mask.shape != target.shape:
            continue
        if task.kind not in ("classification", "segmentation"):
            continue
        present = target[mask]
        if (top := int(present.max())) >= task.outputs:
            raise UmbelError(f"{where}: task {task.name!r} has label {top}; its classes are 0 to {task.outputs - 1}")
        if bool((present == present[0]).all()):
            raise UmbelError(f"{where}: task {task.name!r} has only one class ({int(present[0])}); drop it or add data")
