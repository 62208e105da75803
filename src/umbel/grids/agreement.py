"""Whether two programs find the same voltages: the solver, and pandapower's own `runpp`."""

import copy
from typing import Any

import numpy as np

from umbel.arguments import real_number, seed_number, whole_number
from umbel.errors import UmbelError
from umbel.grids.extra import from_extra
from umbel.grids.grid import Complexes, Grid, Reals
from umbel.grids.networks import bus_places, run_pandapower
from umbel.grids.solver import Solver


def cross_check(net: Any, grid: Grid, rows: int = 10, spread: float = 0.1, seed: int = 0) -> float:
    """The greatest difference of complex voltages (per unit) between the solver and pandapower's `runpp`.

    Args:
        net: The network.
        grid: Made from it.
        rows: Power flows to compare; in each, what every bus injects varies by itself.
        spread: By how much, relative (normal).
        seed: Of the variation.

    Raises:
        UmbelError: A power flow does not converge, or the network is not the grid's.
    """
    places = bus_places(net, grid)
    count, relative = whole_number(rows, "rows of the check", least=1), real_number(spread, "spread of the check")
    generator = np.random.default_rng(seed_number(seed, "seed of the check"))
    p = grid.base_p_mw * (1 + relative * generator.standard_normal((count, len(grid))))
    q = grid.base_q_mvar * (1 + relative * generator.standard_normal((count, len(grid))))
    live = places >= 0
    solved = Solver(grid).solve(p, q)
    worst = 0.0
    for row in range(count):
        theirs = _by_pandapower(net, grid, p[row] - grid.base_p_mw, q[row] - grid.base_q_mvar)
        if theirs is None or not solved.converged[row]:
            raise UmbelError(f"{grid.name}: a power flow of the check does not converge; lower its spread")
        worst = max(worst, float(np.abs(theirs[live] - solved.voltages[row][places[live]]).max()))
    return worst


def _by_pandapower(net: Any, grid: Grid, more_p_mw: Reals, more_q_mvar: Reals) -> Complexes | None:
    """Voltages of all rows of `net.bus` when more is injected than in the base case; None without convergence."""
    pandapower = from_extra("pandapower", "the check")
    work = copy.deepcopy(net)
    pandapower.create_loads(work, grid.bus_rows, p_mw=-more_p_mw, q_mvar=-more_q_mvar)
    try:
        run_pandapower(work, init="dc", tolerance_mva=1e-8, max_iteration=30)
    except pandapower.LoadflowNotConverged:
        return None
    return work.res_bus.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(work.res_bus.va_degree.to_numpy()))
