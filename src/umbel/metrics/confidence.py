"""How sure a classifier is of its answers."""

from jaxtyping import Float, Int
from torch import Tensor

from umbel.metrics.sample_mean import SampleMean


class MeanConfidence(SampleMean):
    """The mean over samples of the largest class probability, 0 to 1. It says nothing about whether answers are right.

    On a validation split, confidence above accuracy is overconfidence.
    """

    def update(self, probabilities: Float[Tensor, "n classes"], target: Int[Tensor, " n"]) -> None:
        """Add samples; the labels are only there because every metric is given them."""
        self.add(probabilities.amax(1))
