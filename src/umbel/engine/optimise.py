"""Optimizer and learning-rate schedule; the schedule is a pure function of the step."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from umbel.engine.settings import FitSettings
from umbel.errors import UmbelError


def make_optimizer(modules: Iterable[nn.Module], settings: FitSettings) -> torch.optim.Optimizer:
    """The optimizer of all trainable parameters of the given modules.

    Parameters with fewer than two axes (biases, norms, log-variances) are not decayed.

    Raises:
        UmbelError: Nothing is trainable.
    """
    parameters = list({id(p): p for m in modules for p in m.parameters() if p.requires_grad}.values())
    if not parameters:
        raise UmbelError("the learner has no trainable parameter; is everything frozen?")
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


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
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
