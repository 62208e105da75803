"""Private training: gradients of single samples, clipped, summed and hidden in noise."""

from umbel.descent.private.descent import DPSGD
from umbel.descent.private.samples import SampleGradients, sample_gradients

__all__ = ["DPSGD", "SampleGradients", "sample_gradients"]
