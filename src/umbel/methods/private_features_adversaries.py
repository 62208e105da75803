"""What private features are compared with, where adversaries learn in training to read a task from another's features.

Sources: Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016 (`gradient_reversal`); Li, Guo,
Yang, Salim, Chen, "DeepObfuscator: obfuscating intermediate representations with privacy-preserving adversarial
learning on smartphones", IoTDI 2021, arXiv 1909.04126 (`min_max`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from umbel.arguments import instance, real_number, whole_number
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    ParameterGroup,
    Runtime,
    Task,
    UmbelError,
    at_point,
    sum_gradients,
)
from umbel.methods.private_features import private_model
from umbel.nn import build_head, seeded_start

ADVERSARIES = "adversaries"
"""Name of what the adversaries lose in `gradient_reversal`."""
CONFUSION = "confusion"
"""Name of what keeps the adversaries of `min_max` from knowing."""


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


class _WithAdversaries(Learner):
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


class ReversalLearner(_WithAdversaries):
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


class MinMaxLearner(_WithAdversaries):
    """An encoder that confuses adversaries which learn by steps of their own; teach it by `AlternatingSteps`.

        J = Σ_k L_k + weight · Σ_{j≠k} L_j(adversary_kj(sent_k), y_j of other samples)

    An adversary that is told the labels of other samples, in random order, would best answer what it knows without any
    features: so that, and not a wrong answer, is what the encoder leads it to. (Pushed to be wrong, an adversary is
    informed again, and one that is trained later reads the features.) For classes it is the cross entropy against the
    classes' frequencies, with one random order as the estimate; it is right for every kind of task.

    Differs from DeepObfuscator: that ascends the adversary's loss, on one attribute, and has a decoder's picture error
    beside it; here all pairs of tasks have adversaries, and confusion replaces ascent.

    Args:
        model: Its links are `ReleasingLink`.
        tasks: At least two.
        adversaries: For what is sent.
        weight: Of the confusion.

    Raises:
        UmbelError: A weight out of range, or a task called "confusion".
    """

    def __init__(
        self, model: MultiTaskModel, tasks: Sequence[Task], adversaries: Adversaries, weight: float = 0.3
    ) -> None:
        super().__init__(model, tasks, adversaries, weight, CONFUSION)

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' losses, and "confusion", which gives the adversaries no gradient."""
        sent = self.sent(batch, point)
        order = torch.randperm(len(batch)).to(next(iter(sent.values())).device)
        fixed = {name: parameter.detach() for name, parameter in self.adversaries.named_parameters()}
        confused = functional_call(self.adversaries, fixed, (sent, batch, order))
        return Losses({**self.read(sent, batch, point), CONFUSION: self.weight * confused})


class AlternatingSteps(Descent):
    """A few steps of the adversaries, with an optimizer of their own, before each step of the rest.

    Each of them descends the adversaries' losses on what the links now send, with new noise where there is any.

    Args:
        rest: How the learner's losses are descended.
        steps: Of the adversaries, for each of the rest. They all look at one batch: with many, adversaries learn it by
            heart, and confusing them does the features harm and no good.
        rate: Their learning rate (Adam).
    """

    def __init__(self, rest: Descent, steps: int = 1, rate: float = 1e-3) -> None:
        super().__init__()
        instance(rest, Descent, "the descent of the rest", "a Descent, as WeightedSum()")
        self.rest = rest
        self.steps = whole_number(steps, "steps of the adversaries", least=1)
        self.rate = real_number(rate, "rate of the adversaries")

    def prepare(self, learner: Learner) -> None:
        """Make the adversaries' optimizer."""
        instance(learner, MinMaxLearner, "the learner of alternating steps", "a MinMaxLearner, as min_max() makes it")
        self.optimizer = torch.optim.Adam(learner.adversaries.parameters(), lr=self.rate)
        self.rest.prepare(learner)

    def get_extra_state(self) -> dict[str, Any]:
        """The optimizer's."""
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self.optimizer.load_state_dict(state)

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """The adversaries' steps, then the gradients of the rest."""
        adversaries = list(learner.adversaries.parameters())
        samples = torch.tensor(float(len(batch)), device=runtime.device)
        fraction = samples / runtime.sum(samples.clone()).clamp(min=1)
        with torch.no_grad(), runtime.autocast():
            shared = at_point(learner.model.encoder, batch.inputs, point)
            clean = {task.name: learner.model.links[task.name].clean(shared) for task in learner.tasks}
        for _ in range(self.steps):
            self.optimizer.zero_grad()
            if len(batch):
                sent = {name: learner.model.links[name].sent(x, point) for name, x in clean.items()}
                with runtime.autocast():
                    loss = learner.adversaries(sent, batch)
                (fraction * loss).backward(inputs=adversaries)
            sum_gradients(adversaries, runtime)
            self.optimizer.step()
        self.optimizer.zero_grad()  # the loop's optimizer leaves the adversaries alone
        return self.rest(learner, batch, point, runtime)

    def after_step(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> None:
        """What the descent of the rest does then."""
        self.rest.after_step(learner, batch, point, runtime)

    def after_epoch(self) -> None:
        """What the descent of the rest does then."""
        self.rest.after_epoch()


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
    model, adversaries = _attacked(input_shape, tasks, encoder, seed, settings)
    return ReversalLearner(model, tasks, adversaries, weight)


def min_max(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    weight: float = 0.3,
    seed: int = 0,
    **settings: Any,
) -> MinMaxLearner:
    """Plain links, and adversaries that learn by steps of their own; the descent must be `AlternatingSteps`.

    Args:
        input_shape: Of one sample.
        tasks: At least two.
        encoder: One of `umbel.nn.ENCODERS`.
        weight: Of the adversaries' confusion.
        seed: Of the random start.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: One task only, or an argument out of its range.
    """
    model, adversaries = _attacked(input_shape, tasks, encoder, seed, settings)
    return MinMaxLearner(model, tasks, adversaries, weight)


def _attacked(
    input_shape: Sequence[int], tasks: Sequence[Task], encoder: str | None, seed: int, settings: dict[str, Any]
) -> tuple[MultiTaskModel, Adversaries]:
    model = private_model(input_shape, tasks, encoder, seed=seed, gated=False, **settings)
    shapes = {task.name: model.links[task.name].feature_shape for task in tasks}
    return model, Adversaries(tasks, shapes, input_shape, seed)
