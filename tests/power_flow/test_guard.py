"""The guard: what does not balance is solved, nothing is dropped, and its limit keeps its promise."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from three_buses import injections, solved, three_buses

from umbel.errors import UmbelError
from umbel.grids import GridEquations, Solver, States
from umbel.power_flow import (
    Balanced,
    Guarded,
    GuardedStates,
    Guarding,
    GuardLimit,
    SolvedSample,
    balanced,
    break_even,
    greatest_errors_pu,
    judge,
    limit_from,
    mismatches_mva,
    monte_carlo,
)

ROWS = 60


def wrong_on(rows: slice | list[int], by: float = 0.01):
    """A prediction that is the solution but for |V| of the load in some rows."""

    def predict(p_mw, q_mvar):
        states = Solver(three_buses())(p_mw, q_mvar)
        magnitude = states.magnitude.copy()
        magnitude[rows, 2] += by
        return States(magnitude, states.angle)

    return predict


def guarded(predict, limit_mva: float, solver=None) -> GuardedStates:
    grid = three_buses()
    judged: Balanced = balanced(predict, GridEquations(grid))
    return Guarded(judged, solver or Solver(grid), limit_mva).run(*injections(ROWS))


def test_wrong_rows_are_solved_and_right_ones_kept():
    result = guarded(wrong_on([3, 8]), 0.1)
    assert np.flatnonzero(~result.accepted).tolist() == [3, 8]
    np.testing.assert_allclose(result.states.magnitude, solved(ROWS).magnitude, atol=1e-9)
    np.testing.assert_allclose(result.states.angle, solved(ROWS).angle, atol=1e-9)
    assert result.share_solved == pytest.approx(2 / ROWS) and result.unsolved == 0
    assert (result.mismatch_mva[[3, 8]] > 1).all() and result.per_second > 0


def test_without_a_rejected_row_nothing_is_solved():
    result = guarded(wrong_on([]), 0.1, SimpleNamespace(solve=None))
    assert result.accepted.all() and result.share_solved == 0


def test_a_limit_of_0_solves_everything_and_a_prediction_of_nan_is_solved():
    assert guarded(wrong_on(slice(None)), 0.0).share_solved == 1
    result = guarded(wrong_on([5], math.nan), 0.1)
    assert np.flatnonzero(~result.accepted).tolist() == [5] and np.isfinite(result.states.magnitude).all()


def test_rows_that_do_not_converge_are_counted_and_nan():
    p, q = injections(ROWS)
    p[4, 2] = -5000  # more than the lines can carry
    grid = three_buses()
    flat = States(np.ones((ROWS, 3)), np.zeros((ROWS, 3)))
    result = Guarded(balanced(lambda p_mw, q_mvar: flat, GridEquations(grid)), Solver(grid), 1.0).run(p, q)
    assert result.unsolved == 1 and np.isnan(result.states.magnitude[4]).all()
    assert np.isfinite(np.delete(result.states.magnitude, 4, 0)).all()
    truth = Solver(grid).solve(p, q).states
    judged = judge(result, flat, truth, 1e-3)
    assert isinstance(judged, Guarding) and (judged.unsolved, judged.wrong_accepted, judged.rows) == (1, 0, ROWS)


def test_the_mismatch_is_that_of_the_worst_bus():
    grid, states, (p, q) = three_buses(), solved(ROWS), injections(ROWS)
    assert mismatches_mva(GridEquations(grid), states, p, q).max() < 1e-5
    p[7, 1] += 3  # a generator: its active power is specified, its reactive power is not
    q[7, 1] += 50
    q[9, 2] -= 4
    mismatches = mismatches_mva(GridEquations(grid), states, p, q)
    np.testing.assert_allclose(mismatches[[7, 9]], [3, 4], rtol=1e-5)


def test_the_limit_is_the_greatest_that_keeps_its_promise():
    mismatch = np.array([5.0, 1, 2, 3, 4, np.nan])
    error = np.array([2e-3, 1e-4, 1e-4, 2e-3, 1e-4, np.inf])
    limit = limit_from(mismatch, error, 1e-3, coverage=0.75)
    assert limit == GuardLimit(4.0, 1e-3, 0.75, pytest.approx(4 / 6), 0.75, 6)
    assert limit_from(mismatch, error, 1e-3, coverage=0.99).limit_mva == 2
    none = limit_from(mismatch, np.full(6, 1.0), 1e-3)
    assert none.limit_mva == 0 and none.accepted == 0 and math.isnan(none.right)
    # Rows of one mismatch cannot be told apart: accepting one accepts the other.
    assert limit_from(np.array([1.0, 2, 2]), np.array([0, 0, 1.0]), 0.5, 1.0).limit_mva == 1


def test_what_a_guard_did_is_counted_against_the_truth():
    truth = solved(ROWS)
    predicted = wrong_on([3, 8, 9])(*injections(ROWS))
    accepted = np.ones(ROWS, bool)
    accepted[[3, 20]] = False
    result = GuardedStates(predicted, accepted, np.zeros(ROWS), 0, 0.5, 0.5)
    judged = judge(result, predicted, truth, 1e-3)
    assert (judged.wrong_accepted, judged.solved_needlessly) == (2, 1)
    assert judged.right == pytest.approx(56 / 58) and judged.per_second == ROWS
    errors = greatest_errors_pu(predicted, truth)
    assert errors[3] == pytest.approx(0.01) and errors[4] == pytest.approx(0, abs=1e-12)


def test_break_even():
    # 60 s saved 1/100 - 1/1000 = 9 ms each
    assert break_even(50, 10, 100, 1000) == pytest.approx(60 / 0.009)
    assert break_even(50, 10, 1000, 1000) == math.inf == break_even(0, 0, 1000, 10)
    with pytest.raises(UmbelError, match="solver_per_second is 0"):
        break_even(1, 1, 0, 1)
    with pytest.raises(UmbelError, match="train_seconds is -1"):
        break_even(-1, 1, 1, 1)


class Clock:
    """A clock that a solver moves: a hundredth of a second for each row."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def slow_solver(clock: Clock):
    solver = Solver(three_buses())

    def solve(p_mw, q_mvar):
        clock.now += len(p_mw) / 100
        return solver.solve(p_mw, q_mvar)

    return SimpleNamespace(solve=solve)


def test_monte_carlo_takes_the_time_it_has():
    clock = Clock()
    p, q = injections(5000)
    p[::50, 2] = -5000
    injected = SimpleNamespace(p_mw=p, q_mvar=q)
    sample = monte_carlo(slow_solver(clock), injected, seconds=10, clock=clock)
    assert isinstance(sample, SolvedSample) and not sample.exhausted
    assert 10 <= sample.seconds < 10.5 and len(sample.rows) == round(sample.seconds * 100)
    assert len(np.unique(sample.rows)) == len(sample.rows) and sample.rows.max() > 4000
    assert sample.unsolved == (sample.rows % 50 == 0).sum() > 0
    alone = Solver(three_buses()).solve(p[sample.rows[:3]], q[sample.rows[:3]]).states
    np.testing.assert_allclose(sample.states.magnitude[:3], alone.magnitude, atol=1e-9)
    again = monte_carlo(slow_solver(clock), injected, seconds=10, seed=1, clock=clock)
    assert again.rows[:5].tolist() != sample.rows[:5].tolist()


def test_monte_carlo_says_when_there_was_nothing_left():
    p, q = injections(100)
    sample = monte_carlo(Solver(three_buses()), SimpleNamespace(p_mw=p, q_mvar=q), seconds=60)
    assert sample.exhausted and sorted(sample.rows) == list(range(100)) and sample.seconds < 60


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: guarded(wrong_on([]), -1), "limit_mva is -1"),
        (lambda: limit_from(np.ones(3), np.ones(2)), "3 mismatches for 2 errors"),
        (lambda: limit_from(np.ones(3), np.ones(3), coverage=1.5), "coverage 1.5"),
        (lambda: monte_carlo(None, SimpleNamespace(p_mw=np.ones((1, 3))), 0), "seconds is 0"),
        (lambda: monte_carlo(None, SimpleNamespace(p_mw=np.ones((0, 3))), 1), "no injections"),
    ],
)
def test_bad_input_is_one_line(call, says):
    with pytest.raises(UmbelError, match=says):
        call()
