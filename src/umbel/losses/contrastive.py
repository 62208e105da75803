"""How a map changes from pixel to pixel, as a loss."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import tensors
from umbel.core import UmbelError

_NEIGHBOURS = [(down, right) for down in (0, 1, 2) for right in (0, 1, 2) if (down, right) != (1, 1)]


def contrastive_depth(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"]
) -> Float[Tensor, "B C H W"]:
    """The contrastive depth loss: mean over a pixel's 8 neighbours of the squared error of its difference to them.

        l(p) = 1/8 Σ over neighbours q of  ((d̂(p) - d̂(q)) - (d(p) - d(q)))²

    Neighbours outside the map or without a label add nothing, and a pixel without a label has 0.

    Source: Wang et al., "Deep spatial gradient and temporal depth learning for face anti-spoofing", CVPR 2020.

    Args:
        prediction: A map.
        target: Likewise; NaN is missing.

    Raises:
        UmbelError: Other shapes.
    """
    tensors("contrastive_depth", prediction=prediction, target=target)
    if prediction.ndim != 4 or prediction.shape != target.shape:
        raise UmbelError(
            f"contrastive_depth: a prediction of shape {list(prediction.shape)} and a target of shape "
            f"{list(target.shape)}; give maps [B, C, H, W] of both"
        )
    known = ~torch.isnan(target)
    error = torch.where(known, prediction.float() - torch.where(known, target, 0).float(), 0)
    around, real = F.pad(error, (1, 1, 1, 1)), F.pad(known, (1, 1, 1, 1))
    height, width = target.shape[-2:]
    total = torch.zeros_like(error)
    for down, right in _NEIGHBOURS:
        window = (..., slice(down, down + height), slice(right, right + width))
        total = total + torch.where(real[window] & known, (error - around[window]).square(), 0)
    return total / len(_NEIGHBOURS)
