"""Fog, blur and illumination of a known strength: what changes a domain while the labels stay.

Pure functions on floats 0 to 1, with a strength for each picture; what is random is given.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.errors import UmbelError

AIRLIGHT = 0.9
"""Grey of a fog without end."""


def smooth_fields(
    count: int, size: tuple[int, int], generator: torch.Generator, cells: int = 4
) -> Float[Tensor, "count 1 height width"]:
    """Smooth random fields from 0 to 1: random numbers on a coarse grid, bicubic in between.

    Args:
        count: How many.
        size: Height and width in pixels.
        generator: The only source of randomness.
        cells: Rows and columns of the grid; at least 2.

    Raises:
        UmbelError: Fewer than two rows.
    """
    if cells < 2:
        raise UmbelError(f"a smooth field of {cells} cells; give at least 2")
    coarse = torch.rand(count, 1, cells, cells, generator=generator)
    fields = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)
    least, most = fields.amin((2, 3), keepdim=True), fields.amax((2, 3), keepdim=True)
    return (fields - least) / (most - least).clamp(min=1e-6)


def fog(
    pictures: Float[Tensor, "B C H W"],
    beta: Float[Tensor, "B"],
    distance: Float[Tensor, "B 1 H W"],
    airlight: float = AIRLIGHT,
) -> Float[Tensor, "B C H W"]:
    """Pictures through fog: I' = I t + A (1 - t), with t = exp(-beta d) (Koschmieder's law).

    Args:
        pictures: I, 0 to 1.
        beta: How dense the fog is, for each picture; 0 leaves it as it is.
        distance: d, how far each pixel is; about 1.
        airlight: A.
    """
    passed = torch.exp(-beta.view(-1, 1, 1, 1) * distance)
    return pictures * passed + airlight * (1 - passed)


def blur(pictures: Float[Tensor, "B C H W"], sigma: Float[Tensor, "B"]) -> Float[Tensor, "B C H W"]:
    """Pictures through a Gaussian; what is beyond the edge repeats the edge.

    Args:
        pictures: Of any size.
        sigma: Width of the Gaussian in pixels, for each picture; 0 leaves it as it is.
    """
    reach = max(1, math.ceil(3 * float(sigma.max()))) if len(sigma) else 1
    places = torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device)
    kernels = torch.exp(-0.5 * (places / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    batch, channels, height, width = pictures.shape
    weights = kernels.repeat_interleave(channels, 0)
    padded = torch.nn.functional.pad(pictures, [reach] * 4, mode="replicate")
    rows = padded.reshape(1, batch * channels, height + 2 * reach, width + 2 * reach)
    rows = torch.nn.functional.conv2d(rows, weights[:, None, :, None], groups=batch * channels)
    columns = torch.nn.functional.conv2d(rows, weights[:, None, None, :], groups=batch * channels)
    return columns.reshape(batch, channels, height, width)


def illumination(
    pictures: Float[Tensor, "B C H W"], gamma: Float[Tensor, "B"], gains: Float[Tensor, "B C"]
) -> Float[Tensor, "B C H W"]:
    """Pictures in another light: I' = g I ^ gamma, cut off at 1.

    Args:
        pictures: I, 0 to 1.
        gamma: Above 1 darkens, below 1 lightens the middle; 1 leaves it as it is.
        gains: g of each channel: brightness, and the white balance where channels differ.
    """
    return (pictures.clamp(0, 1) ** gamma.view(-1, 1, 1, 1) * gains[:, :, None, None]).clamp(0, 1)
