"""Power flows of one grid, many at a time, by lightsim2grid: Newton's method in compiled code."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umbel.arguments import instance, real_number, whole_number
from umbel.errors import UmbelError, shown
from umbel.grids.conversion import chosen
from umbel.grids.extra import from_extra
from umbel.grids.grid import Complexes, Grid, Reals, Whole
from umbel.grids.states import States

_ROWS_AT_ONCE = 4096
_MOST_ITERATIONS = 20


@dataclass(frozen=True, eq=False)
class Solved:
    """What came of many power flows.

    Attributes:
        voltages: Complex [rows, buses], per unit; NaN in rows that did not converge.
        converged: [rows].
        iterations: [rows], of Newton's method.
        seconds: In the solver, without what prepares its arrays.
    """

    voltages: Complexes
    converged: NDArray[np.bool_]
    iterations: Whole
    seconds: float

    def __len__(self) -> int:
        return len(self.voltages)

    @property
    def states(self) -> States:
        """The voltages as magnitudes and angles."""
        return States.of(self.voltages)


class Solver:
    """Solves a grid for many injections. Not to be used by several threads at once.

    Args:
        grid: As `grid_of` makes it.
        threads: Of the solver.
        tolerance_mva: Greatest mismatch of a bus at the solution; pandapower's default.

    Raises:
        UmbelError: The extra is missing, or a branch has no equal transfer admittances, as an unsymmetrical impedance.
    """

    def __init__(self, grid: Grid, threads: int = 1, tolerance_mva: float = 1e-8) -> None:
        instance(grid, Grid, "the grid of a solver", "one that grid_of made")
        self.grid = grid
        self._threads = whole_number(threads, "threads of the solver", least=1)
        self._tolerance_mva = real_number(tolerance_mva, "tolerance_mva of the solver")
        model = _model(grid)
        cpp = from_extra("lightsim2grid.lightsim2grid_cpp", "solving power flows")
        self._new = partial(cpp.InjectionSweepCPP, model)
        self._kept: dict[int, Any] = {}
        # The first call makes matrices that are kept, and must converge for that: users may begin with any start.
        self.solve(grid.base_p_mw[None], grid.base_q_mvar[None])

    def solve(
        self,
        p_mw: Reals,
        q_mvar: Reals,
        start: str | Complexes = "base",
        say: Callable[[int, int], None] | None = None,
    ) -> Solved:
        """Solve one power flow for each row.

        Args:
            p_mw: [rows, buses], injected (generation minus load); not used at the slack.
            q_mvar: Likewise; not used at the slack and at `grid.pv`.
            start: "base" (the base case), "flat" (1 per unit, set-points at generators, the slack's angle), or
                complex voltages, [buses] for all rows or [rows, buses], one for each.
            say: Told how many rows of how many are done.

        Raises:
            UmbelError: Other shapes, or values that are not finite.
        """
        p, q = self._injections(p_mw, q_mvar)
        first = self._start(start, len(p))
        found = _unsolved(len(p), len(self.grid))
        seconds = 0.0
        for begin in range(0, len(p), _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, len(p))
            if first.ndim == 1:
                seconds += self._solve_into(found, slice(begin, end), p, q, first)
            else:
                seconds += sum(
                    self._solve_into(found, slice(row, row + 1), p, q, first[row]) for row in range(begin, end)
                )
            if say is not None:
                say(end, len(p))
        return replace(found, seconds=seconds)

    def __call__(self, p_mw: Reals, q_mvar: Reals) -> States:
        """Solve from the base case; so a solver can stand wherever something predicts states (`Predict`)."""
        return self.solve(p_mw, q_mvar).states

    def without_branch(self, branch: int) -> "Solver":
        """The solver of the grid with one branch out of service (N-1), and its base case solved anew.

        Args:
            branch: Its place in `grid.branches`.

        Raises:
            UmbelError: Buses are then cut off, or the base case does not converge.
        """
        branches = self.grid.branches
        place = whole_number(branch, "the branch", least=0, most=len(branches) - 1)
        name = f"{self.grid.name} without {branches.names[place]}"
        kept = chosen(branches, np.delete(np.arange(len(branches)), place))
        solver = Solver(replace(self.grid, name=name, branches=kept), self._threads, self._tolerance_mva)
        solved = solver.solve(self.grid.base_p_mw[None], self.grid.base_q_mvar[None])
        if not solved.converged[0]:
            raise UmbelError(f"{name}: the base case does not converge; leave this outage out")
        solver.grid = replace(solver.grid, base_voltages=solved.voltages[0])
        return solver

    def _injections(self, p_mw: Reals, q_mvar: Reals) -> tuple[Reals, Reals]:
        p, q = (_array(x, np.float64, "injections") for x in (p_mw, q_mvar))
        if p.ndim != 2 or p.shape != q.shape or p.shape[1] != len(self.grid):
            raise UmbelError(
                f"injections {p.shape} and {q.shape}; give two arrays [rows, {len(self.grid)}], a column for each bus"
            )
        if not (np.isfinite(p).all() and np.isfinite(q).all()):
            raise UmbelError("injections hold values that are not finite; fill them in or leave their rows out")
        return p, q

    def _start(self, start: str | Complexes, rows: int) -> Complexes:
        grid, base = self.grid, self.grid.base_voltages
        if isinstance(start, str):
            if start not in ("base", "flat"):
                raise UmbelError(f"start of a power flow is {shown(start)}; give 'base', 'flat' or complex voltages")
            if start == "base":
                return base.copy()
            magnitude = np.ones(len(grid))
            magnitude[grid.pv] = np.abs(base[grid.pv])
            return magnitude * np.exp(1j * np.angle(base[grid.slack]))
        given = _array(start, np.complex128, "start of a power flow")
        if given.shape not in ((len(grid),), (rows, len(grid))):
            raise UmbelError(f"start {given.shape} of {rows} power flows; give [{len(grid)}] or [{rows}, {len(grid)}]")
        return given

    def _sweep(self, rows: int) -> Any:
        """A sweep of so many rows, which a sweep cannot change; those of the usual sizes keep their matrices."""
        sweep = self._kept.get(rows) or self._new()
        sweep.nb_thread = self._threads
        if rows in (1, _ROWS_AT_ONCE):
            self._kept[rows] = sweep
        return sweep

    def _solve_into(self, found: Solved, rows: slice, p: Reals, q: Reals, first: Complexes) -> float:
        """Solve some rows from one start and write what comes of them into their places; returns the seconds."""
        load_p, load_q = -p[rows], -q[rows]
        sweep = self._sweep(len(load_p))
        generators, others = np.zeros((len(load_p), len(self.grid.pv) + 1)), np.zeros((len(load_p), 0))
        begin = time.perf_counter()
        sweep.compute_Vs(generators, others, load_p, load_q, first.copy(), _MOST_ITERATIONS, self._tolerance_mva)
        seconds = time.perf_counter() - begin
        voltages = np.array(sweep.get_voltages())
        # The slack's angle is the start's in the solver; ext_grid.va_degree is part of the base voltages.
        slack = self.grid.slack
        turn = np.angle(self.grid.base_voltages[slack]) - np.angle(voltages[:, slack])
        converged = np.array(sweep.converged_mask(), bool)
        found.voltages[rows] = np.where(converged[:, None], voltages * np.exp(1j * turn)[:, None], np.nan)
        found.converged[rows] = converged
        found.iterations[rows] = sweep.get_row_nb_iter()
        return seconds


def _array(values: object, kind: type, what: str) -> Any:
    """The values as an array of its own order in memory, which compiled code can read."""
    try:
        return np.ascontiguousarray(values, kind)
    except (TypeError, ValueError) as error:
        raise UmbelError(f"{what}: {shown(values)} holds no numbers; give an array") from error


def _unsolved(rows: int, buses: int) -> Solved:
    """Room for what comes of so many power flows."""
    voltages = np.full((rows, buses), np.nan, complex)
    return Solved(voltages, np.zeros(rows, bool), np.zeros(rows, np.int64), 0.0)


def _model(grid: Grid) -> Any:
    """The grid in lightsim2grid: series admittances as branches, all that is on the diagonal of Y besides as shunts."""
    cpp = from_extra("lightsim2grid.lightsim2grid_cpp", "solving power flows")
    b, n = grid.branches, len(grid)
    if not np.allclose(np.abs(b.ft), np.abs(b.tf), rtol=1e-9):
        raise UmbelError(f"{grid.name}: a branch has other impedances forth and back, which the solver does not know")
    shift = np.angle(b.ft / b.tf) / 2  # half a turn more or less only changes the sign of `series`
    series = -b.ft * np.exp(-1j * shift)
    diagonal = grid.admittance.diagonal()
    for ends in (b.from_bus, b.to_bus):
        np.subtract.at(diagonal, ends, series)
    impedance = 1 / series
    model = cpp.LSGrid()
    model.set_sn_mva(grid.base_mva)
    model.init_bus(n, 1, grid.bus_kv, 0, len(b))
    start, end = b.from_bus.astype(np.int32), b.to_bus.astype(np.int32)
    one, none = np.ones(len(b)), np.zeros(len(b), complex)
    model.init_trafo(impedance.real, impedance.imag, none, one, np.rad2deg(shift), [True] * len(b), start, end, False)
    model.init_shunt(diagonal.real * grid.base_mva, -diagonal.imag * grid.base_mva, np.arange(n, dtype=np.int32))
    held = np.append(grid.slack, grid.pv).astype(np.int32)
    zero, wide = np.zeros(len(held)), np.full(len(held), 1e9)
    model.init_generators(zero, np.abs(grid.base_voltages[held]), -wide, wide, held)
    model.init_loads(-grid.base_p_mw, -grid.base_q_mvar, np.arange(n, dtype=np.int32))
    model.add_gen_slackbus(0, 1.0)
    if cpp.AlgorithmType.NR_KLU in model.available_default_algorithms():
        model.change_algorithm(cpp.AlgorithmType.NR_KLU)
    return model
