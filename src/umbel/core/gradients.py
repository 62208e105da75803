"""Gradients as flat vectors, and their sum over processes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umbel.core.runtime import Runtime


def flatten(
    gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter], out: Tensor | None = None
) -> Tensor:
    """One vector [P] of all gradients, zeros for a parameter that has none.

    Args:
        gradients: One for each parameter.
        parameters: P elements in all.
        out: Vector [P] to write into instead of a new one.
    """
    pieces = [(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in zip(gradients, parameters, strict=True)]
    return torch.cat(pieces, out=out) if out is not None else torch.cat(pieces)


def write(vector: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Set every parameter's `.grad` to its piece of `vector` [P] (a view: the vector is not copied)."""
    for parameter, piece in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = piece.view_as(parameter)


def sum_gradients(parameters: Sequence[nn.Parameter], runtime: Runtime) -> None:
    """Replace every `.grad` by its sum over the processes, in one exchange.

    A parameter without gradient on one process counts as zero there; without gradient on all, it keeps None.
    """
    if runtime.world_size == 1 or not parameters:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=parameters[0].dtype)
    vector = torch.cat([flatten([p.grad for p in parameters], parameters), present.to(parameters[0].device)])
    vector = runtime.sum(vector)
    write(vector[: -len(parameters)], parameters)
    for parameter, count in zip(parameters, vector[-len(parameters) :].tolist(), strict=True):
        if not count:
            parameter.grad = None


def align(parameters: Sequence[nn.Parameter]) -> None:
    """Give every `.grad` the memory layout of its parameter.

    Torch's fused optimizers walk both as raw memory: with a channels_last weight and a contiguous gradient (a view
    of a flat vector, say) they silently update the wrong elements.
    """
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)
