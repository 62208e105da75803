"""Walks through the upper part of a graph, and the layers that are taught while these come by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from umbel.descent.gradsplit.cut import Cut
from umbel.descent.gradsplit.layers import Layer
from umbel.descent.walk import teach, walk


class Collector(ABC):
    """Gets the gradient of a layer's output in every walk, and teaches the layer once, in the last one.

    It is taught while the walk is at the layer: nothing need be kept for later, and the walk can free what it passes.

    Args:
        layer: What is taught.

    Attributes:
        walk: The number of the present walk.
        last: Whether that is the last one.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.walk, self.last = 0, False
        self._teaching = False

    @abstractmethod
    def add(self, gradient: Tensor) -> None:
        """Take the gradient [B, C, ...] of this walk."""

    @abstractmethod
    def teach(self) -> None:
        """Add to the layer's gradients what was taken, if anything was and it is not taught yet."""

    def take(self, gradient: Tensor | None) -> None:
        """Add, and teach when this is the last walk."""
        if gradient is not None:
            self.add(gradient)
            if self.last:
                self.finish()

    def finish(self) -> None:
        """Teach; the backward pass in there comes by this layer too, and is not to be taken."""
        self._teaching = True
        self.teach()
        self._teaching = False

    def passed(self, gradients: Sequence[Tensor | None]) -> None:
        """A walk is at this layer: called by autograd before it goes on below."""
        if not self._teaching:
            self.take(gradients[self.layer.edge.output_nr])


def run_walks(
    losses: Sequence[Tensor],
    mixes: Sequence[Sequence[float]],
    cut: Cut,
    collectors: Sequence[Collector],
    add_asked: Callable[[int, nn.Parameter, Tensor], None],
) -> None:
    """Walk through the upper part once for each mix, then once, with the sum of these walks, through what is below.

    Args:
        losses: L scalars.
        mixes: Weights of the losses in each walk.
        cut: Of the losses' graph. Its nodes can be walked no more afterwards.
        collectors: One for each layer of the upper part.
        add_asked: What to do with (number of the walk, asked parameter, gradient).
    """
    ends = {(edge.node, edge.output_nr) for edge in cut.border}
    places = {(c.layer.edge.node, c.layer.edge.output_nr): c for c in collectors}
    hooks = [node.register_prehook(c.passed) for (node, number), c in places.items() if (node, number) not in ends]
    totals: list[Tensor | None] = [None] * len(cut.border)
    try:
        for number, mix in enumerate(mixes):
            last = number + 1 == len(mixes)
            for collector in collectors:
                collector.walk, collector.last = number, last
            gradients = walk(losses, mix, [*cut.border, *cut.asked], keep=cut.tangled or not last)
            for index, edge in enumerate(cut.border):
                gradient = gradients.pop(0)
                if (ending := places.get((edge.node, edge.output_nr))) is not None:
                    ending.take(gradient)
                totals[index] = _sum(totals[index], gradient)
            for parameter, gradient in zip(cut.asked, gradients, strict=True):
                if gradient is not None:
                    add_asked(number, parameter, gradient)
    finally:
        for hook in hooks:
            hook.remove()
    for collector in collectors:
        collector.finish()  # those that the last walk did not reach
    teach(cut.border, totals, cut.below, keep=cut.tangled)


def _sum(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total + gradient
