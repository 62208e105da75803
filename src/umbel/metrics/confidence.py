"""How sure a classifier is of its answers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric


class MeanConfidence(Metric):
    """The mean over samples of the largest class probability. It says nothing about whether the answers are right.

    On a validation split, confidence above accuracy is overconfidence.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probabilities: Float[Tensor, "n classes"], target: Int[Tensor, " n"]) -> None:
        """Add samples; the labels are only there because every metric is given them."""
        self.total += probabilities.amax(1).double().sum()
        self.count += len(probabilities)

    def compute(self) -> Tensor:
        """The mean, 0 to 1; NaN before any update."""
        return (self.total / self.count).float()
