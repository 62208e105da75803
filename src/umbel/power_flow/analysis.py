"""What an operator asks of many power flows: how voltages and loadings spread, and how likely they leave their limits.

Every number has a 95 % interval (see `umbel.power_flow.intervals`). Rows that no solver could solve are counted and
take no part: whether such a state is a violation or worse cannot be told from it.
"""

from dataclasses import dataclass

import numpy as np
import torch

from umbel.arguments import real_number
from umbel.errors import UmbelError
from umbel.grids import Grid, GridEquations, States
from umbel.grids.grid import Reals, Whole
from umbel.power_flow.intervals import Estimates, Resampling

QUANTILES = (0.01, 0.05, 0.95, 0.99)
"""Which quantiles an analysis gives."""
_BATCH = 4096


@dataclass(frozen=True)
class Limits:
    """What voltages and branches may do.

    Attributes:
        low: The smallest |V| that is allowed, per unit.
        high: The greatest.
        loading: The greatest current of a branch, as a share of its limit.

    Raises:
        UmbelError: Not finite, or not in order.
    """

    low: float = 0.95
    high: float = 1.05
    loading: float = 1.0

    def __post_init__(self) -> None:
        low, high, loading = (real_number(getattr(self, name), name) for name in ("low", "high", "loading"))
        if not 0 <= low < high:
            raise UmbelError(f"limits of |V| are {low:g} to {high:g} pu; give low below high, neither negative")
        if loading <= 0:
            raise UmbelError(f"loading is {loading:g}; give a share above 0, as 1.0 for 100 %")


@dataclass(frozen=True, eq=False)
class Spread:
    """How each of n quantities is distributed.

    Attributes:
        mean: [n].
        std: [n].
        quantiles: [len(QUANTILES), n].
    """

    mean: Estimates
    std: Estimates
    quantiles: Estimates

    @classmethod
    def of(cls, values: Reals, resampling: Resampling) -> "Spread":
        """That of a sample [rows, n]."""
        return cls(*resampling.moments(values), resampling.quantiles(values, QUANTILES))


@dataclass(frozen=True, eq=False)
class Analysis:
    """What many states of a grid say.

    Attributes:
        limits: That violations are about.
        voltage: |V| of each bus, per unit.
        flow_mw: Active power into each branch at its from side.
        loading: Of each branch that has a limit, as a share of it.
        limited: [their number], which branches these are.
        bus_violation: Probability that |V| of each bus is out of limits.
        branch_violation: That each branch of `limited` is overloaded.
        any_voltage: That |V| of some bus is out of limits; buses whose |V| a generator or the slack holds do not count,
            for a set-point is no matter of chance. One number, as arrays of shape [1].
        any_loading: That some branch is overloaded; [1].
        any_violation: That either happens; [1].
        rows: Of the sample.
        unsolved: Rows among them without a solution, which no other number counts.
        note: What the intervals rest on, in words.
    """

    limits: Limits
    voltage: Spread
    flow_mw: Spread
    loading: Spread
    limited: Whole
    bus_violation: Estimates
    branch_violation: Estimates
    any_voltage: Estimates
    any_loading: Estimates
    any_violation: Estimates
    rows: int
    unsolved: int
    note: str


def analyse(grid: Grid, states: States, limits: Limits | None = None, days: Whole | None = None) -> Analysis:
    """Moments, quantiles and probabilities of violation of a sample of states.

    Args:
        grid: Of n buses.
        states: [rows, n]; NaN in rows that were not solved.
        limits: 0.95 to 1.05 pu and 100 % loading unless said.
        days: [rows], the day of each row; intervals then resample whole days. None where rows are independent.

    Raises:
        UmbelError: States of another grid, or no row that was solved.
    """
    limits = limits or Limits()
    rows, buses = states.magnitude.shape
    if buses != len(grid):
        raise UmbelError(f"states of {buses} buses for {grid.name}, which has {len(grid)}; give states of this grid")
    solved = np.isfinite(states.magnitude).all(1) & np.isfinite(states.angle).all(1)
    if not solved.any():
        raise UmbelError(f"none of {rows:,} states of {grid.name} is solved; there is nothing to analyse")
    if days is not None and len(days) != rows:
        raise UmbelError(f"{len(days):,} days for {rows:,} states; give the day of each state")
    resampling = Resampling(int(solved.sum()), None if days is None else np.asarray(days)[solved])
    voltage = states.magnitude[solved]
    flow, loading = branch_values(grid, States(voltage, states.angle[solved]))
    limited = np.flatnonzero(np.isfinite(grid.branches.limit_ka))
    loading = loading[:, limited]
    outside = ((voltage < limits.low) | (voltage > limits.high)).astype(np.float64)
    over = (loading > limits.loading).astype(np.float64)
    voltage_now, loading_now = outside[:, grid.pq].any(1), over.any(1)
    some = resampling.probability(np.stack([voltage_now, loading_now, voltage_now | loading_now], 1).astype(np.float64))
    any_voltage, any_loading, any_violation = (
        Estimates(some.value[i : i + 1], some.low[i : i + 1], some.high[i : i + 1]) for i in range(3)
    )
    return Analysis(
        limits=limits,
        voltage=Spread.of(voltage, resampling),
        flow_mw=Spread.of(flow, resampling),
        loading=Spread.of(loading, resampling),
        limited=limited,
        bus_violation=resampling.probability(outside),
        branch_violation=resampling.probability(over),
        any_voltage=any_voltage,
        any_loading=any_loading,
        any_violation=any_violation,
        rows=rows,
        unsolved=rows - int(solved.sum()),
        note=_note(resampling.note, rows - int(solved.sum())),
    )


def _note(intervals: str, unsolved: int) -> str:
    return f"{intervals}; {unsolved:,} unsolved rows take no part" if unsolved else intervals


def branch_values(grid: Grid, states: States) -> tuple[Reals, Reals]:
    """Active power into each branch at its from side (MW), and its loading (a share, NaN without a limit).

    By the exact equations in double precision.

    Args:
        grid: Of n buses.
        states: [rows, n].

    Returns:
        Each [rows, branches].
    """
    equations = GridEquations(grid)
    flow, loading = (np.empty((len(states.magnitude), len(grid.branches))) for _ in range(2))
    for start in range(0, len(flow), _BATCH):
        part = slice(start, start + _BATCH)
        at = torch.from_numpy(states.magnitude[part]), torch.from_numpy(states.angle[part])
        flow[part], loading[part] = equations.branch_powers(*at).p_from, equations.loading(*at)
    return flow, loading
