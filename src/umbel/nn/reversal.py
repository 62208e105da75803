"""Gradient reversal: forwards nothing, backwards the opposite sign."""

from typing import Any

import torch
from torch import Tensor


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, strength: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.strength = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reversed_gradient(features: Tensor, strength: float = 1.0) -> Tensor:
    """The features as they are; their gradient comes back times -strength.

        R(x) = x,        dR/dx = -strength

    What reads the features behind it learns to tell something, and what makes them learns to hide it.

    Source: Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016.

    Args:
        features: Any shape.
        strength: How strongly the features are to hide it, relative to what reads them; 0 cuts them off.

    Returns:
        The same numbers.
    """
    return _Reversed.apply(features, strength)
