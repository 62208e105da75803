"""The engine of streams: S walks through the split part, one weight gradient for each layer, one walk below."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from umbel.descent.gradsplit.accept import StreamPlan
from umbel.descent.gradsplit.cut import Cut
from umbel.descent.gradsplit.groups import Partition, channel_axis
from umbel.descent.gradsplit.layers import Layer
from umbel.descent.gradsplit.walk import Collector, run_walks
from umbel.descent.walk import add_gradient, teach


def plain_pass(
    losses: Float[Tensor, " L"], takes: Bool[Tensor, " G"], partition: Partition, parameters: Iterable[nn.Parameter]
) -> None:
    """One stream: an ordinary backward pass, and zeros for the groups that do not take it.

    Args:
        losses: [L].
        takes: Bool [G].
        partition: The split.
        parameters: All that are trained; their `.grad` is added to.
    """
    if losses.requires_grad:
        losses.sum().backward()
    if bool(takes.all()):
        return
    for parameter in parameters:
        if parameter in partition and parameter.grad is not None:
            parameter.grad = partition.masked(parameter.grad, parameter, takes)


def stream_pass(losses: Sequence[Tensor], plan: StreamPlan, cut: Cut, partition: Partition) -> None:
    """Add to `.grad` what every parameter accepts of these losses.

        δ_s = ∂(Σ_t mix[s, t] L_t)/∂output      S walks, without weight gradients
        ∂W[g] = wgrad(input, Σ_s takes[s, g] δ_s[g]),   below the border: one walk with Σ_s δ_s

    A weight gradient is linear in the gradient of the layer's output, so one is enough for each layer. The cost of
    a layer, counted in passes (forward, input gradient, weight gradient), is at most 2 + S instead of 3.

    Args:
        losses: L scalars.
        plan: The streams.
        cut: Of the losses' graph, which is used up.
        partition: The split.
    """
    takes = plan.takes.tolist()

    def add_asked(stream: int, parameter: nn.Parameter, gradient: Tensor) -> None:
        split = parameter in partition
        add_gradient(parameter, partition.masked(gradient, parameter, plan.takes[stream]) if split else gradient)

    collectors: list[Collector] = [GroupSum(layer, partition.sizes(layer.channels), takes) for layer in cut.split]
    collectors += [GroupSum(layer, [layer.channels], [[True]] * plan.streams) for layer in cut.whole]
    run_walks(losses, plan.mix.tolist(), cut, collectors, add_asked)


class GroupSum(Collector):
    """In the channels of each group, the sum of the streams that the group takes.

    Args:
        layer: What is taught.
        sizes: Channels of each group.
        takes: [S][G], which group takes which stream.
    """

    def __init__(self, layer: Layer, sizes: Sequence[int], takes: Sequence[Sequence[bool]]) -> None:
        super().__init__(layer)
        self._sizes, self._takes = list(sizes), takes
        self._begun = [False] * len(self._sizes)
        self._total: Tensor | None = None

    def add(self, gradient: Tensor) -> None:
        """The groups that take this stream get their channels of it."""
        if self._total is None:
            self._total = torch.empty_like(gradient)
        pairs = zip(self._parts(self._total), self._parts(gradient), self._takes[self.walk], strict=True)
        for group, (mine, part, taken) in enumerate(pairs):
            if taken:
                _ = mine.add_(part) if self._begun[group] else mine.copy_(part)
                self._begun[group] = True

    def _parts(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return tensor.split(self._sizes, channel_axis(self.layer.module, tensor.ndim))

    def teach(self) -> None:
        """One weight gradient from all that was collected."""
        if self._total is None:
            return
        for part, begun in zip(self._parts(self._total), self._begun, strict=True):
            if not begun:
                part.zero_()
        teach([self.layer.edge], [self._total], self.layer.parameters)
        self._total = None
