"""Optimizer and learning-rate schedule; the schedule is a pure function of the step."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from umbel.core import ParameterGroup
from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError


def make_optimizer(
    modules: Iterable[nn.Module], settings: FitSettings, groups: Sequence[ParameterGroup] = ()
) -> torch.optim.Optimizer:
    """The optimizer of all trainable parameters of the given modules.

    Parameters with fewer than two axes (biases, norms, log-variances) are not decayed.

    Args:
        modules: A parameter that several hold is one.
        settings: Which optimizer, and the rates.
        groups: Parameters that learn otherwise (`Learner.parameter_groups`).

    Raises:
        UmbelError: Nothing is trainable, or a group holds a parameter of another group or of no module.
    """
    rest = {id(p): p for m in modules for p in m.parameters() if p.requires_grad}
    if not rest:
        raise UmbelError("the learner has no trainable parameter; is everything frozen?")
    named = [_taken(rest, group, number) for number, group in enumerate(groups)]
    parts = [*_optimizer_groups(list(rest.values()), ParameterGroup(()), settings)]
    for parameters, group in zip(named, groups, strict=True):
        parts += _optimizer_groups(parameters, group, settings)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parts, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(parts, lr=settings.learning_rate, fused=True)


def _taken(rest: dict[int, nn.Parameter], group: ParameterGroup, number: int) -> list[nn.Parameter]:
    """The trainable parameters of a group, taken out of the rest."""
    trained = [p for p in group.parameters if p.requires_grad]
    if not all(id(p) in rest for p in trained) or len({id(p) for p in trained}) < len(trained):
        raise UmbelError(
            f"parameter group {number} holds a parameter twice, of another group, or that the learner does not have"
        )
    return [rest.pop(id(p)) for p in trained]


def _optimizer_groups(
    parameters: list[nn.Parameter], group: ParameterGroup, settings: FitSettings
) -> list[dict[str, Any]]:
    """What decays, and what does not; a part without parameters is left out."""
    common = {"rate": group.rate, "maximize": group.maximise}
    parts = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay * group.decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [{**part, **common} for part in parts if part["params"]]


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up the state of a run whose parameters were grouped alike.

    Raises:
        UmbelError: Its groups had other rates or decays, or ascended.
    """

    def said(group: dict[str, Any]) -> tuple[float, float, bool]:
        rate = group.get("rate", 1.0)  # checkpoints of before there were groups have none
        return rate, group["weight_decay"], group["maximize"]

    now = [said(group) for group in optimizer.param_groups]
    before = [said(group) for group in state["param_groups"]]
    if before != now:
        raise UmbelError(
            f"the run to go on with had parameter groups of (rate, decay, ascent) {before}, not {now}; use the same"
        )
    optimizer.load_state_dict(state)
    for group, (rate, _, _) in zip(optimizer.param_groups, now, strict=True):
        group["rate"] = rate


def learning_rate_factor(step: int, steps: int, settings: FitSettings) -> float:
    """What the peak learning rate is multiplied by at a step.

    Args:
        step: 0 to steps - 1.
        steps: Length of the run.
        settings: Schedule and warm-up.
    """
    if settings.schedule == "one-cycle":
        rise = 0.3 * steps
        if step < rise:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2
        return (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2
    warm = round(settings.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if settings.schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the learning rate, times its own multiple."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]
