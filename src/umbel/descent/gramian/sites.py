"""Where in autograd's graph a weight's gradient is one matrix product, and the two matrices."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node
from torch.nn import functional

from umbel.descent.graph import Graph

_LAYERS = {
    "ConvolutionBackward0": ("_saved_input", 1),
    "AddmmBackward0": ("_saved_mat1", 2),
    "MmBackward0": ("_saved_self", 1),
}
"""Node of a layer -> what it keeps of its input, and which of its edges leads to the weight."""
_CHAIN = ("TBackward0", "ToCopyBackward0")


@dataclass(frozen=True)
class Site:
    """A convolution or matrix product whose weight W is used there and nowhere else.

        ∂L/∂W = Δᵀ A,   A [N, K] what each output position sees of the input,   Δ [N, C] the gradient of the output

    with N = samples x positions, K inputs of one output and C output channels. Found in the graph, not among modules:
    also what a model computes with `torch.nn.functional`.

    Attributes:
        parameter: W, C · K elements.
        node: The layer in the graph.
        rows: N.
        inputs: K.
        outputs: C.
        is_turned: The layer multiplies by Wᵀ, as linear layers do.
    """

    parameter: nn.Parameter
    node: Node
    rows: int
    inputs: int
    outputs: int
    is_turned: bool = False

    @property
    def edge(self) -> GradientEdge:
        """Where Δ arrives."""
        return GradientEdge(self.node, 0)

    @property
    def is_convolution(self) -> bool:
        """A convolution, or a matrix product."""
        return self.node.name() == "ConvolutionBackward0"

    @property
    def unfolds(self) -> bool:
        """Whether A can be written out: a matrix product or a convolution in the plane."""
        return not self.is_convolution or self.parameter.ndim == 4

    @property
    def kept(self) -> Tensor:
        """What the layer was given: [N, K], or maps [B, C_in, ...]."""
        return getattr(self.node, _LAYERS[self.node.name()][0]).detach()

    def input_matrix(self) -> Float[Tensor, "N K"]:
        """A. For a convolution of K inputs this is a copy, K / C_in times as large as the maps."""
        if not self.is_convolution:
            return self.kept
        node = self.node
        arguments = (node._saved_dilation, node._saved_padding, node._saved_stride)
        columns = functional.unfold(self.kept, self.parameter.shape[2:], *arguments)
        return columns.transpose(1, 2).reshape(-1, self.inputs)

    def delta_matrix(self, gradient: Tensor) -> Float[Tensor, "N C"]:
        """Δ from the gradient of the layer's output; a view for channels_last maps."""
        return gradient.movedim(1, -1).reshape(-1, self.outputs) if self.is_convolution else gradient

    def weight_gradient(self, gradient: Tensor) -> Tensor:
        """∂L/∂W from the gradient of the layer's output, with no walk: hooks of that output have acted already.

        Args:
            gradient: Of the output's shape.

        Returns:
            Of the shape and dtype of W.
        """
        kept, like = self.kept, self.parameter.detach()
        if not self.is_convolution:
            found = gradient.T @ kept if self.is_turned else kept.T @ gradient
            return found.to(like.dtype)
        node = self.node
        shape = like if like.dtype == kept.dtype else torch.empty_like(like, dtype=kept.dtype)
        fixed = (node._saved_stride, node._saved_padding, node._saved_dilation, False, node._saved_output_padding, 1)
        only_weight = (False, True, False)
        return torch.ops.aten.convolution_backward(gradient, kept, shape, None, *fixed, only_weight)[1].to(like.dtype)

    def projected(self, directions: Float[Tensor, "R K"]) -> Float[Tensor, "N R"]:
        """A Ωᵀ, without A: the layer itself, with directions instead of its weight.

        Args:
            directions: Ω, R directions in the space of the K inputs.
        """
        kept = self.kept
        directions = directions.to(kept)
        if not self.is_convolution:
            return kept @ directions.T
        node = self.node
        shape = (len(directions), *self.parameter.shape[1:])
        fixed = (node._saved_stride, node._saved_padding, node._saved_dilation, False, node._saved_output_padding, 1)
        maps = torch.ops.aten.convolution(kept, directions.view(shape), None, *fixed)
        return maps.movedim(1, -1).reshape(-1, len(directions))


def find_sites(graph: Graph) -> dict[int, Site]:
    """All sites of a graph, by the `id` of their parameter.

    Args:
        graph: Its leaves are the parameters of interest. A weight that is used twice, or through a
            parametrisation, a checkpoint or compiled code, or whose gradient a hook may change, is no site.
    """
    found = {}
    for leaf, parameter in graph.leaves.items():
        if parameter._backward_hooks:
            continue
        node, is_turned = _layer_above(graph, leaf)
        if node is not None and (sizes := _sizes(node, parameter)) is not None:
            found[id(parameter)] = Site(parameter, node, *sizes, is_turned)
    return found


def _layer_above(graph: Graph, leaf: Node) -> tuple[Node | None, bool]:
    """The layer whose weight this leaf is, or None, and whether a transposition lies between.

    There may be nothing else than that and a change of precision.
    """
    node, is_turned = leaf, False
    while len(graph.parents[node]) == 1:
        (parent,) = graph.parents[node]
        if parent.name() in _LAYERS:
            place = _LAYERS[parent.name()][1]
            is_weight = parent.next_functions[place][0] is node and _is_plain(parent)
            return (parent if is_weight else None), is_turned
        if parent.name() not in _CHAIN:
            break
        is_turned ^= parent.name() == "TBackward0"
        node = parent
    return None, False


def _is_plain(node: Node) -> bool:
    """No groups, not transposed, and what it keeps can be had without computing it anew (as a checkpoint would)."""
    raw = getattr(node, _LAYERS[node.name()][0].replace("_saved", "_raw_saved"))
    if getattr(raw, "unpack_hook", raw) is not None:
        return False
    if node.name() == "AddmmBackward0":
        return node._saved_alpha == 1
    return node.name() != "ConvolutionBackward0" or (node._saved_groups == 1 and not node._saved_transposed)


def _sizes(node: Node, parameter: nn.Parameter) -> tuple[int, int, int] | None:
    """N, K and C; None where the node keeps no input (its weight is not trained by it), or a sparse one."""
    kept = getattr(node, _LAYERS[node.name()][0])
    if kept is None or kept.layout != torch.strided:
        return None
    if node.name() != "ConvolutionBackward0":
        return len(kept), kept.shape[1], parameter.numel() // max(kept.shape[1], 1)
    kernel = parameter.shape[2:]
    geometry = zip(kept.shape[2:], kernel, node._saved_stride, node._saved_padding, node._saved_dilation, strict=True)
    places = [(size + 2 * pad - wide * (k - 1) - 1) // stride + 1 for size, k, stride, pad, wide in geometry]
    return len(kept) * math.prod(places), parameter[0].numel(), len(parameter)
