"""Backward passes over a part of autograd's graph."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge


def walk(
    losses: Sequence[Tensor],
    weights: Sequence[float],
    inputs: Sequence[GradientEdge] | Sequence[nn.Parameter] | Sequence[GradientEdge | nn.Parameter],
    keep: bool = True,
) -> list[Tensor | None]:
    """The gradient of Σ_t weights[t] losses[t] at each of the inputs, and no work for anything else.

    Args:
        losses: Scalars; those of weight 0, or that depend on nothing trained, are left out.
        weights: One for each loss.
        inputs: Places in the graph, or parameters. None is given for what the losses do not depend on.
        keep: Whether the nodes on the way can be walked again; otherwise they let go of what they saved.
    """
    parts = [(loss, weight) for loss, weight in zip(losses, weights, strict=True) if weight and loss.requires_grad]
    if not parts or not inputs:
        return [None] * len(inputs)
    tops = [loss for loss, _ in parts]
    factors = [torch.full_like(loss, weight) for loss, weight in parts]
    return gradients_at(tops, inputs, factors, keep)


def gradients_at(
    tops: Sequence[Tensor] | Sequence[GradientEdge] | Sequence[Tensor | GradientEdge],
    inputs: Sequence[GradientEdge] | Sequence[Tensor] | Sequence[GradientEdge | nn.Parameter],
    values: Sequence[Tensor] | None,
    keep: bool,
) -> list[Tensor | None]:
    """`torch.autograd.grad`, which takes tensors and edges mixed though its types say otherwise; None where unused.

    Args:
        tops: From where the walk goes down.
        inputs: Where gradients are wanted.
        values: The gradients at the tops; None for 1 at a scalar.
        keep: Whether the nodes on the way can be walked again.
    """
    grad: Any = torch.autograd.grad
    return list(grad(tops, inputs, values, retain_graph=keep, allow_unused=True))


def teach(
    edges: Sequence[GradientEdge],
    gradients: Sequence[Tensor | None],
    taught: Sequence[nn.Parameter],
    keep: bool = True,
) -> None:
    """Add to the parameters' `.grad` what gradients at these edges give them; no others are touched.

    Args:
        edges: None above another.
        gradients: One for each edge, or None.
        taught: The parameters.
        keep: As in `walk`.
    """
    known = [(edge, gradient) for edge, gradient in zip(edges, gradients, strict=True) if gradient is not None]
    if known and taught:
        tops, values = zip(*known, strict=True)
        torch.autograd.backward(tops, values, retain_graph=keep, inputs=taught)


def add_gradient(parameter: nn.Parameter, gradient: Tensor | None) -> None:
    """Add to `.grad`; the gradient is copied, for autograd may give one tensor to two parameters."""
    if gradient is not None:
        parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
