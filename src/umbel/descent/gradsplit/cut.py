"""What of autograd's graph must be walked once for each stream, and where the rest, walked once for all, begins."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from umbel.descent.gradsplit.groups import Partition
from umbel.descent.gradsplit.layers import Layer, separable
from umbel.descent.gradsplit.tape import Call
from umbel.descent.graph import Graph


@dataclass(frozen=True)
class Cut:
    """The upper part of a graph, between the losses and the border, and who is taught where.

    Every trainable parameter that the losses depend on is taught in exactly one of the four ways.

    Attributes:
        split: Split layers. Their weight gradient is taken once, from what each group takes of the streams.
        whole: Other layers of the upper part. Likewise, from the sum of the streams.
        asked: Parameters of the upper part whose gradient is asked for in every stream: norms' (a by-product of the
            walk), heads' (which one stream reaches), and all that does not fit the first two.
        border: Where the upper part ends. No edge lies above another, and every path that leads below it crosses it.
        below: The parameters that are reached through the border.
        tangled: Whether something below the border is walked again in every stream, for an asked parameter that is used
            there too; then no walk may free it.
    """

    split: tuple[Layer, ...]
    whole: tuple[Layer, ...]
    asked: tuple[nn.Parameter, ...]
    border: tuple[GradientEdge, ...]
    below: tuple[nn.Parameter, ...]
    tangled: bool


def make_cut(
    losses: Sequence[Tensor], calls: Sequence[Call], parameters: Sequence[nn.Parameter], partition: Partition
) -> Cut:
    """Cut the graph below these losses.

    The upper part is all from which a split parameter can be reached, without what lies below the outputs of the
    first split layers: that needs the sum of the streams only. The upper part is widened until no border edge is above
    another, as one is when the first split layer is in the middle of a residual block.

    Args:
        losses: Scalars. Those that depend on nothing trained are left out.
        calls: Of the watched layers, in this forward pass.
        parameters: All that are trained.
        partition: The split.
    """
    graph = Graph([loss for loss in losses if loss.requires_grad], parameters)
    layers = separable(graph, calls)
    split = tuple(layer for layer in layers if partition.splits(layer.module))
    caught = {id(p) for layer in split for p in layer.parameters}
    targets = {layer.edge.node for layer in split}
    targets |= {node for node, p in graph.leaves.items() if p in partition and id(p) not in caught}
    ends = set(graph.leaves).union(*(layer.inner for layer in layers))
    upper = _widened(graph, graph.above(targets), ends)
    whole = tuple(layer for layer in layers if not partition.splits(layer.module) and layer.edge.node in upper)
    caught |= {id(p) for layer in whole for p in layer.parameters}

    edges = {edge: None for node in upper for edge in graph.edges[node]} | graph.tops
    down = [edge for edge in edges if edge[0] not in upper]
    asked = {n: graph.leaves[n] for n, _ in down if n in graph.leaves and id(graph.leaves[n]) not in caught}
    border = tuple(GradientEdge(*edge) for edge in down if edge[0] not in ends)
    below = tuple(p for node, p in graph.leaves.items() if node not in asked and id(p) not in caught)
    tangled = any(parent not in upper for leaf in asked for parent in graph.parents[leaf])
    return Cut(split, whole, tuple(asked.values()), border, below, tangled)


def _widened(graph: Graph, upper: set[Node], ends: set[Node]) -> set[Node]:
    """The upper part, made larger until no node just below it lies above another."""
    while True:
        below = {child for node in upper for child, _ in graph.edges[node]} | graph.roots
        more = graph.above(below - upper - ends) - upper
        if not more:
            return upper
        upper = upper | more
