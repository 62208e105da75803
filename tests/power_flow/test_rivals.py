"""Rivals solve the same equations; simple models are what textbooks say; the table of rates is computed right."""

import numpy as np
import pytest
from three_buses import injections, solved, three_buses

from umbel.errors import UmbelError
from umbel.grids import Branches, Solver, States, grid_of, open_network
from umbel.grids.extra import quiet
from umbel.power_flow import (
    OFF_PU,
    Candidate,
    DirectCurrent,
    LinearPowerFlow,
    Rate,
    Throughput,
    by_pandapower,
    by_power_grid_model,
    by_solver,
    measure_throughput,
)
from umbel.power_flow.pi_circuits import PiCircuits

ROWS = 4


@pytest.fixture(scope="module")
def case14():
    """(net, grid, p, q, solved) of a real network with taps, shunts and generators."""
    net = open_network("case14")
    grid = grid_of(net)
    generator = np.random.default_rng(0)
    p, q = (x * (1 + 0.1 * generator.standard_normal((ROWS, len(grid)))) for x in (grid.base_p_mw, grid.base_q_mvar))
    return net, grid, p, q, Solver(grid).solve(p, q).states


@pytest.mark.parametrize("recycle", [False, True])
def test_pandapower_solves_the_same(case14, recycle):
    net, grid, p, q, truth = case14
    before = net.load.copy()
    answer = by_pandapower(net, grid, p, q, recycle=recycle, numba=False)()
    np.testing.assert_allclose(answer.magnitude, truth.magnitude, atol=1e-7)
    np.testing.assert_allclose(answer.angle, truth.angle, atol=1e-7)
    assert net.load.equals(before)


@pytest.mark.parametrize("recycle", [False, True])
def test_pandapower_goes_on_after_a_row_without_a_solution(case14, recycle):
    net, grid, p, q, truth = case14
    p = p.copy()
    p[1] *= 40
    answer = by_pandapower(net, grid, p, q, recycle=recycle, numba=False)()
    assert np.isnan(answer.magnitude[1]).all()
    np.testing.assert_allclose(answer.magnitude[[0, 2, 3]], truth.magnitude[[0, 2, 3]], atol=1e-7)


def test_power_grid_model_solves_the_same_from_branches_alone(case14):
    _, grid, p, _, truth = case14
    answer = by_power_grid_model(grid, p, truth)()
    np.testing.assert_allclose(answer.magnitude, truth.magnitude, atol=1e-7)
    np.testing.assert_allclose(answer.angle, truth.angle, atol=1e-7)


def test_power_grid_model_knows_shifts_and_counts_failures():
    (p, _), truth = injections(ROWS), solved(ROWS)
    magnitude, angle = truth.magnitude.copy(), truth.angle.copy()
    np.testing.assert_allclose(by_power_grid_model(three_buses(), p, truth)().angle, angle, atol=1e-7)
    p = p.copy()
    p[2, 2] = -5000
    magnitude[2], angle[2] = np.nan, np.nan
    answer = by_power_grid_model(three_buses(), p, States(magnitude, angle))()
    assert np.isnan(answer.magnitude[2]).all() and np.isfinite(np.delete(answer.magnitude, 2, 0)).all()


@pytest.mark.parametrize("start", ["base", "flat"])
def test_the_solver_solves_from_both_starts(case14, start):
    _, grid, p, q, truth = case14
    np.testing.assert_allclose(by_solver(Solver(grid), p, q, start)().magnitude, truth.magnitude, atol=1e-7)


def test_direct_current_is_pandapowers(case14):
    pandapower = pytest.importorskip("pandapower")
    net, grid, *_ = case14
    with quiet():
        pandapower.rundcpp(net)
    answer = DirectCurrent(grid)(grid.base_p_mw[None], grid.base_q_mvar[None])
    np.testing.assert_allclose(np.rad2deg(answer.angle[0]), net.res_bus.va_degree.loc[grid.bus_rows], atol=1e-6)
    np.testing.assert_array_equal(answer.magnitude[0], np.abs(grid.base_voltages))


@pytest.mark.parametrize("degrees", [0, 150, -30, 179])
def test_circuits_are_the_two_ports_and_look_like_branches(degrees):
    series, ratio = 1 / (0.01 + 0.1j), 0.95 * np.exp(1j * np.deg2rad(degrees))
    one = np.ones(1)
    branches = Branches(
        np.array([0]), np.array([1]), one * (series + 0.03j) / 0.95**2, -one * series / ratio.conjugate(),
        -one * series / ratio, one * (series + 0.03j), one, ("trafo",), np.array([0]), ("t",),
    )  # fmt: skip
    circuits = PiCircuits.of(branches)
    np.testing.assert_allclose(circuits.series, series)
    np.testing.assert_allclose(circuits.shunt, 0.06j, atol=1e-12)
    np.testing.assert_allclose([circuits.ratio[0], np.rad2deg(circuits.shift[0])], [0.95, degrees], atol=1e-9)
    np.testing.assert_allclose(circuits.rest, 0, atol=1e-12)


def test_a_series_capacitor_stays_one():
    series, one = 1 / (0.001 - 0.05j), np.ones(1)
    branches = Branches(
        np.array([0]), np.array([1]), one * series, -one * series, -one * series, one * series, one, ("line",),
        np.array([0]), ("c",),
    )  # fmt: skip
    circuits = PiCircuits.of(branches)
    np.testing.assert_allclose([circuits.series[0], circuits.shift[0]], [series, 0], atol=1e-12)


def test_a_linear_model_learns_what_is_linear():
    p, q = injections(200)
    state = np.stack([p[:, 2] * 1e-3 + 1, q[:, 2] * 2e-3 + 1, p[:, 1] * 1e-3], 1)
    states = States(state, -state)
    states.magnitude[7] = np.nan  # not solved: left out
    model = LinearPowerFlow(p, q, states, penalty=1e-6)
    fresh_p, fresh_q = injections(5, seed=1)
    answer = model(fresh_p, fresh_q)
    np.testing.assert_allclose(answer.magnitude[:, 0], fresh_p[:, 2] * 1e-3 + 1, atol=1e-6)
    np.testing.assert_allclose(answer.angle[:, 1], -fresh_q[:, 2] * 2e-3 - 1, atol=1e-6)
    with pytest.raises(UmbelError, match="none of the rows is solved"):
        LinearPowerFlow(p, q, States(state * np.nan, state))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_medians_of_runs_in_turns():
    clock, ran, truth = Clock(), [], solved(10)
    takes = {"a": iter([9.0, 1.0, 2.0, 30.0]), "b": iter([9.0, 4.0, 4.0, 4.0])}

    def candidate(name: str) -> Candidate:
        def run() -> States:
            ran.append(name)
            clock.now += next(takes[name])
            magnitude, angle = truth.magnitude.copy(), truth.angle.copy()
            magnitude[3, 2] += 0.3
            magnitude[5] = np.nan
            return States(magnitude, angle)

        return Candidate(name, run, truth, f"note of {name}")

    said: list[str] = []
    measured = measure_throughput([candidate("a"), candidate("b")], 3, said.append, clock)
    assert "".join(ran) == "ab" + "ab" + "ba" + "ab" and len(said) == 3
    first, second = measured.rates
    assert isinstance(measured, Throughput) and isinstance(first, Rate) and "thread" in measured.machine
    assert (first.per_second, first.slowest, first.quickest) == (10 / 2, 10 / 30, 10 / 1)
    assert (second.per_second, second.rows, second.runs, second.note) == (10 / 4, 10, 3, "note of b")
    assert first.error_pu == pytest.approx(0.3 / np.sqrt(27)) and first.worst_pu == pytest.approx(0.3)
    assert (first.off, first.unanswered) == (1, 1) and OFF_PU < 0.3
    assert measured.ratio("a", "b") == 2
    with pytest.raises(UmbelError, match="no candidate is called 'c'"):
        measured.ratio("a", "c")
    with pytest.raises(UmbelError, match="a name of its own"):
        measure_throughput([candidate("a"), candidate("a")])
    with pytest.raises(UmbelError, match="runs is 0"):
        measure_throughput([], 0)
