"""What private features are compared with, where adversaries learn in training to read a task from another's features.

Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016 (`gradient_reversal`).
Adversaries with steps of their own are in `private_features_min_max`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from umbel.arguments import real_number
from umbel.core import (
    Batch,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    ParameterGroup,
    Task,
    UmbelError,
    at_point,
)
from umbel.methods.private_features import private_model
from umbel.nn import build_head, seeded_start

ADVERSARIES = "adversaries"
"""Name of what the adversaries lose in `gradient_reversal`."""


class Adversaries(nn.Module):
    """For each pair of tasks, a network that predicts one from what the other is sent.

    From vectors they have two hidden layers behind a batch normalisation, so that the features' scale is no defence.

    Args:
        tasks: At least two.
        shapes: Of what each is sent, by name.
        input_shape: Of one sample.
        seed: Of the random start.
        width: Of the hidden layers.

    Attributes:
        pairs: (whose features, which task is predicted). A map cannot be predicted from a vector: such pairs are left
            out.

    Raises:
        UmbelError: One task only.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        shapes: Mapping[str, tuple[int, ...]],
        input_shape: Sequence[int],
        seed: int,
        width: int = 128,
    ) -> None:
        super().__init__()
        if len(tasks) < 2:
            raise UmbelError(f"adversaries of one task ({tasks[0].name}) have nothing to find out; give two tasks")
        self.tasks = {task.name: task for task in tasks}
        self.pairs = [
            (one, other)
            for one in self.tasks
            for other in self.tasks
            if one != other and (self.tasks[other].output == "vector" or len(shapes[one]) == 3)
        ]
        heads = []
        for one, other in self.pairs:
            with seeded_start(seed, f"adversary at {one} for {other}"):
                heads.append(_adversary(self.tasks[other], shapes[one], input_shape, width))
        self.heads = nn.ModuleList(heads)

    def forward(self, sent: Mapping[str, Tensor], batch: Batch, order: Tensor | None = None) -> Tensor:
        """The sum over pairs of the adversaries' losses.

        Args:
            sent: What each task is sent.
            batch: With the labels.
            order: Int64 [B]; the labels of other samples instead: sample b is said to have those of order[b].
        """
        targets = {name: task.target_of(batch) for name, task in self.tasks.items()}
        if order is not None:
            targets = {name: target[order] for name, target in targets.items()}
        values = [
            self.tasks[other].mean_loss(head(sent[one]), targets[other])
            for (one, other), head in zip(self.pairs, self.heads, strict=True)
        ]
        return torch.stack(values).sum()


def _adversary(task: Task, shape: tuple[int, ...], input_shape: Sequence[int], width: int) -> nn.Module:
    if task.output != "vector":
        return nn.Sequential(nn.BatchNorm2d(shape[0], affine=False), build_head(task, shape, input_shape, width))
    numbers = math.prod(shape)
    return nn.Sequential(
        nn.Flatten(),
        nn.BatchNorm1d(numbers, affine=False),
        nn.Linear(numbers, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, task.outputs),
    )


class Reversed(torch.autograd.Function):
    """The same numbers; the gradient times a negative factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        """What was given."""
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """-weight times the gradient."""
        return -ctx.weight * gradient, None


class WithAdversaries(Learner):
    """Tasks' losses from what links send, which adversaries get as well."""

    def __init__(
        self, model: MultiTaskModel, tasks: Sequence[Task], adversaries: Adversaries, weight: float, loss: str
    ) -> None:
        super().__init__(model, tasks)
        if loss in model.task_names:
            raise UmbelError(f"a task is called {loss!r}, as a loss of this learner is; rename it")
        self.adversaries = adversaries
        self.weight = real_number(weight, f"the weight of {loss}")
        if self.weight < 0:
            raise UmbelError(f"the weight of {loss} is {self.weight:g}; give a number, at least 0")

    def sent(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """What each task is sent."""
        shared = at_point(self.model.encoder, batch.inputs, point)
        return {task.name: at_point(self.model.links[task.name], shared, point) for task in self.tasks}

    def read(self, sent: Mapping[str, Tensor], batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' own losses."""
        predictions = {task.name: at_point(self.model.heads[task.name], sent[task.name], point) for task in self.tasks}
        return self.task_losses(predictions, batch)


class ReversalLearner(WithAdversaries):
    """Adversaries that descend their losses, and an encoder that ascends them, in the same step.

        J = Σ_k L_k + Σ_{j≠k} L_j(adversary_kj(R(sent_k)), y_j),   R the identity, with gradient times -weight

    Args:
        model: Its links are `ReleasingLink`.
        tasks: At least two.
        adversaries: For what is sent.
        weight: Of the adversaries' gradient at the features.
        rate: The adversaries learn at this multiple of the learning rate.

    Raises:
        UmbelError: A weight out of range, or a task called "adversaries".
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        adversaries: Adversaries,
        weight: float = 0.5,
        rate: float = 2.0,
    ) -> None:
        super().__init__(model, tasks, adversaries, weight, ADVERSARIES)
        self.rate = rate

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' losses, and "adversaries"."""
        sent = self.sent(batch, point)
        seen = {name: Reversed.apply(features, self.weight) for name, features in sent.items()}
        return Losses({**self.read(sent, batch, point), ADVERSARIES: self.adversaries(seen, batch)})

    def parameter_groups(self) -> list[ParameterGroup]:
        """Adversaries at a rate of their own."""
        return [*super().parameter_groups(), ParameterGroup(self.adversaries.parameters(), rate=self.rate)]


def gradient_reversal(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    weight: float = 0.5,
    seed: int = 0,
    **settings: Any,
) -> ReversalLearner:
    """Plain links, and adversaries whose gradient is reversed on its way into them.

    Args:
        input_shape: Of one sample.
        tasks: At least two.
        encoder: One of `umbel.nn.ENCODERS`.
        weight: Of the reversed gradient.
        seed: Of the random start.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: One task only, or an argument out of its range.
    """
    model, adversaries = attacked_model(input_shape, tasks, encoder, seed, settings)
    return ReversalLearner(model, tasks, adversaries, weight)


def attacked_model(
    input_shape: Sequence[int], tasks: Sequence[Task], encoder: str | None, seed: int, settings: dict[str, Any]
) -> tuple[MultiTaskModel, Adversaries]:
    """Plain links, and adversaries for what they send."""
    model = private_model(input_shape, tasks, encoder, seed=seed, gated=False, **settings)
    shapes = {task.name: model.links[task.name].feature_shape for task in tasks}
    return model, Adversaries(tasks, shapes, input_shape, seed)
