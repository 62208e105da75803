"""The weight gradient of a convolution, group by group, from the samples alone that each group learns from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.descent.gradsplit.layers import Layer
from umbel.descent.torch_internals import (
    convolution_of,
    is_convolution,
    is_ordinary_layer,
    kept_input,
    kept_weight,
)
from umbel.descent.walk import add_gradient


def teach_by_group(layer: Layer, gradient: Tensor, samples: Sequence[Tensor], channels: Sequence[slice]) -> bool:
    """Add to `.grad` of a convolution what each group takes from its samples; leave any other layer alone.

        ∂W[g] = wgrad(input[samples of g], δ[samples of g, channels of g])

    With T groups that accept their own task only this is 1/T of the arithmetic of the whole weight gradient.

    Args:
        layer: What was called.
        gradient: Of its output, [B, C, ...].
        samples: The samples that each group learns from, int64 [n_g].
        channels: The channels of each group.

    Returns:
        Whether it was done.
    """
    node = layer.edge.node
    if not is_convolution(node) or not is_ordinary_layer(node):  # a checkpoint computes it anew, once in a pass
        return False
    kept = kept_input(node)
    if kept is None:
        return False
    inputs, weight = kept.detach(), kept_weight(node).detach()
    arguments = convolution_of(node).arguments
    taught = {id(p): torch.zeros_like(p) for p in layer.parameters}
    bias = layer.module.bias
    mask = (False, id(layer.module.weight) in taught, id(bias) in taught)
    for rows, part in zip(samples, channels, strict=True):
        if not len(rows):
            continue
        delta, sizes = _picked(gradient[:, part], rows), [part.stop - part.start]
        _, by_weight, by_bias = torch.ops.aten.convolution_backward(
            delta, _picked(inputs, rows), weight[part], sizes, *arguments, mask
        )
        for parameter, value in ((layer.module.weight, by_weight), (bias, by_bias)):
            if value is not None and id(parameter) in taught:
                taught[id(parameter)][part] = value.to(parameter.dtype)
    for parameter in layer.parameters:
        add_gradient(parameter, taught[id(parameter)])
    return True


def _picked(tensor: Tensor, rows: Tensor) -> Tensor:
    """tensor[rows], dense in the tensor's own order of axes (indexing in another order is several times slower)."""
    if len(rows) == len(tensor):
        return tensor
    if tensor.ndim == 4 and tensor.stride(1) == 1:
        return tensor.movedim(1, -1).index_select(0, rows).movedim(-1, 1)
    return tensor.index_select(0, rows)
