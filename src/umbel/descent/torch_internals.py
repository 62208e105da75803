"""Torch's private names that descents rely on, all in this file.

Names of graph nodes, what nodes keep, and some attributes of modules are not part of torch's public interface: any
version may change them. Each is tested against what torch does, at the pinned version and, with `make test-oldest`,
at the oldest that pyproject.toml allows.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm as InstanceNorm
from torch.utils._pytree import tree_map

__all__ = [
    "BatchNorm",
    "Convolution",
    "InstanceNorm",
    "Place",
    "compiled_call",
    "convolution_of",
    "has_forward_hooks",
    "has_gradient_hooks",
    "is_compiled",
    "is_convolution",
    "is_layer",
    "is_module_hook",
    "is_ordinary_layer",
    "is_reentrant_checkpoint",
    "is_transposition",
    "keep_for_several_walks",
    "kept_input",
    "kept_tensors",
    "kept_weight",
    "own_buffers",
    "own_parameters",
    "passes_weight_on",
    "place_of",
    "set_compiled_call",
    "tensor_of_leaf",
    "tree_map",
    "version_of",
    "weight_node",
]

_CONVOLUTION, _BIASED_PRODUCT, _PRODUCT = "ConvolutionBackward0", "AddmmBackward0", "MmBackward0"
_TRANSPOSITION, _CAST = "TBackward0", "ToCopyBackward0"
_LAYERS = {_CONVOLUTION: ("input", 1), _BIASED_PRODUCT: ("mat1", 2), _PRODUCT: ("self", 1)}
"""Node of a layer -> its name for the layer's input, and which of its edges leads to the weight."""


def is_layer(node: Node) -> bool:
    """A convolution or a matrix product."""
    return node.name() in _LAYERS


def is_convolution(node: Node) -> bool:
    """A convolution."""
    return node.name() == _CONVOLUTION


def passes_weight_on(node: Node) -> bool:
    """A transposition or a change of precision: what may lie between a weight and its layer."""
    return node.name() in (_TRANSPOSITION, _CAST)


def is_transposition(node: Node) -> bool:
    """A transposition of a matrix, as linear layers do with their weight."""
    return node.name() == _TRANSPOSITION


def is_reentrant_checkpoint(node: Node) -> bool:
    """A checkpoint with use_reentrant=True, which keeps its parameters out of the graph."""
    return node.name() == "CheckpointFunctionBackward"


def is_module_hook(node: Node) -> bool:
    """One of the pair of nodes that a module's full backward hook puts around it."""
    return node.name() == "BackwardHookFunctionBackward"


def tensor_of_leaf(node: Node) -> Any:
    """The tensor that the gradient is accumulated for at a node without edges; None at any other node."""
    return getattr(node, "variable", None)


def weight_node(layer: Node) -> Node | None:
    """What lies below a layer on the side of its weight."""
    return layer.next_functions[_LAYERS[layer.name()][1]][0]


def kept_input(layer: Node) -> Tensor | None:
    """What a layer was given; None if it did not keep it, because its weight is not trained."""
    kept: Tensor | None = getattr(layer, f"_saved_{_LAYERS[layer.name()][0]}")
    return kept


def kept_weight(convolution: Node) -> Tensor:
    """The weight that a convolution was computed with."""
    node: Any = convolution
    weight: Tensor = node._saved_weight
    return weight


class Convolution(NamedTuple):
    """How a convolution was computed: a number for each axis of space, but for the last two."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    groups: int
    is_transposed: bool

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What `torch.ops.aten.convolution` and its gradient want to know of one that is ordinary."""
        return self.stride, self.padding, self.dilation, False, self.output_padding, 1

    def positions(self, places: torch.Size, kernel: torch.Size) -> int:
        """In how many places of space the kernel stands.

        Args:
            places: Size of the input in space.
            kernel: Size of the kernel in space.
        """
        axes = zip(places, kernel, self.stride, self.padding, self.dilation, strict=True)
        return math.prod((size + 2 * pad - wide * (k - 1) - 1) // stride + 1 for size, k, stride, pad, wide in axes)


def convolution_of(node: Node) -> Convolution:
    """How this convolution was computed."""
    kept: Any = node
    return Convolution(
        stride=tuple(kept._saved_stride),
        padding=tuple(kept._saved_padding),
        dilation=tuple(kept._saved_dilation),
        output_padding=tuple(kept._saved_output_padding),
        groups=kept._saved_groups,
        is_transposed=kept._saved_transposed,
    )


def is_ordinary_layer(layer: Node) -> bool:
    """No groups, not transposed, and its input is at hand: nothing need be computed anew, as a checkpoint would."""
    if not _is_at_hand(getattr(layer, f"_raw_saved_{_LAYERS[layer.name()][0]}")):
        return False
    node: Any = layer
    if node.name() == _BIASED_PRODUCT:
        return bool(node._saved_alpha == 1)
    return node.name() != _CONVOLUTION or (node._saved_groups == 1 and not node._saved_transposed)


def _is_at_hand(saved: Any) -> bool:
    return getattr(saved, "unpack_hook", saved) is None


def kept_tensors(node: Node) -> Iterator[Tensor]:
    """What a node keeps in memory of its own, but for what has to be computed or fetched first."""
    for name in dir(node):
        if name.startswith("_raw_saved_") and _is_at_hand(getattr(node, name)):
            try:
                value = getattr(node, name.replace("_raw", "", 1))
            except RuntimeError:  # overwritten since then, so it is not needed for anything that is trained
                continue
            if isinstance(value, Tensor) and value.layout == torch.strided:
                yield value


class Place(NamedTuple):
    """What gradients at an edge look like; a nested tensor has no one shape."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    is_nested: bool


def place_of(edge: GradientEdge) -> Place:
    """What the gradient that arrives at this edge looks like."""
    node: Any = edge.node
    known = node._input_metadata[edge.output_nr]
    if known.is_nested_tensor:
        return Place(torch.Size(), known.dtype, known.device, True)
    return Place(torch.Size(known.shape), known.dtype, known.device, False)


def own_buffers(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's buffers without those of its parts, None where one is not made yet; to be read and written."""
    return module._buffers


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """The module's parameters without those of its parts; one that a parametrisation computes is not there."""
    return module._parameters


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether something is called before or after the module's forward pass."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def has_gradient_hooks(tensor: Tensor) -> bool:
    """Whether something sees, and may change, the tensor's gradient."""
    return bool(tensor._backward_hooks)


def compiled_call(module: nn.Module) -> Callable[..., Any] | None:
    """What is run instead of the module after `module.compile()`; None before."""
    call: Callable[..., Any] | None = getattr(module, "_compiled_call_impl", None)
    return call


def set_compiled_call(module: nn.Module, call: Callable[..., Any]) -> None:
    """Run this instead of the module."""
    module._compiled_call_impl = call


def is_compiled(module: nn.Module) -> bool:
    """Whether `torch.compile` made this module, or `module.compile()` was called on it."""
    return compiled_call(module) is not None or hasattr(module, "_orig_mod")


def keep_for_several_walks() -> None:
    """Tell the compiler that what a forward pass saved must outlive a walk; for the whole process."""
    import torch._functorch.config as settings  # noqa: PLC0415 - slow, and only needed here

    settings.donated_buffer = False


def version_of(tensor: Tensor) -> int:
    """A number that changes whenever the tensor is written to in place."""
    return tensor._version
