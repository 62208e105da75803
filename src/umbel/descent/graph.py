"""Autograd's graph below some losses."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

from umbel.core import UmbelError
from umbel.descent.torch_internals import is_reentrant_checkpoint, tensor_of_leaf


def edge_of(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor that requires it arrives."""
    if tensor.grad_fn is None:
        return get_gradient_edge(tensor)
    return GradientEdge(tensor.grad_fn, tensor.output_nr)


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
        order: All nodes, each after all that it leads to.
    """

    def __init__(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        self.tops = dict.fromkeys((edge.node, edge.output_nr) for edge in map(edge_of, losses))
        self.roots = {node for node, _ in self.tops}
        self.edges: dict[Node, list[tuple[Node, int]]] = {}
        self.parents: dict[Node, list[Node]] = {root: [] for root in self.roots}
        self.order: list[Node] = []
        self._explore()
        wanted = {id(p) for p in parameters}
        ends = {node: tensor_of_leaf(node) for node, edges in self.edges.items() if not edges}
        self.leaves: dict[Node, nn.Parameter] = {node: p for node, p in ends.items() if id(p) in wanted}
        self._places = {id(p): node for node, p in self.leaves.items()}

    def _explore(self) -> None:
        """All nodes, children before parents."""
        stack = [(root, False) for root in self.roots]
        while stack:
            node, finished = stack.pop()
            if finished:
                self.order.append(node)
            elif node not in self.edges:
                self.edges[node] = [(child, place) for child, place in node.next_functions if child is not None]
                stack.append((node, True))
                for child, _ in self.edges[node]:
                    self.parents.setdefault(child, []).append(node)
                    if child not in self.edges:
                        stack.append((child, False))

    def above(self, targets: set[Node]) -> set[Node]:
        """The nodes from which a target can be reached; a target itself only if it lies above another."""
        above: set[Node] = set()
        for node in self.order:
            if any(child in targets or child in above for child, _ in self.edges[node]):
                above.add(node)
        return above

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

    def reach(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
        """For each loss those of the parameters that it depends on.

        Args:
            losses: Those of the graph; one that depends on nothing trained reaches none.
            parameters: Of the graph's.
        """
        below: dict[Node, list[nn.Parameter]] = {}
        for parameter in parameters:
            leaf = self._places.get(id(parameter))
            seen = {leaf} if leaf is not None else set()
            pending = list(seen)
            while pending:
                node = pending.pop()
                if node in self.roots:
                    below.setdefault(node, []).append(parameter)
                more = [parent for parent in self.parents[node] if parent not in seen]
                seen.update(more)
                pending += more
        return [below.get(edge_of(loss).node, []) if loss.requires_grad else [] for loss in losses]


def refuse_hidden(graph: Graph) -> None:
    """Refuse checkpoints that keep their parameters out of the graph: these would be left untaught, silently.

    Raises:
        UmbelError: There is one.
    """
    if any(map(is_reentrant_checkpoint, graph.edges)):
        raise UmbelError(
            "a descent needs gradients of single losses, which a checkpoint with use_reentrant=True does not give; "
            "call torch.utils.checkpoint.checkpoint(..., use_reentrant=False)"
        )
