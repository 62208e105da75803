"""Losses of discriminators that tell two domains apart."""

import math

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import real_number, tensors
from umbel.errors import UmbelError

_LEAST = 1e-6


def focal_cross_entropy(
    logits: Float[Tensor, "n C"], classes: Int[Tensor, " n"], gamma: float = 3.0
) -> Float[Tensor, " n"]:
    """Cross entropy in which what is told easily counts little: -(1 - p)^gamma log p, p of the true class.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017; between domains: Saito et al.,
    "Strong-weak distribution alignment", CVPR 2019. Gamma 0 is cross entropy.

    Args:
        logits: [n, C].
        classes: int64 [n].
        gamma: 0 or more.

    Returns:
        [n], float32.

    Raises:
        UmbelError: Other shapes, classes that are no whole numbers, or a gamma below 0.
    """
    _check("focal_cross_entropy", logits, classes, 2)
    if (gamma := real_number(gamma, "focal_cross_entropy: gamma")) < 0:
        raise UmbelError(f"focal_cross_entropy: gamma is {gamma:g}; give at least 0")
    log_p = F.log_softmax(logits.float(), 1).gather(1, classes.unsqueeze(1)).squeeze(1)
    log_p = log_p.clamp(min=math.log(_LEAST))
    return -((1 - log_p.exp()) ** gamma) * log_p


def least_squares_domain(logits: Float[Tensor, "n 1 h w"], classes: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Squared distance of a probability from the domain's number, mean over places: (sigmoid(logit) - d)^2.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017.

    Args:
        logits: [n, 1, h, w]: one at every place of a map.
        classes: int64 [n], 0 or 1.

    Returns:
        [n], float32.

    Raises:
        UmbelError: Other shapes, or classes that are no whole numbers.
    """
    _check("least_squares_domain", logits, classes, 4)
    return (logits.float().sigmoid() - classes.view(-1, 1, 1, 1).float()).square().mean((1, 2, 3))


def _check(where: str, logits: Tensor, classes: Tensor, axes: int) -> None:
    tensors(where, logits=logits, classes=classes)
    if logits.ndim != axes or classes.shape != logits.shape[:1] or classes.is_floating_point():
        raise UmbelError(
            f"{where}: logits {tuple(logits.shape)} and classes {tuple(classes.shape)} {classes.dtype}; give logits of "
            f"{axes} axes and a whole number for each sample"
        )
