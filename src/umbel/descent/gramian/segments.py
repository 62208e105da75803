"""A graph cut into segments, one below the other, each entered at a single place."""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, Node

from umbel.descent.gramian.sites import Site
from umbel.descent.graph import Graph
from umbel.descent.torch_internals import place_of


@dataclass
class Segment:
    """A part of the graph between two places through which every path from above to below leads.

    Attributes:
        bottom: Where the next segment begins; None for the last one.
        parameters: Those whose gradient arises here.
        sites: Of these, the ones whose gradient is not asked for, because their deltas are enough.
    """

    bottom: GradientEdge | None
    parameters: list[nn.Parameter] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)


def cut_graph(graph: Graph) -> list[Segment]:
    """As many segments as there are places to cut, from the losses down; their parameters filled in.

    Tasks can go through a segment together: all that they need of what is above is one gradient each, at its top.

    Args:
        graph: Its leaves are the parameters that are to be spread over the segments.
    """
    trunk, tails = _trunk(graph), {}
    order = [node for node in reversed(graph.order) if node in trunk]
    places = {node: place for place, node in enumerate(order)}
    for leaf in graph.leaves:
        tails[leaf] = _above(graph, leaf, places)
    cuts = _cuts(graph, order, places)
    for reached in tails.values():  # a parameter that is used in two places must not have a cut between them
        low, high = min(reached, default=0), max(reached, default=0)
        cuts = {place: edge for place, edge in cuts.items() if not low <= place < high}
    segments, ends = [], [*sorted(cuts), len(order)]
    segments = [Segment(cuts.get(end)) for end in ends]
    for leaf, reached in tails.items():
        first = max(reached, default=0)
        segments[next(i for i, end in enumerate(ends) if first <= end)].parameters.append(graph.leaves[leaf])
    return segments


def _trunk(graph: Graph) -> set[Node]:
    """The nodes from which two parameters or more can be reached: the rest are the parameters' own tails."""
    reach: dict[Node, set[Node]] = {}
    trunk = set()
    for node in graph.order:
        below = {node} if node in graph.leaves else set()
        for child, _ in graph.edges[node]:
            below |= reach[child]
        reach[node] = below if len(below) < 2 else set(list(below)[:2])
        if len(below) > 1 or (node in graph.roots and below):
            trunk.add(node)
    return trunk


def _above(graph: Graph, leaf: Node, places: dict[Node, int]) -> list[int]:
    """The places in the trunk at which a parameter's tail ends."""
    ends, pending, seen = [], [leaf], {leaf}
    while pending:
        node = pending.pop()
        if node in places:
            ends.append(places[node])
            continue
        more = [parent for parent in graph.parents[node] if parent not in seen]
        seen.update(more)
        pending += more
    return ends


def _cuts(graph: Graph, order: list[Node], places: dict[Node, int]) -> dict[int, GradientEdge]:
    """Place in the order -> the one edge over which all that lies behind is reached."""
    open_edges: set[tuple[Node, int]] = {top for top in graph.tops if top[0] in places}
    cuts = {}
    for place, node in enumerate(order):
        open_edges = {edge for edge in open_edges if edge[0] is not node}
        open_edges |= {edge for edge in graph.edges[node] if edge[0] in places}
        if len(open_edges) == 1:
            (edge,) = open_edges
            cuts[place] = GradientEdge(*edge)
    return cuts


def is_changed_at(edge: GradientEdge) -> bool:
    """Whether a hook of a user's changes gradients that arrive here: a walk that goes on here would call it again.

    Tried with one number in all places: that takes no memory and, without hooks, no time.
    """
    place = place_of(edge)
    if place.is_nested:
        return True
    probe = torch.full((), 0.7, dtype=place.dtype, device=place.device).expand(place.shape)
    try:
        (seen,) = torch.autograd.grad([edge], [edge], [probe], retain_graph=True)
    except RuntimeError:  # it works in place
        return True
    return seen is not probe and not torch.equal(seen, probe)
