"""Mean angle between directions, in degrees."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


class MeanAngularError(Metric):
    """Mean of arccos(p·t / |p||t|) in degrees, over directions [n, 3].

    Same definition as the surface-normal evaluation of NYUv2 (Eigen & Fergus, 2015).
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(self, **settings) -> None:
        super().__init__(**settings)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> None:
        """Add directions; they need not have length 1."""
        cosine = F.cosine_similarity(prediction.double(), target.double(), dim=1, eps=1e-12)
        self.total += torch.rad2deg(cosine.clamp(-1, 1).arccos()).sum()
        self.count += len(target)

    def compute(self) -> Tensor:
        """The mean angle in degrees; NaN before any update."""
        return (self.total / self.count).float()
