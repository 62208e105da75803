"""One walk for each task, segment by segment: rows of the Jacobian where they are asked for, recorders elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from umbel.core import flatten
from umbel.descent.gramian.recorders import Recorder
from umbel.descent.gramian.segments import Segment
from umbel.descent.graph import Graph
from umbel.descent.walk import add_gradient, gradients_at


@dataclass
class Front:
    """Where the walk of one task stands.

    Attributes:
        tops: From where it goes on: the loss, or the place between two segments. Empty when it leads nowhere.
        values: The gradients there.
    """

    tops: list[Tensor | GradientEdge]
    values: list[Tensor]


def fronts_of(losses: Sequence[Tensor]) -> list[Front]:
    """Before the first segment: at the losses; those that depend on nothing trained lead nowhere."""
    return [Front([loss], [torch.ones_like(loss)]) if loss.requires_grad else Front([], []) for loss in losses]


class TaskWalks:
    """Walks of all tasks through one segment.

    Args:
        graph: Of the losses.
        segment: The part to walk.
        recorders: For its sites.
        asked: Shared parameters of the segment whose gradients become rows.
        own: For each task other parameters of the segment; their `.grad` gets the sum over the tasks.
        rows: [T, P], zero or to be overwritten; the asked parameters come first in it.
        free: Whether the last walk lets go of what the segment's nodes saved.
    """

    def __init__(
        self,
        graph: Graph,
        segment: Segment,
        recorders: Sequence[Recorder],
        asked: Sequence[nn.Parameter],
        own: Sequence[Sequence[nn.Parameter]],
        rows: Tensor,
        free: bool,
    ) -> None:
        self._asked, self._own, self._rows, self._free = asked, own, rows, free
        self._bottom = segment.bottom
        walked = self._walked(graph, [r.site.node for r in recorders])
        self._hooked = [r for r in recorders if r.site.node in walked]
        self._ending = [r for r in recorders if r.site.node not in walked]

    def _walked(self, graph: Graph, sites: Sequence[Node]) -> set[Node]:
        """The nodes that autograd computes, because something that is wanted lies below."""
        ids = {id(p) for parameters in (self._asked, *self._own) for p in parameters}
        targets = {node for node, p in graph.leaves.items() if id(p) in ids}.union(sites)
        if self._bottom is not None:
            targets.add(self._bottom.node)
        return graph.above(targets)

    def run(self, fronts: list[Front]) -> None:
        """All tasks, one after the other; each front moves to the segment's bottom."""
        bottom = [] if self._bottom is None else [self._bottom]
        ends = [*bottom, *(r.site.edge for r in self._ending)]
        places: list[GradientEdge | nn.Parameter] = [*ends, *self._asked]
        with self._hooks():
            for task, front in enumerate(fronts):
                for recorder in (*self._hooked, *self._ending):
                    recorder.task = task
                keep = not (self._free and task + 1 == len(fronts))
                gradients = self._walk(front, [*places, *self._own[task]], keep)
                below = [gradients.pop(0) for _ in bottom]
                for recorder in self._ending:
                    recorder.passed((gradients.pop(0),))
                self._take(task, gradients)
                front.values = [gradient for gradient in below if gradient is not None]
                front.tops = [*bottom] if front.values else []

    def _walk(self, front: Front, places: Sequence[GradientEdge | nn.Parameter], keep: bool) -> list[Tensor | None]:
        if not front.tops or not places:
            return [None] * len(places)
        return gradients_at(front.tops, places, front.values, keep)

    def _take(self, task: int, gradients: Sequence[Tensor | None]) -> None:
        asked, own = gradients[: len(self._asked)], gradients[len(self._asked) :]
        if self._asked:
            elements = sum(p.numel() for p in self._asked)
            flatten(asked, self._asked, out=self._rows[task, :elements])
        for parameter, gradient in zip(self._own[task], own, strict=True):
            add_gradient(parameter, gradient)

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        handles = [recorder.site.node.register_prehook(recorder.passed) for recorder in self._hooked]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
