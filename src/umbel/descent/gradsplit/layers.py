"""Which layers in autograd's graph can have their weight gradient taken on its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from umbel.descent.gradsplit.groups import is_ordinary
from umbel.descent.gradsplit.tape import Call
from umbel.descent.graph import Graph


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
        weight: Tensor = self.module.get_parameter("weight")
        return len(weight)


def separable(graph: Graph, calls: Sequence[Call]) -> list[Layer]:
    """Those of torch's own layers that were called exactly once and share no parameter with anything else."""
    times: dict[int, int] = {}
    for call in calls:
        times[id(call.module)] = times.get(id(call.module), 0) + 1
    layers = []
    for module, edge in calls:
        if times[id(module)] > 1 or not is_ordinary(module):
            continue
        inside = {p: graph.inside(p, edge.node) for p in module.parameters() if p.requires_grad}
        alone = {p: nodes for p, nodes in inside.items() if nodes is not None}
        if alone:
            layers.append(Layer(module, edge, tuple(alone), frozenset[Node]().union(*alone.values())))
    return layers
