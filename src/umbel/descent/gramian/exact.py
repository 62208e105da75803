"""The exact Gramian of a batch, and the weighted sum of the tasks' gradients, from rows and deltas mixed."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.core import write
from umbel.descent.exchange import gramian
from umbel.descent.gramian.plan import Plan
from umbel.descent.gramian.recorders import Deltas
from umbel.descent.gramian.segments import Segment
from umbel.descent.gramian.task_walks import Front, TaskWalks, fronts_of
from umbel.descent.graph import Graph
from umbel.descent.walk import gradients_at


class ExactPass:
    """G = J Jᵀ of T losses, and afterwards Σ_t w_t g_t, without the whole of J.

    Rows of a segment's parameters are made, multiplied and, above `plan.kept`, forgotten; sites give their deltas
    instead. In passes of an ordinary step (forward, input gradient, weight gradient: 3), a layer with deltas costs
    1 + T + 1 and its products, any other 1 + 2T, one that is forgotten 2 more.

    Args:
        losses: T scalars; their graph is used up.
        graph: Theirs.
        plan: Of the same graph.
        shared: P elements.
        own: All else that is trained; their `.grad` gets the gradient of the sum of the losses.

    Attributes:
        gramian: [T, T], float64.
    """

    def __init__(
        self,
        losses: Sequence[Tensor],
        graph: Graph,
        plan: Plan,
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
    ) -> None:
        self._losses, self._parameters = losses, shared
        self._own = graph.reach(losses, own)
        self._rows: list[tuple[list[nn.Parameter], Tensor]] = []
        self._deltas: list[Deltas] = []
        self._taught_again: list[nn.Parameter] = []
        self.gramian = torch.zeros(len(losses), len(losses), dtype=torch.float64, device=losses[0].device)
        fronts = fronts_of(losses)
        for number, segment in enumerate(plan.segments):
            self._walk(graph, segment, fronts, number >= plan.kept)

    def _walk(self, graph: Graph, segment: Segment, fronts: list[Front], keep: bool) -> None:
        tasks = len(fronts)
        recorders = [Deltas(site, tasks) for site in segment.sites]
        recorded = {id(site.parameter) for site in segment.sites}
        here = {id(p) for p in segment.parameters}
        shared = [p for p in self._parameters if id(p) in here]  # in the order of rows, whose sums have the same bits
        asked = [p for p in shared if id(p) not in recorded]
        own = [[p for p in parameters if id(p) in here] for parameters in self._own]
        elements = sum(p.numel() for p in asked)
        rows = asked[0].new_zeros(tasks, elements) if asked else self._losses[0].new_zeros(tasks, 0)
        TaskWalks(graph, segment, recorders, asked, own, rows, free=keep and not recorders).run(fronts)
        self.gramian += gramian(rows)
        for recorder in recorders:
            if (part := recorder.gramian()) is not None:
                self.gramian += part.double()
        if keep:
            self._rows.append((asked, rows))
            self._deltas += recorders
        else:
            self._taught_again += shared

    def write(self, weights: Float[Tensor, " T"]) -> None:
        """Set the shared parameters' `.grad` to Σ_t w_t g_t; None where no loss depends on one."""
        for parameter in self._parameters:
            parameter.grad = None
        weighted_walk(self._losses, weights, self._taught_again, keep=bool(self._deltas))
        for parameters, rows in self._rows:
            if parameters:
                write(weights.to(rows) @ rows, parameters)
        for recorder in self._deltas:
            recorder.teach(weights)
            recorder.drop()


def weighted_walk(
    losses: Sequence[Tensor], weights: Float[Tensor, " T"], parameters: Sequence[nn.Parameter], keep: bool
) -> None:
    """Set `.grad` of the parameters to the gradient of Σ_t w_t L_t, in one walk.

    Args:
        losses: T scalars. Those that depend on nothing trained are left out; if all do, nothing is set.
        weights: One for each loss.
        parameters: All that the walk is for.
        keep: Whether the graph is walked again afterwards.
    """
    live = [(loss, weight.to(loss)) for loss, weight in zip(losses, weights, strict=True) if loss.requires_grad]
    if not live or not parameters:
        return
    tops, factors = zip(*live, strict=True)
    gradients = gradients_at(tops, list(parameters), factors, keep)
    taken: set[int] = set()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if gradient is None else _unshared(gradient, taken)


def _unshared(gradient: Tensor, taken: set[int]) -> Tensor:
    """A gradient that may be changed in place: autograd may give one tensor to two parameters, or an expanded one."""
    place = gradient.untyped_storage().data_ptr()
    if place in taken or 0 in gradient.stride():
        return gradient.clone()
    taken.add(place)
    return gradient
