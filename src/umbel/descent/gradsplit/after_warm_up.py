"""What a measured split is compared with: the same warm-up, and then a matrix that was not measured."""

import torch
from jaxtyping import Bool
from torch import Tensor

from umbel.arguments import tensors, whole_number
from umbel.core import Batch, Descent, Learner, Losses, OperatingPoint, Runtime, UmbelError
from umbel.data import seeded
from umbel.descent.gradsplit.descent import GradSplit


class AfterWarmUp(Descent):
    """Joint training for some steps and then a given matrix: what `Measured` does, without measuring.

    Args:
        accept: The matrix; see `GradSplit`.
        warm_up: Steps in which every group accepts every task.
        layers: What is split; see `GradSplit`.

    Attributes:
        joint: What teaches during the warm-up.
        split: What teaches after it.
        steps: Steps so far.
    """

    steps: Tensor

    def __init__(self, accept: Bool[Tensor, "T T"], warm_up: int, layers: float | None = None) -> None:
        super().__init__()
        warm_up = whole_number(warm_up, "gradsplit: warm_up")
        self.joint, self.split = GradSplit("all", layers), GradSplit(accept, layers)
        self.warm_up = warm_up
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def prepare(self, learner: Learner) -> None:
        """Check that both fit.

        Raises:
            UmbelError: See `GradSplit`.
        """
        self.joint.prepare(learner)
        self.split.prepare(learner)

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """A step of one or the other."""
        descent = self.joint if int(self.steps) < self.warm_up else self.split
        losses: Losses = descent(learner, batch, point, runtime)
        self.steps += 1
        return losses


def random_matrix(measured: Bool[Tensor, "T T"], seed: int) -> Bool[Tensor, "T T"]:
    """Another matrix with as many accepted pairs, drawn at random; the same where there is no other.

    Args:
        measured: With a diagonal of ones, which the result has, too.
        seed: Of the draw.

    Raises:
        UmbelError: Not a square matrix.
    """
    tensors("random_matrix", measured=measured)
    seed = whole_number(seed, "the seed of a random matrix")
    if measured.ndim != 2 or measured.shape[0] != measured.shape[1]:
        raise UmbelError(f"random_matrix: the matrix has shape {list(measured.shape)}; it must be square")
    count = len(measured)
    outside = ~torch.eye(count, dtype=torch.bool)
    accepted = int(measured[outside].sum())
    generator = seeded(seed, count, accepted)
    drawn = measured.clone()
    while 0 < accepted < count * (count - 1) and torch.equal(drawn, measured):
        chosen = torch.randperm(count * (count - 1), generator=generator) < accepted
        drawn[outside] = chosen
    return drawn
