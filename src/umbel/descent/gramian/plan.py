"""What is kept of which weight: rows, deltas or nothing but what the Gramian needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from umbel.descent.gramian.segments import Segment, cut_graph, is_changed_at
from umbel.descent.gramian.sites import Site, find_sites
from umbel.descent.graph import Graph

_WORTH = 0.8  # deltas must save at least so much of the arithmetic: they are copied, and inputs of maps written out
_KEEP = 0.4  # of what a plain step holds at its peak, kept beside it
_FINE = 0.1  # of the same: segments that are smaller than this are walked together

_HOOKED = "BackwardHookFunctionBackward"  # hooks of modules come in pairs, and do not bear a cut between the two


@dataclass(frozen=True)
class Plan:
    """How an exact Gramian is computed.

    Attributes:
        segments: From the losses down. Of those before `kept` nothing is kept: one more walk teaches them, with the
            weighted sum of the losses.
        kept: Of this segment and all behind it rows and deltas are kept: they are weighted without another walk.
    """

    segments: list[Segment]
    kept: int

    @property
    def only_rows(self) -> bool:
        """Whether nothing but T ordinary backward passes is left of it."""
        return self.kept == 0 and not any(segment.sites for segment in self.segments)


def make_plan(graph: Graph, shared: Sequence[nn.Parameter], tasks: int, lean: bool) -> Plan:
    """The least arithmetic for each site, and little memory where much is wanted.

    Args:
        graph: Of the losses, with all that is trained among its leaves.
        shared: What the tasks compete for.
        tasks: T.
        lean: Whether memory is looked at: rows and deltas that exceed 0.4 of what a plain step holds are not kept.
            That costs one more walk through the uppermost segments, which in most networks hold most parameters.
    """
    mine = {id(p) for p in shared}
    sites = find_sites(graph)
    chosen = {key: s for key, s in sites.items() if key in mine and s.unfolds and deltas_pay(s, tasks)}
    segments = cut_graph(graph)
    for segment in segments:
        segment.sites = [chosen[id(p)] for p in segment.parameters if id(p) in chosen]
    if not lean or any(node.name() == _HOOKED for node in graph.edges):
        return Plan([_joined(segments)], 0)
    plain = saved_bytes(graph) + sum(p.numel() * p.element_size() for p in shared)
    bytes_of = [_bytes(segment, mine, tasks) for segment in segments]
    kept = next(i for i in range(len(segments) + 1) if sum(bytes_of[i:]) <= _KEEP * plain)
    upper = _grouped(segments[:kept], bytes_of, _FINE * plain)
    return _mended([*upper, *([_joined(segments[kept:])] if kept < len(segments) else [])], len(upper))


def deltas_pay(site: Site, tasks: int) -> bool:
    """Whether the Gramian from deltas is less work than T weight gradients; in multiplications.

    deltas  N² K + T N² C + T² N C / 2 + N K C        rows  T N K C + T² K C / 2
    """
    n, k, c = site.rows, site.inputs, site.outputs
    deltas = n * n * k + tasks * n * n * c + tasks * tasks * n * c / 2 + n * k * c
    return deltas < _WORTH * (tasks * n * k * c + tasks * tasks * k * c / 2)


def saved_bytes(graph: Graph) -> int:
    """What the graph's nodes keep for the backward pass, without the parameters themselves."""
    own = {p.untyped_storage().data_ptr() for p in graph.leaves.values()}
    found: dict[int, int] = {}
    for node in graph.edges:
        for tensor in _saved(node):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
    return sum(found.values())


def _saved(node: object) -> Iterable[Tensor]:
    """What a node keeps, but for what has to be computed or fetched first."""
    for name in dir(node):
        if name.startswith("_raw_saved_"):
            raw = getattr(node, name)
            if getattr(raw, "unpack_hook", raw) is None:
                value = getattr(node, name.replace("_raw", "", 1))
                if isinstance(value, Tensor):
                    yield value


def _bytes(segment: Segment, shared: set[int], tasks: int) -> int:
    """Of the segment's rows and deltas, of all tasks."""
    found = 0
    deltas = {id(site.parameter): site for site in segment.sites}
    for parameter in segment.parameters:
        if id(parameter) in deltas:
            site = deltas[id(parameter)]
            found += tasks * site.rows * site.outputs * site.kept.element_size()
        elif id(parameter) in shared:
            found += tasks * parameter.numel() * parameter.element_size()
    return found


def _joined(segments: Sequence[Segment]) -> Segment:
    whole = Segment(segments[-1].bottom)
    for segment in segments:
        whole.parameters += segment.parameters
        whole.sites += segment.sites
    return whole


def _grouped(segments: Sequence[Segment], bytes_of: Sequence[int], least: float) -> list[Segment]:
    """Neighbours joined until each group has some weight."""
    groups: list[list[Segment]] = []
    weight = least
    for segment, size in zip(segments, bytes_of, strict=False):
        if weight >= least:
            groups.append([])
            weight = 0.0
        groups[-1].append(segment)
        weight += size
    return [_joined(group) for group in groups]


def _mended(segments: list[Segment], kept: int) -> Plan:
    """Segments joined wherever a hook would act on both sides of the cut."""
    place = 0
    while place + 1 < len(segments):
        if is_changed_at(segments[place].bottom):
            segments[place : place + 2] = [_joined(segments[place : place + 2])]
            kept -= 1
        else:
            place += 1
    return Plan(segments, kept)
