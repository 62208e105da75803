"""What private features are compared with, where adversaries have steps of their own and the encoder confuses them.

Source: Li, Guo, Yang, Salim, Chen, "DeepObfuscator: obfuscating intermediate representations with privacy-preserving
adversarial learning on smartphones", IoTDI 2021, arXiv 1909.04126.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.func import functional_call

from umbel.arguments import instance, real_number, whole_number
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    Runtime,
    Task,
    at_point,
    sum_gradients,
)
from umbel.methods.private_features_adversaries import Adversaries, WithAdversaries, attacked_model

CONFUSION = "confusion"
"""Name of what keeps the adversaries of `min_max` from knowing."""


class MinMaxLearner(WithAdversaries):
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
    model, adversaries = attacked_model(input_shape, tasks, encoder, seed, settings)
    return MinMaxLearner(model, tasks, adversaries, weight)
