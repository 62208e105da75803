"""A teacher that follows a student."""

import copy
from typing import Any

import torch
from torch import nn

from umbel.core import UmbelError


class ExponentialMovingAverage(nn.Module):
    """A copy of a module whose weights are a moving average of that module's.

        teacher <- decay * teacher + (1 - decay) * student

    The copy is part of the state, so it is saved and resumed with whatever holds it. It learns nothing itself
    (no parameter of it requires a gradient) and is always in evaluation mode.

    Source: Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017.
    Differs from the paper: floating-point buffers (running statistics) are averaged too, other buffers copied;
    the decay is constant.

    Args:
        student: What is followed. It is not kept: `update` is given it.
        decay: 0 copies the student at each update, 1 never moves.

    Attributes:
        teacher: The copy.
    """

    def __init__(self, student: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise UmbelError(f"the decay of a moving average is {decay}; it must be between 0 and 1")
        self.decay = decay
        self.teacher = copy.deepcopy(student).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ExponentialMovingAverage":
        """Set the mode of this module; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move the teacher towards the student: call it after each step.

        Raises:
            UmbelError: The student's parts are not those that the teacher was copied from.
        """
        followed = dict([*student.named_parameters(), *student.named_buffers()])
        followers = dict([*self.teacher.named_parameters(), *self.teacher.named_buffers()])
        if {n: t.shape for n, t in followed.items()} != {n: t.shape for n, t in followers.items()}:
            raise UmbelError("the student is not the module that its teacher was copied from")
        for name, follower in followers.items():
            if follower.is_floating_point():
                follower.lerp_(followed[name].to(follower), 1 - self.decay)
            else:
                follower.copy_(followed[name])

    @torch.no_grad()
    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the teacher answers, without a graph."""
        return self.teacher(*inputs, **settings)
