"""What is kept for each weight: rows, deltas, or only what the Gramian needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from umbel.descent.gramian.loads import WHOLE, Layout, best_layout, laid_out, load_of, most_forgotten
from umbel.descent.gramian.room import memory_of
from umbel.descent.gramian.segments import Segment, cut_graph
from umbel.descent.gramian.sites import Site, find_sites
from umbel.descent.graph import Graph
from umbel.descent.torch_internals import is_module_hook, kept_tensors

_WORTH = 0.8  # deltas must save at least so much of the arithmetic: they are copied, and inputs of maps written out
_PER_NODE = 3e6  # multiplications in float32 that deltas must save for each node of the graph, which is looked at in
# every step; those in bf16 count a quarter, because weight gradients are fast there
_PEAK = 1.4  # times what a plain step holds at its peak is allowed before rows and deltas are forgotten
_SHARE = 1 / 16  # of the device's memory rows and deltas may take in any case
_SMALL = 8e6  # bytes of them that are kept where nobody says how much memory there is
_LONGER = 1 / 16  # of the time of rows is allowed for the walk that teaches what was forgotten
_FINE = 0.05  # of a plain step's peak: segments that hold less are walked together


@dataclass(frozen=True)
class Plan:
    """How an exact Gramian is computed.

    Attributes:
        segments: From the losses down. Of those before `kept` nothing is kept: one more walk teaches them, with the
            weighted sum of the losses.
        kept: Of this segment and all behind it rows and deltas are kept: they are weighted without another walk.
        layout: How the segments were joined, for the next batch of the kind.
        shared: `id` of the parameters that the tasks compete for; segments have the others, too.
    """

    segments: list[Segment]
    kept: int
    layout: Layout
    shared: frozenset[int]

    @property
    def only_rows(self) -> bool:
        """Whether it comes down to T ordinary backward passes."""
        return self.kept == 0 and not any(segment.sites for segment in self.segments)

    @property
    def with_deltas(self) -> int:
        """How many parameters give deltas."""
        return sum(len(segment.sites) for segment in self.segments)

    @property
    def settled(self) -> int:
        """How many shared parameters there are in all segments."""
        return self._shared_in(self.segments)

    @property
    def taught_again(self) -> int:
        """How many of them are taught by one more walk."""
        return self._shared_in(self.segments[: self.kept])

    def _shared_in(self, segments: Sequence[Segment]) -> int:
        return sum(id(p) in self.shared for segment in segments for p in segment.parameters)


def make_plan(graph: Graph, shared: Sequence[nn.Parameter], tasks: int, layout: Layout | None = None) -> Plan:
    """The least arithmetic for each site, and little memory where that costs little time.

    Where rows and deltas would hold much more than a plain step does at its peak, and more than a small share of the
    device's memory, those of the uppermost segments, which in most networks have most parameters, are forgotten. One
    more walk through these teaches them; where it would take long beside the T others, they are kept.

    Args:
        graph: Of the losses, with all that is trained among its leaves.
        shared: What the tasks compete for.
        tasks: T.
        layout: Of an earlier batch of the kind, which is taken where it fits; `WHOLE` for no cuts. None to look for
            the best.
    """
    mine = frozenset(id(p) for p in shared)
    sites = {key: site for key, site in find_sites(graph).items() if key in mine}
    chosen = {key: site for key, site in sites.items() if site.unfolds and deltas_pay(site, tasks)}
    saves = sum(saved_work(site, tasks) * (site.kept.element_size() / 4) ** 2 for site in chosen.values())
    if saves < _PER_NODE * len(graph.edges):
        chosen = {}
    segments = cut_graph(graph)
    for segment in segments:
        segment.sites = [chosen[id(p)] for p in segment.parameters if id(p) in chosen]
    if any(map(is_module_hook, graph.edges)):  # they come in pairs, and do not bear a cut between the two
        layout = WHOLE
    if layout is None or (layout != WHOLE and sum(layout.sizes) != len(segments)):
        saved = saved_bytes(graph)
        plain = saved + sum(p.numel() * p.element_size() for p in shared) / 4  # gradients come while the rest goes
        loads = [load_of(segment, mine, sites, tasks) for segment in segments]
        room = max(_PEAK * plain - saved, _SHARE * memory_of(shared[0].device), _SMALL)
        layout = best_layout(loads, room, _FINE * plain, most_forgotten(loads, tasks, _LONGER))
    return Plan(laid_out(segments, layout), layout.kept, layout, mine)


def deltas_pay(site: Site, tasks: int) -> bool:
    """Whether the Gramian from deltas is clearly less work than T weight gradients.

    Args:
        site: N, K, C.
        tasks: T.
    """
    return work_of_deltas(site, tasks) < _WORTH * work_of_rows(site, tasks)


def saved_work(site: Site, tasks: int) -> float:
    """Multiplications that deltas save."""
    return work_of_rows(site, tasks) - work_of_deltas(site, tasks)


def work_of_rows(site: Site, tasks: int) -> float:
    """T weight gradients, and their products: T N K C + T² K C / 2 multiplications."""
    return tasks * site.inputs * site.outputs * (site.rows + tasks / 2)


def work_of_deltas(site: Site, tasks: int) -> float:
    """A Aᵀ, what it makes of T deltas, their products, and one weight gradient: N² K + T N² C + T² N C / 2 + N K C."""
    n, k, c = site.rows, site.inputs, site.outputs
    return n * (n * k + tasks * n * c + tasks * tasks * c / 2 + k * c)


def saved_bytes(graph: Graph) -> int:
    """What the graph's nodes keep for the backward pass, without the parameters themselves."""
    own = {p.untyped_storage().data_ptr() for p in graph.leaves.values()}
    sizes: dict[int, int] = {}
    for node in graph.edges:
        for tensor in kept_tensors(node):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())
