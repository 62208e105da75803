"""Losses of discriminators that tell two domains apart."""

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST = 1e-6


def focal_cross_entropy(logits: Tensor, classes: Tensor, gamma: float = 3.0) -> Tensor:
    """Cross entropy in which what is told easily counts little: -(1 - p)^gamma log p, p of the true class.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017; between domains: Saito et al.,
    "Strong-weak distribution alignment", CVPR 2019. Gamma 0 is cross entropy.

    Args:
        logits: [n, C].
        classes: int64 [n].
        gamma: 0 or more.

    Returns:
        [n], float32.
    """
    log_p = F.log_softmax(logits.float(), 1).gather(1, classes.unsqueeze(1)).squeeze(1)
    log_p = log_p.clamp(min=torch.log(torch.tensor(_LEAST)).item())
    return -((1 - log_p.exp()) ** gamma) * log_p


def least_squares_domain(logits: Tensor, classes: Tensor) -> Tensor:
    """Squared distance of a probability from the domain's number, mean over places: (sigmoid(logit) - d)^2.

    Source: Mao et al., "Least squares generative adversarial networks", ICCV 2017.

    Args:
        logits: [n, 1, h, w]: one at every place of a map.
        classes: int64 [n], 0 or 1.

    Returns:
        [n], float32.
    """
    return (logits.float().sigmoid() - classes.view(-1, 1, 1, 1).float()).square().mean((1, 2, 3))
