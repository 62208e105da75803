"""A picture as another camera would have taken it: what a network must not depend on where cameras change."""

import torch
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import real_number
from umbel.core import Batch, UmbelError
from umbel.data.source import seeded

_NOISE_SEEDS = 2**31


class CameraChanges:
    """Exposure, white balance, tone curve, contrast, focus and noise of training pictures, drawn for each anew.

        x ← gain · x · gains of the colours
        x ← mean + contrast · (x - mean)
        x ← x^gamma, of what is cut to 0 to 1
        x ← (1 - a) x + a · (mean of 5 × 5 pixels, weighed as two 3 × 3 means are)     for half of the pictures
        x ← x + noise                                                        for half of the pictures

    At strength 1 the gain is from 1/2 to 2 (even in its logarithm), those of red and blue within 30 %, contrast from
    0.6 to 1.4, gamma from 2/3 to 3/2, a from 0 to 1 and the noise's standard deviation from 0 to 0.06. Nothing moves,
    so that maps and boxes stay true.

    Args:
        strength: Multiple of all ranges (of their logarithms, where they are factors), at least 0.

    Raises:
        UmbelError: A strength below 0.
    """

    draws = 9

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = real_number(strength, "the strength of camera changes")
        if self.strength < 0:
            raise UmbelError(f"the strength of camera changes is {self.strength:g}; give at least 0")

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The changed batch; see `Augmentation`.

        Raises:
            UmbelError: The inputs are no pictures with three colours.
        """
        pictures = batch.inputs
        if not isinstance(pictures, Tensor) or pictures.ndim != 4 or pictures.shape[1] != 3:
            raise UmbelError("camera changes need pictures with three colours, [B, 3, H, W]")
        if not len(pictures):
            return batch
        gain, red, blue, contrast, gamma, blurred, much, noisy, loud = (
            column.view(-1, 1, 1, 1) for column in uniform.to(pictures).unbind(1)
        )
        s = self.strength
        colours = torch.cat([_factor(red, 1.3, s), torch.ones_like(red), _factor(blue, 1.3, s)], 1)
        x = pictures * _factor(gain, 2.0, s) * colours
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * (1 + 0.4 * s * (2 * contrast - 1)).clamp(min=0)
        x = x.clamp(0, 1).clamp(min=1e-4) ** _factor(gamma, 1.5, s)
        x = torch.lerp(x, _soft(x), (blurred < 0.5).to(x) * (much * s).clamp(max=1))
        return Batch(_with_noise(x, (noisy < 0.5).to(x) * 0.06 * s * loud, uniform), batch.targets, batch.domain)


def _factor(uniform: Tensor, most: float, strength: float) -> Tensor:
    """From 1 / most to most, even in its logarithm."""
    return torch.exp(strength * torch.log(torch.tensor(most)).to(uniform) * (2 * uniform - 1))


def _soft(x: Tensor) -> Tensor:
    """Two means over 3 × 3 pixels, one after the other; edges are repeated."""
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return x


def _with_noise(x: Tensor, size: Tensor, uniform: Tensor) -> Tensor:
    """Gaussian noise, which depends on the numbers that were drawn for the batch and on nothing else."""
    noise = torch.randn(x.shape, generator=seeded(int(float(uniform[0, 0]) * _NOISE_SEEDS), 2)).to(x)
    return (x + size * noise).clamp(0, 1)
