"""The weight gradient of a convolution, group by group, from the samples alone that each group learns from."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node

from umbel.descent.gradsplit.layers import Layer
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
    if not _is_open(node):
        return False
    inputs, weight = node._saved_input.detach(), node._saved_weight.detach()
    fixed = (node._saved_stride, node._saved_padding, node._saved_dilation, False, node._saved_output_padding, 1)
    found = {id(p): torch.zeros_like(p) for p in layer.parameters}
    bias = layer.module.bias
    mask = (False, id(layer.module.weight) in found, id(bias) in found)
    for rows, part in zip(samples, channels, strict=True):
        if not len(rows):
            continue
        delta, sizes = _picked(gradient[:, part], rows), [part.stop - part.start]
        _, by_weight, by_bias = torch.ops.aten.convolution_backward(
            delta, _picked(inputs, rows), weight[part], sizes, *fixed, mask
        )
        for parameter, value in ((layer.module.weight, by_weight), (bias, by_bias)):
            if value is not None and id(parameter) in found:
                found[id(parameter)][part] = value.to(parameter.dtype)
    for parameter in layer.parameters:
        add_gradient(parameter, found[id(parameter)])
    return True


def _is_open(node: Node) -> bool:
    """Whether the node is a convolution without groups of its own, and what it saved can be had without computing."""
    if node.name() != "ConvolutionBackward0" or node._saved_groups != 1 or node._saved_transposed:
        return False
    kept = node._raw_saved_input  # a checkpoint computes it anew, and only once in a pass
    return getattr(kept, "unpack_hook", kept) is None


def _picked(tensor: Tensor, rows: Tensor) -> Tensor:
    """tensor[rows], dense in the tensor's own order of axes (indexing in another order is several times slower)."""
    if len(rows) == len(tensor):
        return tensor
    if tensor.ndim == 4 and tensor.stride(1) == 1:
        return tensor.movedim(1, -1).index_select(0, rows).movedim(-1, 1)
    return tensor.index_select(0, rows)
