"""Fold batch normalisations into the layer before them. Works on ordinary modules in evaluation mode."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_BEFORE = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear


def fold_norms(module: nn.Module, example: Tensor) -> nn.Module:
    """Fold each batch normalisation that is the only reader of a convolution's or linear layer's output.

        norm(W x + b) = s W x + s (b - mean) + beta,   s = gamma / sqrt(variance + eps)

    Who reads what is seen in one pass, so the module may be written in any style. A folded normalisation becomes an
    `nn.Identity`.

    Args:
        module: In evaluation mode; changed in place.
        example: An input.

    Returns:
        The same module.
    """
    names = list(module.named_modules(remove_duplicate=False))
    for layer, norm in _adjacent(module, example):
        _fold(layer, norm)
        for name in [name for name, part in names if part is norm]:
            module.set_submodule(name, nn.Identity())
    return module


class _Readers(TorchFunctionMode):
    """Counts how often each tensor is read by a function that makes tensors (asking for a shape is no reading)."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self.kept: list[Tensor] = []  # so that no identity is used twice

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            self.kept += read
            self.count.update({id(tensor) for tensor in read})
        return result


def _adjacent(module: nn.Module, example: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Pairs (layer, normalisation) where nothing but the normalisation reads the layer's output."""
    written: dict[int, tuple[nn.Module, Tensor]] = {}
    readers: list[tuple[nn.Module, Tensor]] = []
    calls: Counter[nn.Module] = Counter()

    def wrote(layer: nn.Module, _: tuple, output: Tensor) -> None:
        calls[layer] += 1
        written[id(output)] = layer, output

    def reads(norm: nn.Module, arguments: tuple) -> None:
        calls[norm] += 1
        readers.append((norm, arguments[0]))

    handles = [part.register_forward_hook(wrote) for part in module.modules() if isinstance(part, _BEFORE)]
    handles += [part.register_forward_pre_hook(reads) for part in module.modules() if _has_statistics(part)]
    try:
        with torch.no_grad(), _Readers() as seen:
            returned = {id(leaf) for leaf in tree_leaves(module(example))}
    finally:
        for handle in handles:
            handle.remove()
    pairs = []
    for norm, x in readers:
        layer, _ = written.get(id(x), (None, None))
        alone = seen.count[id(x)] == 1 and id(x) not in returned
        if layer is not None and alone and calls[layer] == calls[norm] == 1 and _fits(layer, x):
            pairs.append((layer, norm))
    return pairs


def _has_statistics(part: nn.Module) -> bool:
    return isinstance(part, _BatchNorm) and part.running_mean is not None


def _fits(layer: nn.Module, output: Tensor) -> bool:
    """Whether the axis that is normalised is the one that the layer's rows of weights write."""
    if isinstance(layer, nn.Linear):
        return output.ndim == 2
    return not isinstance(layer, nn.ConvTranspose2d) or layer.groups == 1


@torch.no_grad()
def _fold(layer: nn.Module, norm: nn.Module) -> None:
    """Put a normalisation into a layer's weight and bias, computed in double precision."""
    scale = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
    bias = shift * scale if norm.bias is None else shift * scale + norm.bias.double()
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    shape = [-1 if index == axis else 1 for index in range(layer.weight.ndim)]
    trainable = layer.weight.requires_grad
    layer.weight.copy_(layer.weight.double() * scale.view(shape))
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype), trainable)
