"""What the segments of a graph hold while all tasks walk through them, and which of them are walked together."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from umbel.descent.gramian.segments import Segment
from umbel.descent.gramian.sites import Site
from umbel.descent.torch_internals import place_of

_MANY = 8  # tasks


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


def load_of(segment: Segment, shared: Collection[int], sites: Mapping[int, Site], tasks: int) -> Load:
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
    place = place_of(segment.bottom)
    return 0 if place.is_nested else tasks * math.prod(place.shape) * place.dtype.itemsize


def most_forgotten(loads: Sequence[Load], tasks: int, longer: float) -> int:
    """How many segments from the top may be walked once more, when that may cost this part of (1 + 2T)/3 steps.

    None for fewer than eight tasks: their rows are few, and cutting the graph costs more than was counted.
    """
    if tasks < _MANY:
        return 0
    total = sum(load.work for load in loads)
    done, count = 0, 0
    for load in loads:
        done += load.work
        part = done / total if total else 1.0
        if 2 * part > longer * (1 + 2 * tasks):
            break
        count += 1
    return count


@dataclass(frozen=True)
class Layout:
    """Which neighbouring segments are walked together.

    Attributes:
        sizes: Number of segments in each group; none for all in one.
        kept: The first group of which rows and deltas are kept; there is one such group at most.
        needs: Bytes of the rows and deltas of all groups, when this layout was looked for; for the log.
        room: Bytes that they were allowed; for the log.
    """

    sizes: tuple[int, ...]
    kept: int
    needs: int = field(default=0, compare=False)
    room: int = field(default=0, compare=False)


WHOLE = Layout((), 0)
"""All segments in one group, which is kept."""


def best_layout(loads: Sequence[Load], room: float, least: float, most: int) -> Layout:
    """As few segments forgotten as let what is held fit into the room; else the least that can be held.

    Args:
        loads: All segments.
        room: Bytes beside the graph.
        least: Groups that hold less than these bytes are joined with a neighbour.
        most: How many segments may be forgotten.
    """
    options = [_layout(loads, count, least) for count in range(most + 1)]
    peaks = [peak_of(loads, layout) for layout in options]
    best = next((o for o, peak in zip(options, peaks, strict=True) if peak <= room), options[peaks.index(min(peaks))])
    return replace(best, needs=peak_of(loads, WHOLE), room=int(room))


def _layout(loads: Sequence[Load], forgotten: int, least: float) -> Layout:
    """Groups of the first segments, joined wherever that holds no more or they are small; the rest in one."""
    if not forgotten:
        return WHOLE
    rest = (len(loads) - forgotten,) if forgotten < len(loads) else ()
    sizes = _small_joined([load.own for load in loads[:forgotten]], least)
    layout = Layout((*sizes, *rest), len(sizes))
    while True:
        joined_ones = [
            Layout((*sizes[:i], sizes[i] + sizes[i + 1], *sizes[i + 2 :], *rest), len(sizes) - 1)
            for i in range(len(sizes) - 1)
        ]
        better = min(joined_ones, key=lambda one: peak_of(loads, one), default=layout)
        if better is layout or peak_of(loads, better) > peak_of(loads, layout):
            return layout
        layout, sizes = better, better.sizes[: better.kept]


def _small_joined(own: Sequence[int], least: float) -> tuple[int, ...]:
    sizes: list[int] = []
    held = least
    for size in own:
        if held < least or size == 0:
            sizes = sizes or [0]
            sizes[-1] += 1
            held += size
        else:
            sizes.append(1)
            held = float(size)
    return tuple(sizes)


def peak_of(loads: Sequence[Load], layout: Layout) -> int:
    """Bytes beside the graph at the worst moment: what a group holds, and the gradients of all tasks at its ends.

    A task's gradient at the top is let go of when that at the bottom comes, so that only the larger counts.
    """
    if layout == WHOLE:
        return sum(load.own for load in loads)
    most, above, begin = 0, 0, 0
    for size in layout.sizes:
        group = loads[begin : begin + size]
        most = max(most, sum(load.own for load in group) + max(above, group[-1].bottom))
        above, begin = group[-1].bottom, begin + size
    return most


def laid_out(segments: Sequence[Segment], layout: Layout) -> list[Segment]:
    """The groups, each as one segment."""
    sizes, begin, groups = layout.sizes or (len(segments),), 0, []
    for size in sizes:
        whole = Segment(segments[begin + size - 1].bottom)
        for segment in segments[begin : begin + size]:
            whole.parameters += segment.parameters
            whole.sites += segment.sites
        groups.append(whole)
        begin += size
    return groups
