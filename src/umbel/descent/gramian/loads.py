"""What the segments of a graph hold while all tasks walk through them, and which of them are walked together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from umbel.descent.gramian.segments import Segment
from umbel.descent.gramian.sites import Site


@dataclass(frozen=True)
class Load:
    """A segment and what it holds.

    Attributes:
        segment: A part of the graph.
        own: Bytes of its rows and deltas, of all tasks.
        bottom: Bytes of the gradients at its bottom, of all tasks.
        work: Multiplications of one weight gradient of all its sites.
    """

    segment: Segment
    own: int
    bottom: int
    work: int


def load_of(segment: Segment, shared: set[int], sites: Mapping[int, Site], tasks: int) -> Load:
    """What one segment holds.

    Args:
        segment: Its own sites give deltas, all other shared parameters rows.
        shared: `id` of the shared parameters.
        sites: All sites by the `id` of their parameter, those that give rows with them.
        tasks: T.
    """
    deltas = {id(site.parameter): site for site in segment.sites}
    own = 0
    for parameter in segment.parameters:
        if (site := deltas.get(id(parameter))) is not None:
            own += tasks * site.rows * site.outputs * site.kept.element_size()
        elif id(parameter) in shared:
            own += tasks * parameter.numel() * parameter.element_size()
    known = [sites[id(p)] for p in segment.parameters if id(p) in sites]
    return Load(segment, own, _bottom(segment, tasks), sum(s.rows * s.inputs * s.outputs for s in known))


def _bottom(segment: Segment, tasks: int) -> int:
    if segment.bottom is None:
        return 0
    place = segment.bottom.node._input_metadata[segment.bottom.output_nr]
    return 0 if place.is_nested_tensor else tasks * math.prod(place.shape) * place.dtype.itemsize


def most_forgotten(loads: Sequence[Load], tasks: int, longer: float) -> int:
    """How many segments from the top may be walked once more, when that may cost this part of (1 + 2T)/3 steps."""
    total = sum(load.work for load in loads)
    done, count = 0, 0
    for load in loads:
        done += load.work
        part = done / total if total else 1.0
        if 2 * part > longer * (1 + 2 * tasks):
            break
        count += 1
    return count


def grouped(loads: Sequence[Load], forgotten: int, least: float) -> list[Load]:
    """The first segments in groups, the rest in one.

    Neighbours are joined where one holds little, or where the place between them would hold more than it saves.

    Args:
        loads: All segments.
        forgotten: How many are walked group by group.
        least: Bytes.
    """
    groups: list[list[Load]] = []
    for load in loads[:forgotten]:
        if groups and _belongs(groups[-1], load, least):
            groups[-1].append(load)
        else:
            groups.append([load])
    if loads[forgotten:]:
        groups.append(list(loads[forgotten:]))
    return [_sum(group) for group in groups]


def _belongs(group: Sequence[Load], load: Load, least: float) -> bool:
    held = sum(one.own for one in group)
    return min(held, load.own) < least or group[-1].bottom > min(held, load.own)


def _sum(group: Sequence[Load]) -> Load:
    segment = joined([one.segment for one in group])
    return Load(segment, sum(one.own for one in group), group[-1].bottom, sum(one.work for one in group))


def joined(segments: Sequence[Segment]) -> Segment:
    """Neighbours as one."""
    whole = Segment(segments[-1].bottom)
    for segment in segments:
        whole.parameters += segment.parameters
        whole.sites += segment.sites
    return whole


def peak_of(loads: Sequence[Load], forgets: bool) -> int:
    """Bytes beside the graph at the worst moment: of one group, and of the gradients above and below it.

    Args:
        loads: Groups.
        forgets: Whether each but the last is forgotten once it is walked. (The last is counted as if it were.)
    """
    if not forgets:
        return sum(load.own for load in loads)
    above = [0, *(load.bottom for load in loads)]
    return max(top + load.own + load.bottom for top, load in zip(above, loads, strict=False))
