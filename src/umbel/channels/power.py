"""The power constraint of a transmitter."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from umbel.channels.units import channel_uses, check_power
from umbel.errors import unknown

Per = Literal["sample", "batch"]
"""What must have the power: every sample, or only the mean of a batch."""

SMALLEST_NORM = 1e-4
"""A latent with a smaller Euclidean norm than this is scaled as if it had this norm; see `normalise_power`."""


def normalise_power(latent: Tensor, power: float = 1.0, per: Per = "sample", complex_uses: bool = True) -> Tensor:
    """Scale a latent to a mean power per channel use.

        z <- sqrt(n P) z / max(||z||, 1e-4)

    for every sample on its own, or with the norm of the whole batch (and n uses times B). With complex uses half of
    the power lies on each real dimension on average. A latent of zeros stays zero (no scale gives it power) and its
    gradient is that of division by 1e-4.

    Args:
        latent: [B, 2c, ...], any floating point; computed in float32 (float64 stays).
        power: Mean power per use, P.
        per: "sample": each sample has exactly power P. "batch": the batch has it on average, so that samples may
            share it unevenly; in evaluation a sample's power then depends on its neighbours.
        complex_uses: Two real numbers for each use; otherwise one.

    Returns:
        The same shape, float32 or float64.

    Raises:
        UmbelError: Wrong shape, power or word.
    """
    check_power(power)
    if per not in get_args(Per):
        raise unknown("way of normalising power", per, get_args(Per))
    uses = channel_uses(latent, complex_uses)
    latent = latent if latent.dtype == torch.float64 else latent.float()
    if per == "batch":
        axes, uses = tuple(range(latent.ndim)), uses * len(latent)
    else:
        axes = tuple(range(1, latent.ndim))
    with torch.autocast(latent.device.type, enabled=False):
        norm = torch.linalg.vector_norm(latent, dim=axes, keepdim=True)
        return latent * (math.sqrt(uses * power) / norm.clamp(min=SMALLEST_NORM))
