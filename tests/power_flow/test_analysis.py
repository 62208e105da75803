"""What many power flows say, against the same numbers computed row by row."""

import numpy as np
import pytest
from three_buses import injections, solved, three_buses

from umbel.errors import UmbelError
from umbel.grids import States
from umbel.power_flow import QUANTILES, Analysis, Differences, Gap, Limits, Spread, analyse, branch_values, compare

LIMITS = Limits(1.0155, 1.05, 0.4)


def currents_pu(states: States) -> np.ndarray:
    """|I| at the from side of each branch, written out."""
    b, v = three_buses().branches, states.voltages
    return np.abs(b.ff * v[:, b.from_bus] + b.ft * v[:, b.to_bus])


def test_flows_and_loadings_are_those_of_the_two_ports():
    grid, states = three_buses(), solved(300)
    flow, loading = branch_values(grid, states)
    v, b = states.voltages, grid.branches
    current = b.ff * v[:, b.from_bus] + b.ft * v[:, b.to_bus]
    np.testing.assert_allclose(flow, (v[:, b.from_bus] * current.conj()).real * 100, rtol=1e-9)
    most = b.limit_ka * np.sqrt(3) * 110 / 100
    assert np.isnan(loading[:, 1]).all()
    assert (loading[:, [0, 2]] >= currents_pu(states)[:, [0, 2]] / most[[0, 2]] - 1e-12).all()


def test_numbers_are_those_of_the_sample():
    grid, states = three_buses(), solved(300)
    analysis = analyse(grid, states, LIMITS)
    assert isinstance(analysis, Analysis) and isinstance(analysis.voltage, Spread)
    np.testing.assert_allclose(analysis.voltage.mean.value, states.magnitude.mean(0))
    np.testing.assert_allclose(analysis.voltage.std.value, states.magnitude.std(0))
    np.testing.assert_allclose(analysis.voltage.quantiles.value, np.quantile(states.magnitude, QUANTILES, axis=0))
    flow, loading = branch_values(grid, states)
    np.testing.assert_allclose(analysis.flow_mw.quantiles.value, np.quantile(flow, QUANTILES, axis=0))
    outside = (states.magnitude < 1.0155) | (states.magnitude > 1.05)
    over = loading[:, [0, 2]] > 0.4
    assert 0 < outside[:, 2].mean() < 1 and 0 < over.mean() < 1  # or the test would show nothing
    np.testing.assert_allclose(analysis.bus_violation.value, outside.mean(0))
    assert analysis.limited.tolist() == [0, 2]
    np.testing.assert_allclose(analysis.branch_violation.value, over.mean(0))
    either = outside[:, 2] | over.any(1)
    np.testing.assert_allclose(analysis.any_voltage.value, outside[:, 2].mean())
    np.testing.assert_allclose(analysis.any_loading.value, over.any(1).mean())
    np.testing.assert_allclose(analysis.any_violation.value, either.mean())
    assert analysis.any_violation.low < either.mean() < analysis.any_violation.high


def test_set_points_out_of_limits_are_no_matter_of_chance():
    analysis = analyse(three_buses(), solved(300), Limits(0.9, 1.0155, 9))  # below the set-point of the slack
    assert analysis.bus_violation.value[:2].tolist() == [1, 0]
    assert analysis.any_voltage.value[0] == analysis.bus_violation.value[2] < 1


def test_rows_without_a_solution_are_counted_and_take_no_part():
    states = solved(300)
    magnitude, angle = states.magnitude.copy(), states.angle.copy()
    magnitude[::3], angle[::3] = np.nan, np.nan
    days = np.arange(300) // 10
    analysis = analyse(three_buses(), States(magnitude, angle), LIMITS, days)
    kept = np.arange(300) % 3 > 0
    alone = analyse(three_buses(), States(magnitude[kept], angle[kept]), LIMITS, days[kept])
    assert (analysis.rows, analysis.unsolved, alone.unsolved) == (300, 100, 0)
    np.testing.assert_array_equal(analysis.voltage.mean.high, alone.voltage.mean.high)
    assert "30 whole days" in analysis.note and "100 unsolved" in analysis.note


def test_differences_are_in_their_units():
    grid, states = three_buses(), solved(300)
    truth = analyse(grid, states, LIMITS)
    moved = States(states.magnitude + np.array([0, 0, 0.002]), states.angle)
    differences = compare(analyse(grid, moved, LIMITS), truth)
    assert isinstance(differences, Differences)
    assert differences.voltage_mean.largest == pytest.approx(0.002)
    assert differences.voltage_mean.mean == pytest.approx(0.002 / 3)
    assert differences.voltage_tails.largest == pytest.approx(0.002)
    assert differences.voltage_std.largest == pytest.approx(0, abs=1e-9)
    low, high = ((m[:, 2] < 1.0155).mean() for m in (states.magnitude, moved.magnitude))
    assert differences.any_voltage == pytest.approx(100 * (high - low)) and differences.any_voltage < 0
    assert differences.bus_violation == Gap(pytest.approx(100 * (low - high)), pytest.approx(100 * (low - high) / 3))
    wider = States(states.magnitude.mean(0) + 1.1 * (states.magnitude - states.magnitude.mean(0)), states.angle)
    assert compare(analyse(grid, wider, LIMITS), truth).voltage_std.largest == pytest.approx(0.1)
    assert compare(truth, truth).within == 1


def test_small_samples_have_the_truth_within_their_intervals():
    grid = three_buses()
    truth = analyse(grid, solved(4000, 99), LIMITS)
    within = [compare(analyse(grid, solved(200, seed), LIMITS), truth).within for seed in range(20)]
    assert 0.9 < np.mean(within) <= 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: analyse(three_buses(), States(np.ones((4, 2)), np.ones((4, 2)))), "states of 2 buses"),
        (lambda: analyse(three_buses(), States(np.full((4, 3), np.nan), np.ones((4, 3)))), "none of 4 states"),
        (lambda: analyse(three_buses(), solved(300), days=np.zeros(7, int)), "7 days for 300 states"),
        (lambda: Limits(1.05, 0.95), "low below high"),
        (lambda: Limits(loading=0), "above 0"),
        (lambda: Limits(low="a"), "low is 'a'"),
        (lambda: compare(analyse(three_buses(), solved(300)), analyse(three_buses(), solved(300), LIMITS)), "limits"),
    ],
)
def test_bad_input_is_one_line(call, says):
    with pytest.raises(UmbelError, match=says) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_sample_of_these_tests_is_solved():
    assert np.isfinite(solved(300).magnitude).all() and injections(2)[0].shape == (2, 3)
