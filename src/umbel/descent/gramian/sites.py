"""Where in autograd's graph a weight's gradient is one matrix product, and the two matrices."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node
from torch.nn import functional

from umbel.descent.graph import Graph
from umbel.descent.torch_internals import (
    convolution_of,
    has_gradient_hooks,
    is_convolution,
    is_layer,
    is_ordinary_layer,
    is_transposition,
    kept_input,
    passes_weight_on,
    weight_node,
)


@dataclass(frozen=True)
class Site:
    """A convolution or matrix product whose weight W is used there and nowhere else.

        ∂L/∂W = Δᵀ A,   A [N, K] what each output position sees of the input,   Δ [N, C] the gradient of the output

    with N = samples x positions, K inputs of one output and C output channels. It is found in the graph, not among
    modules, so that calls of `torch.nn.functional` count as well.

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
        return is_convolution(self.node)

    @property
    def unfolds(self) -> bool:
        """Whether A can be written out: a matrix product or a convolution in the plane."""
        return not self.is_convolution or self.parameter.ndim == 4

    @property
    def kept(self) -> Tensor:
        """What the layer was given: [N, K], or maps [B, C_in, ...]."""
        kept = kept_input(self.node)
        assert kept is not None, "a node that did not keep its input is not a site"
        return kept.detach()

    def input_matrix(self) -> Float[Tensor, "N K"]:
        """A. For a convolution of K inputs this is a copy, K / C_in times as large as the maps."""
        if not self.is_convolution:
            return self.kept
        layer = convolution_of(self.node)
        columns = functional.unfold(self.kept, self.parameter.shape[2:], layer.dilation, layer.padding, layer.stride)
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
            product = gradient.T @ kept if self.is_turned else kept.T @ gradient
            return product.to(like.dtype)
        shape = like if like.dtype == kept.dtype else torch.empty_like(like, dtype=kept.dtype)
        arguments, only_weight = convolution_of(self.node).arguments, (False, True, False)
        gradients = torch.ops.aten.convolution_backward(gradient, kept, shape, None, *arguments, only_weight)
        return gradients[1].to(like.dtype)

    def projected(self, directions: Float[Tensor, "R K"]) -> Float[Tensor, "N R"]:
        """A Ωᵀ, without A: the layer itself, with directions instead of its weight.

        Args:
            directions: Ω, R directions in the space of the K inputs.
        """
        kept = self.kept
        directions = directions.to(kept)
        if not self.is_convolution:
            return kept @ directions.T
        shape = (len(directions), *self.parameter.shape[1:])
        maps = torch.ops.aten.convolution(kept, directions.view(shape), None, *convolution_of(self.node).arguments)
        return maps.movedim(1, -1).reshape(-1, len(directions))


def find_sites(graph: Graph) -> dict[int, Site]:
    """All sites of a graph, by the `id` of their parameter.

    Args:
        graph: Its leaves are the parameters of interest. A weight that is used twice, or through a
            parametrisation, a checkpoint or compiled code, or whose gradient a hook may change, is not a site.
    """
    sites = {}
    for leaf, parameter in graph.leaves.items():
        if has_gradient_hooks(parameter):
            continue
        node, is_turned = _layer_above(graph, leaf)
        if node is not None and (sizes := _sizes(node, parameter)) is not None:
            sites[id(parameter)] = Site(parameter, node, *sizes, is_turned)
    return sites


def _layer_above(graph: Graph, leaf: Node) -> tuple[Node | None, bool]:
    """The layer whose weight this leaf is, or None, and whether a transposition lies between.

    Apart from that only a change of precision may lie between them.
    """
    node, is_turned = leaf, False
    while len(graph.parents[node]) == 1:
        (parent,) = graph.parents[node]
        if is_layer(parent):
            is_weight = weight_node(parent) is node and is_ordinary_layer(parent)
            return (parent if is_weight else None), is_turned
        if not passes_weight_on(parent):
            break
        is_turned ^= is_transposition(parent)
        node = parent
    return None, False


def _sizes(node: Node, parameter: nn.Parameter) -> tuple[int, int, int] | None:
    """N, K and C; None where the node keeps no input (its weight is not trained by it), or a sparse one."""
    kept = kept_input(node)
    if kept is None or kept.layout != torch.strided:
        return None
    if not is_convolution(node):
        return len(kept), kept.shape[1], parameter.numel() // max(kept.shape[1], 1)
    positions = convolution_of(node).positions(kept.shape[2:], parameter.shape[2:])
    return len(kept) * positions, parameter[0].numel(), len(parameter)
