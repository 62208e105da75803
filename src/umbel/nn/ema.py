"""A teacher that follows a student."""

import copy
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from umbel.arguments import one_of, whole_number
from umbel.core import UmbelError

Buffers = Literal["average", "copy", "keep"]


class ExponentialMovingAverage(nn.Module):
    """A copy of a module whose weights are a moving average of that module's.

        teacher <- decay * teacher + (1 - decay) * student        at every k-th call of `update`

    What counts is how far it moves in a step of training: a decay of 0.99 at every 2500th step is as slow as one of
    0.999996 at each. Of a student that learns from its own teacher's answers, a fast teacher learns its own mistakes.

    The copy is part of the state, so it is saved and resumed with whatever holds it, and so is the number of calls. It
    learns nothing itself (no parameter of it requires a gradient) and is always in evaluation mode.

    Source: Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017.
    Differs from the paper: what becomes of buffers is said; the decay is constant.

    Args:
        student: What is followed. It is not kept: `update` is given it.
        decay: 0 copies the student when it moves, 1 never moves.
        every: The teacher moves at every so many calls of `update`: 1 for each step, those of a pass for once a pass.
        buffers: Floating-point buffers (running statistics) are averaged like weights ("average"), taken from the
            student when it moves ("copy"), or left as they are ("keep"). Other buffers are taken, unless kept.

    Attributes:
        teacher: The copy.
        calls: int64: how many times `update` was called.
    """

    calls: Tensor

    def __init__(self, student: nn.Module, decay: float = 0.999, every: int = 1, buffers: Buffers = "average") -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise UmbelError(f"the decay of a moving average is {decay}; it must be between 0 and 1")
        self.decay = decay
        self.every = whole_number(every, "every (of a moving average)", least=1)
        self.buffers_are = one_of(buffers, "buffers", get_args(Buffers))
        self.teacher = copy.deepcopy(student).requires_grad_(False).eval()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> "ExponentialMovingAverage":
        """Set the mode of this module; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move the teacher towards the student, when it is time: call it after each step.

        Raises:
            UmbelError: The student's parts are not those that the teacher was copied from.
        """
        followed = dict([*student.named_parameters(), *student.named_buffers()])
        followers = dict([*self.teacher.named_parameters(), *self.teacher.named_buffers()])
        if {n: t.shape for n, t in followed.items()} != {n: t.shape for n, t in followers.items()}:
            raise UmbelError("the student is not the module that its teacher was copied from")
        self.calls += 1
        if int(self.calls) % self.every:
            return
        weights = {name for name, _ in self.teacher.named_parameters()}
        for name, follower in followers.items():
            if name not in weights and self.buffers_are == "keep":
                continue
            averaged = name in weights or self.buffers_are == "average"
            if averaged and follower.is_floating_point():
                follower.lerp_(followed[name].to(follower), 1 - self.decay)
            else:
                follower.copy_(followed[name])

    @torch.no_grad()
    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the teacher answers, without a graph."""
        return self.teacher(*inputs, **settings)
