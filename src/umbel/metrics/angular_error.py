"""Mean angle between directions, in degrees."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.metrics.sample_mean import SampleMean


class MeanAngularError(SampleMean):
    """Mean of arccos(p·t / |p||t|) in degrees, over directions [n, 3].

    Same definition as the surface-normal evaluation of NYUv2 (Eigen & Fergus, 2015).
    """

    higher_is_better = False

    def update(self, prediction: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> None:
        """Add directions; they need not have length 1."""
        cosine = F.cosine_similarity(prediction.double(), target.double(), dim=1, eps=1e-12)
        self.add(torch.rad2deg(cosine.clamp(-1, 1).arccos()))
