"""Many power flows at once: right, in any order, from any start, and honest about those that do not converge."""

import numpy as np
import pytest

from umbel.core import UmbelError
from umbel.grids import Solved, Solver, grid_of, solver
from umbel.grids.states import Predict, States


def around(grid, rows, spread=0.05):
    generator = np.random.default_rng(0)
    p, q = (
        base * (1 + spread * generator.standard_normal((rows, len(grid))))
        for base in (grid.base_p_mw, grid.base_q_mvar)
    )
    return p, q


def test_rows_meet_what_is_injected_and_turn_with_the_slack(grids):
    grid = grids("case118")
    p, q = around(grid, 5)
    found = Solver(grid).solve(p, q)
    powers = found.voltages * (grid.admittance @ found.voltages.T).T.conj() * grid.base_mva
    assert (
        isinstance(found, Solved)
        and found.converged.all()
        and (found.iterations > 0).all()
        and found.seconds > 0
        and len(found) == 5
    )
    assert np.abs(powers.real - p)[:, grid.not_slack].max() < 1e-5
    assert np.abs(powers.imag - q)[:, grid.pq].max() < 1e-5
    assert np.allclose(np.rad2deg(np.angle(found.voltages[:, grid.slack])), 30.0)  # ext_grid.va_degree
    assert np.allclose(np.abs(found.voltages[:, grid.pv]), np.abs(grid.base_voltages[grid.pv]))


def test_every_start_ends_at_the_same_state(grids):
    grid = grids("case118")
    p, q = around(grid, 3)
    solve = Solver(grid).solve
    base = solve(p, q)
    for start in ("flat", np.ones(118), base.voltages):
        assert np.abs(solve(p, q, start=start).voltages - base.voltages).max() < 1e-8
    assert solve(p, q, start=base.voltages).iterations.max() < base.iterations.min()


def test_a_hopeless_first_start_leaves_the_other_rows_alone(grids):
    grid = grids("case14")
    p, q = around(grid, 3)
    starts = np.stack([np.full(14, 1e-3 + 0j), grid.base_voltages, np.full(14, np.nan)])
    assert Solver(grid).solve(p, q, start=starts).converged.tolist() == [False, True, False]


def test_rows_that_do_not_converge_are_nan_and_counted_and_leave_others_alone(grids):
    grid = grids("case14")
    p, q = around(grid, 4)
    alone = Solver(grid).solve(p[2:], q[2:])
    p[1] *= 100
    found = Solver(grid).solve(p, q)
    assert found.converged.tolist() == [True, False, True, True]
    assert np.isnan(found.voltages[1]).all() and np.isnan(found.states.magnitude[1]).all()
    assert np.array_equal(found.voltages[2:], alone.voltages)


def test_many_rows_go_in_parts_and_are_told(grids, monkeypatch):
    grid = grids("case14")
    p, q = around(grid, 7)
    whole = Solver(grid, threads=2).solve(p, q)
    monkeypatch.setattr(solver, "_ROWS_AT_ONCE", 3)
    told = []
    parts = Solver(grid).solve(p, q, say=lambda done, rows: told.append((done, rows)))
    assert told == [(3, 7), (6, 7), (7, 7)] and np.array_equal(parts.voltages, whole.voltages)
    each = Solver(grid).solve(p, q, start=whole.voltages, say=lambda done, rows: told.append((done, rows)))
    assert told[3:] == told[:3] and np.abs(each.voltages - whole.voltages).max() < 1e-8
    one = Solver(grid)
    numbers = [len(one.solve(p[:rows], q[:rows])) for rows in (2, 5, 1, 2)]  # a sweep takes one number of rows only
    assert numbers == [2, 5, 1, 2]
    assert Solver(grid).solve(p[:0], q[:0]).voltages.shape == (0, 14)


def test_an_outage_is_the_network_without_the_line(case, grids):
    net, grid = case("case14"), grids("case14")
    place = grid.branches.rows.tolist().index(3)
    assert grid.branches.kinds[place] == "line"
    outage = Solver(grid).without_branch(place)
    net.line.loc[3, "in_service"] = False
    fresh = grid_of(net)
    assert outage.grid.fingerprint == fresh.fingerprint
    assert np.abs(outage.grid.base_voltages - fresh.base_voltages).max() < 1e-8
    p, q = around(grid, 2)
    assert np.abs(outage.solve(p, q).voltages - Solver(fresh).solve(p, q).voltages).max() < 1e-8


def test_an_outage_that_cuts_buses_off_is_refused(grids):
    grid = grids("case14")
    alone = [bus for bus in range(14) if (np.append(grid.branches.from_bus, grid.branches.to_bus) == bus).sum() == 1]
    place = np.flatnonzero((grid.branches.from_bus == alone[0]) | (grid.branches.to_bus == alone[0]))[0]
    with pytest.raises(UmbelError, match="not connected to the slack"):
        Solver(grid).without_branch(int(place))
    with pytest.raises(UmbelError, match="at most 19"):
        Solver(grid).without_branch(20)


def test_a_solver_stands_where_something_predicts_states(grids):
    grid = grids("case14")
    predict: Predict = Solver(grid)
    states = predict(grid.base_p_mw[None], grid.base_q_mvar[None])
    assert np.abs(states.voltages - grid.base_voltages).max() < 1e-8 and len(states) == 1


def test_wrong_arguments_are_refused(grids):
    grid = grids("case14")
    solve, p, q = Solver(grid).solve, *around(grid, 2)
    for arguments, says in (
        ((p[:, :3], q[:, :3]), "a column for each bus"),
        ((p[0], q[0]), "a column for each bus"),
        ((p * np.nan, q), "not finite"),
        ((p, q, "warm"), "give 'base', 'flat'"),
        ((p, q, np.ones(3)), r"give \[14\] or \[2, 14\]"),
    ):
        with pytest.raises(UmbelError, match=says):
            solve(*arguments)
    with pytest.raises(UmbelError, match=r"give \[rows, buses\] of both"):
        States(np.ones(3), np.ones(3))
