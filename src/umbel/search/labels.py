"""The exact solver: Pareto fronts of (cost, value), pruned by bounds; whole numbers only."""

from dataclasses import dataclass, replace

import numpy as np

from umbel.search.relaxation import Problem, Relaxation, relax

BEAMS = (64, 1024, 16_384, 100_000)


@dataclass(frozen=True)
class Solution:
    """The best configuration.

    Attributes:
        encoder: Place of the encoder width.
        heads: Places of the head widths, in the order of `Problem.moves`.
        cost: Whole steps of the cost's grid.
        value: In the units of `Problem.values`.
        bound: No configuration within the limit has a higher value; equal to `value` when this is the best.
    """

    encoder: int
    heads: tuple[int, ...]
    cost: int
    value: int
    bound: float


@dataclass
class _Front:
    """Labels of partial choices, one entry of every array each."""

    encoder: np.ndarray
    state: np.ndarray
    cost: np.ndarray
    value: np.ndarray

    def take(self, index: np.ndarray) -> "_Front":
        return _Front(self.encoder[index], self.state[index], self.cost[index], self.value[index])


def solve(problem: Problem) -> Solution | None:
    """The configuration of most value within the limit; among equals the cheapest, then the narrowest encoder.

    A label is a partial choice: encoder, state of the order rule, cost and value so far. Of two labels with the same
    encoder and state, the one that costs no less and is worth no more is dropped; so is a label that cannot be
    completed within the limit, or whose bound (see `Relaxation`) is below the best configuration found. The search
    keeps at first only the labels with the highest bounds, which quickly finds a good configuration to prune with,
    and then more and more until none had to be left out: then the answer is exact.

    Returns:
        None when nothing fits the limit.
    """
    known = relax(problem)
    start = np.flatnonzero(problem.encoder + known.cheapest[0][:, 0] <= problem.limit)
    if not len(start):
        return None
    best: Solution | None = None
    bound = np.inf
    for beam in BEAMS:
        reached, upper = _run(problem, known, start, None if best is None else best.value, beam)
        if upper is None:
            return reached
        bound = min(bound, upper)
        if reached is not None and (best is None or (reached.value, -reached.cost) > (best.value, -best.cost)):
            best = reached
    return None if best is None else replace(best, bound=max(bound, float(best.value)))


def _run(
    problem: Problem, known: Relaxation, start: np.ndarray, floor: int | None, beam: int
) -> tuple[Solution | None, float | None]:
    """One pass over the tasks with at most `beam` labels.

    Returns:
        The best that it found, and, if labels had to be left out, a bound on what the best of all may be worth.
    """
    zeros = np.zeros(len(start), dtype=np.int64)
    front = _Front(start, zeros, problem.encoder[start], zeros)
    trail: list[tuple[np.ndarray, np.ndarray]] = []
    upper: float | None = None
    for step in range(len(problem.heads)):
        front, parents, widths, bounds = _extend(problem, known, front, step, floor)
        if len(front.cost) > beam:
            upper = float(bounds.max()) if upper is None else upper
            kept = np.sort(np.argpartition(-bounds, beam)[:beam])
            front, parents, widths = front.take(kept), parents[kept], widths[kept]
        trail.append((parents, widths))
    if not len(front.cost):
        return None, upper
    last = int(np.lexsort((front.encoder, front.cost, -front.value))[0])
    cost, value, encoder = int(front.cost[last]), int(front.value[last]), int(front.encoder[last])
    heads = []
    for parents, widths in reversed(trail):
        heads.append(int(widths[last]))
        last = int(parents[last])
    return Solution(encoder, tuple(reversed(heads)), cost, value, float(value)), upper


def _extend(
    problem: Problem, known: Relaxation, front: _Front, step: int, floor: int | None
) -> tuple[_Front, np.ndarray, np.ndarray, np.ndarray]:
    """Every label with every width of the next head, without those that are over, hopeless or dominated."""
    cost = front.cost[:, None] + problem.heads[step, front.encoder]
    state = problem.moves.following[step][front.state]
    least = known.cheapest[step + 1][front.encoder[:, None], state]
    parents, widths = np.nonzero((state >= 0) & (cost + least <= problem.limit))
    encoder, state, cost = front.encoder[parents], state[parents, widths], cost[parents, widths]
    value = front.value[parents] + problem.values[step, encoder, widths]
    bounds = known.bound(step + 1, encoder, state, value, problem.limit - cost)
    if floor is not None:
        hopeful = np.flatnonzero(bounds >= floor)
        encoder, state, cost, value, bounds, parents, widths = (
            array[hopeful] for array in (encoder, state, cost, value, bounds, parents, widths)
        )
    kept = _undominated(encoder * problem.moves.states[step + 1] + state, cost, value)
    extended = _Front(encoder, state, cost, value).take(kept)
    return extended, parents[kept], widths[kept], bounds[kept]


def _undominated(place: np.ndarray, cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the labels that no other of the same place beats or equals in both cost and value."""
    if not len(cost):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((-value, cost, place))
    # One running maximum over all places: values of a later place are lifted above all of an earlier one.
    lifted = value[order] - value.min() + place[order] * (int(value.max()) - int(value.min()) + 1)
    before = np.maximum.accumulate(lifted)[:-1]
    return order[np.concatenate([[True], lifted[1:] > before])]
