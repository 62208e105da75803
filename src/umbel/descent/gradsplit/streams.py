"""The engine of streams: S walks through the split part, one weight gradient for each layer, one walk below."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from umbel.descent.gradsplit.accept import StreamPlan
from umbel.descent.gradsplit.cut import Cut
from umbel.descent.gradsplit.graph import Layer
from umbel.descent.gradsplit.groups import Partition, channel_axis
from umbel.descent.gradsplit.walk import add_gradient, teach, walk


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
        cut: Of the losses' graph.
        partition: The split.
    """
    layers = [_Collected(layer, partition) for layer in (*cut.split, *cut.whole)]
    border: list[Tensor | None] = [None] * len(cut.border)
    inputs = [*(layer.edge for layer in layers), *cut.border, *cut.asked]
    for mix, takes in zip(plan.mix.tolist(), plan.takes, strict=True):
        gradients = walk(losses, mix, inputs)
        for layer in layers:
            layer.add(gradients.pop(0), takes.tolist())
        for index in range(len(border)):
            border[index] = _sum(border[index], gradients.pop(0))
        for parameter, gradient in zip(cut.asked, gradients, strict=True):
            masked = gradient is not None and parameter in partition
            add_gradient(parameter, partition.masked(gradient, parameter, takes) if masked else gradient)
    for layer in layers:
        layer.teach()
    teach(cut.border, border, cut.below)


def _sum(total: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total + gradient


class _Collected:
    """The gradient of a layer's output, in each group's channels the sum of the streams that the group takes."""

    def __init__(self, layer: Layer, partition: Partition) -> None:
        self.edge, self._module, self._parameters = layer.edge, layer.module, layer.parameters
        split = partition.splits(layer.module)
        self._sizes = partition.sizes(layer.channels) if split else [layer.channels]
        self._split = split
        self._begun = [False] * len(self._sizes)
        self._total: Tensor | None = None

    def add(self, gradient: Tensor | None, takes: list[bool]) -> None:
        """Take a stream's gradient [B, C, ...]."""
        if gradient is None:
            return
        if self._total is None:
            self._total = torch.empty_like(gradient)
        for index, (mine, part) in enumerate(zip(self._parts(self._total), self._parts(gradient), strict=True)):
            if not self._split or takes[index]:
                _ = mine.add_(part) if self._begun[index] else mine.copy_(part)
                self._begun[index] = True

    def _parts(self, tensor: Tensor) -> tuple[Tensor, ...]:
        return tensor.split(self._sizes, channel_axis(self._module, tensor.ndim))

    def teach(self) -> None:
        """One weight gradient from all that was collected."""
        if self._total is None:
            return
        for part, begun in zip(self._parts(self._total), self._begun, strict=True):
            if not begun:
                part.zero_()
        teach([self.edge], [self._total], self._parameters)
        self._total = None
