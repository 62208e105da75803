"""Autograd's graph below the losses, and which layers in it can have their weight gradient taken on its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from umbel.descent.gradsplit.groups import is_ordinary
from umbel.descent.gradsplit.tape import Call, edge_of


class Graph:
    """The nodes below some losses and the parameters at its ends.

    Args:
        losses: Scalars that depend on something trained.
        parameters: Those of interest.

    Attributes:
        tops: Where the losses are: (node, which of its outputs).
        edges: Node -> the edges that lead down from it.
        parents: Node -> the nodes right above it.
        leaves: Node -> the parameter that it accumulates the gradient of, for all that the losses depend on.
    """

    def __init__(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        self.tops = dict.fromkeys((edge.node, edge.output_nr) for edge in map(edge_of, losses))
        self.roots = {node for node, _ in self.tops}
        self.edges: dict[Node, list[tuple[Node, int]]] = {}
        self.parents: dict[Node, list[Node]] = {root: [] for root in self.roots}
        self._order: list[Node] = []
        self._explore()
        wanted = {id(p) for p in parameters}
        ends = {node: getattr(node, "variable", None) for node, edges in self.edges.items() if not edges}
        self.leaves = {node: tensor for node, tensor in ends.items() if id(tensor) in wanted}
        self._places = {id(p): node for node, p in self.leaves.items()}

    def _explore(self) -> None:
        """All nodes, children before parents."""
        stack = [(root, False) for root in self.roots]
        while stack:
            node, finished = stack.pop()
            if finished:
                self._order.append(node)
            elif node not in self.edges:
                self.edges[node] = [edge for edge in node.next_functions if edge[0] is not None]
                stack.append((node, True))
                for child, _ in self.edges[node]:
                    self.parents.setdefault(child, []).append(node)
                    if child not in self.edges:
                        stack.append((child, False))

    def above(self, targets: set[Node]) -> set[Node]:
        """The nodes from which a target can be reached; a target itself only if it lies above another."""
        found: set[Node] = set()
        for node in self._order:
            if any(child in targets or child in found for child, _ in self.edges[node]):
                found.add(node)
        return found

    def inside(self, parameter: nn.Parameter, top: Node) -> set[Node] | None:
        """The nodes from a parameter up to `top`, without it; None if the losses depend on it past `top` too."""
        leaf = self._places.get(id(parameter))
        if leaf is None or top not in self.edges:
            return None
        inner, pending = {leaf}, [leaf]
        while pending:
            node = pending.pop()
            if node in self.roots:
                return None
            for parent in self.parents[node]:
                if parent is not top and parent not in inner:
                    inner.add(parent)
                    pending.append(parent)
        return inner


@dataclass(frozen=True)
class Layer:
    """A layer whose parameters' gradients follow from the gradient of its one output, channel by channel.

    Attributes:
        module: The layer.
        edge: Where the gradient of its output arrives.
        parameters: Those that the losses depend on through this output alone.
        inner: The nodes between them and the output.
    """

    module: nn.Module
    edge: GradientEdge
    parameters: tuple[nn.Parameter, ...]
    inner: frozenset[Node]

    @property
    def channels(self) -> int:
        """Of the output."""
        return len(self.module.weight)


def separable(graph: Graph, calls: Sequence[Call]) -> list[Layer]:
    """The called layers that are of torch's own kind, called once, with parameters that nothing else uses."""
    times: dict[int, int] = {}
    for call in calls:
        times[id(call.module)] = times.get(id(call.module), 0) + 1
    layers = []
    for module, edge in calls:
        if times[id(module)] > 1 or not is_ordinary(module):
            continue
        inside = {p: graph.inside(p, edge.node) for p in module.parameters() if p.requires_grad}
        found = {p: nodes for p, nodes in inside.items() if nodes is not None}
        if found:
            layers.append(Layer(module, edge, tuple(found), frozenset().union(*found.values())))
    return layers
