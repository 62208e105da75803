"""Monte Carlo by a solver, as far as it comes in a given time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from umbel.arguments import real_number
from umbel.errors import UmbelError
from umbel.grids import Solver, States
from umbel.grids.grid import Whole

if TYPE_CHECKING:
    from umbel.grids.scenarios import Injections

_FIRST, _LARGEST = 32, 8192  # rows of a chunk
_CHUNK_SHARE = 0.1  # of what is left, so that the last chunk hardly overruns


@dataclass(frozen=True, eq=False)
class SolvedSample:
    """Rows that were drawn without replacement and solved.

    Attributes:
        rows: [solved], which rows of the injections, in the order drawn.
        states: [solved, n]; NaN where the solver did not converge.
        unsolved: How many of these rows did not converge.
        seconds: That the solver took.
        exhausted: Whether all rows were solved before the time was over.
    """

    rows: Whole
    states: States
    unsolved: int
    seconds: float
    exhausted: bool


def monte_carlo(
    solver: Solver,
    injections: "Injections",
    seconds: float,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> SolvedSample:
    """Solve rows drawn at random until the time is over.

    Only the solver's work counts, not that of drawing. Rows are drawn one by one, not by days: spread over the year
    they say more than whole days would.

    Args:
        solver: Of the grid.
        injections: What to draw from.
        seconds: A surrogate's training, labels and predictions together, for a comparison at equal wall clock.
        seed: Of the order.
        clock: Seconds that have passed; another one for tests.

    Raises:
        UmbelError: No time, or nothing to draw from.
    """
    if real_number(seconds, "seconds") <= 0:
        raise UmbelError(f"seconds is {seconds:g}; give a time above 0")
    order = np.random.default_rng(seed).permutation(len(injections.p_mw))
    if not len(order):
        raise UmbelError("there are no injections to draw from; give at least one row")
    voltages, done, spent, size = [], 0, 0.0, _FIRST
    while done < len(order) and spent < seconds:
        rows = order[done : done + size]
        p, q = injections.p_mw[rows], injections.q_mvar[rows]
        began = clock()
        solved = solver.solve(p, q)
        spent += clock() - began
        voltages.append(solved.voltages)
        done += len(rows)
        per_second = done / max(spent, 1e-9)
        size = int(np.clip(_CHUNK_SHARE * (seconds - spent) * per_second, _FIRST, _LARGEST))
    states = States.of(np.concatenate(voltages))
    unsolved = int((~np.isfinite(states.magnitude).all(1)).sum())
    return SolvedSample(order[:done], states, unsolved, spent, done == len(order))
