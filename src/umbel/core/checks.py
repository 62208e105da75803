"""Checks that run before or during training and name the culprit."""

import inspect
from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, MethodType

import torch
from torch import nn

from umbel.core.batch import Batch
from umbel.core.losses import Losses
from umbel.core.task import Task
from umbel.errors import UmbelError

_USUAL = (0.01, 3.0)  # scales that count as standard, and the largest distance of a centre from 0
_OF_CLASSES = ("classification", "segmentation", "liveness")


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
    check_classes(tasks, batch, where)
    for task in tasks:
        target = task.target_of(batch)
        mask = task.labelled(target)
        if not bool(mask.any()):
            raise UmbelError(f"{where}: task {task.name!r} has no label at all; drop the task or add labels")
        if mask.shape == target.shape and task.kind in _OF_CLASSES:
            present = target[mask]
            if task.kind == "liveness" and bool((present > 0).all() or (present == 0).all()):
                only = "live samples" if int(present[0]) == 0 else "attacks"
                raise UmbelError(f"{where}: task {task.name!r} has only {only}; a detector of attacks needs both")
            if bool((present == present[0]).all()):
                one = int(present[0])
                raise UmbelError(f"{where}: task {task.name!r} has only one class ({one}); drop it or add data")


def check_classes(tasks: tuple[Task, ...], batch: Batch, where: str) -> None:
    """Refuse class labels that are no whole numbers or out of range. On an accelerator torch would end the process.

    Raises:
        UmbelError: Names the set, the task and what to do.
    """
    for task in tasks:
        target = task.target_of(batch) if task.kind in _OF_CLASSES else None
        if target is None or not target.numel():
            continue
        if target.is_floating_point():
            given = str(target.dtype).split(".")[1]
            raise UmbelError(
                f"{where}: task {task.name!r} has classes of type {given}; give whole numbers (int64), negative where "
                "missing"
            )
        top = int(target.masked_fill(~task.labelled(target), 0).max())
        classes = len(task.labels) if task.kind == "liveness" else task.outputs
        if top >= classes:
            raise UmbelError(f"{where}: task {task.name!r} has label {top}; its classes are 0 to {classes - 1}")


def check_scales(tasks: tuple[Task, ...], batches: Iterable[Batch]) -> None:
    """Refuse tasks whose scale was to come from the training split and never did, where it matters.

    Args:
        tasks: Those that are learnt.
        batches: Of the training split; one is looked at, and only where a task has something left open.

    Raises:
        UmbelError: The targets of a task are far from 0 ± 1: names the task and what to do.
    """
    unsettled = [task for task in tasks if task.from_training is not None]
    batch = next(iter(batches), None) if unsettled else None
    if batch is None:
        return
    for task in unsettled:
        settled, zero = task.fitted([task.target_of(batch)]), torch.zeros(1, task.outputs)
        centre = settled.decode(zero).double()
        scale = settled.decode(zero + 1).double() - centre
        if bool((centre.abs() > _USUAL[1]).any() or (scale > _USUAL[1]).any() or (scale < _USUAL[0]).any()):
            raise UmbelError(
                f"task {task.name!r} has no centre and scale, and its targets are about {float(centre.mean()):.3g} ± "
                f"{float(scale.mean()):.3g}; make the learner of the tasks of the data (data.tasks), which take both "
                "from the training split, or give them"
            )


def check_loss_parameters(tasks: tuple[Task, ...], trained: Iterable[nn.Parameter]) -> None:
    """Refuse losses with parameters of their own that want gradients but that nothing trains.

    Raises:
        UmbelError: Names the task and what to do.
    """
    known = {id(p) for p in trained}
    for task in tasks:
        for parameter in _parameters_in(task.loss):
            if parameter.requires_grad and id(parameter) not in known:
                raise UmbelError(
                    f"task {task.name!r}: its loss has a parameter of shape {list(parameter.shape)} that is not "
                    "trained; make the loss a submodule of the learner, or freeze it with requires_grad_(False)"
                )


def check_dense(learner: nn.Module) -> None:
    """Refuse layers with sparse gradients: descents and optimizers here need dense ones.

    Raises:
        UmbelError: Names the layer.
    """
    for name, module in learner.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise UmbelError(
                f"layer {name!r} gives sparse gradients, which cannot be trained here; make it sparse=False"
            )


def _parameters_in(loss: object) -> Iterator[nn.Parameter]:
    """Those of a module, also inside a partial, a bound method or a closure."""
    if isinstance(loss, nn.Parameter):
        yield loss
    elif isinstance(loss, nn.Module):
        yield from loss.parameters()
    elif isinstance(loss, partial):
        for part in (loss.func, *loss.args, *loss.keywords.values()):
            yield from _parameters_in(part)
    elif isinstance(loss, MethodType):
        yield from _parameters_in(loss.__self__)
    elif isinstance(loss, FunctionType):
        for value in inspect.getclosurevars(loss).nonlocals.values():
            if isinstance(value, nn.Parameter | nn.Module):
                yield from _parameters_in(value)
