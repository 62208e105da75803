"""A surrogate that knows when it does not know: what does not balance is solved.

    r = max over buses of |S(V) - S_specified|          accept where r <= limit, else solve

The power balance is part of the problem, not of the network, so it also judges states that training never saw the
like of. What it cannot see is how much voltage a megawatt of mismatch is worth, which is measured once on validation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from umbel.arguments import real_number
from umbel.errors import UmbelError
from umbel.grids import GridEquations, Predict, Solver, States
from umbel.grids.grid import Reals

_BATCH = 4096
Flags = NDArray[np.bool_]
Balanced = Callable[[Reals, Reals], tuple[States, Reals]]
"""What predicts states from injections [rows, n] and says by how many MVA each row misses the power balance: [rows].

`PowerFlowPredictor.guarded` of `umbel.methods` is one; `balanced` makes one of anything that predicts.
"""


@dataclass(frozen=True, eq=False)
class GuardedStates:
    """States, each predicted and accepted or solved.

    Attributes:
        states: [rows, n]; NaN where neither the guard accepted nor the solver converged.
        accepted: [rows], whether the prediction was taken.
        mismatch_mva: [rows], of the prediction.
        unsolved: Rows that were given to the solver and did not converge.
        predict_seconds: Of predictions and their power balance.
        solve_seconds: Of all that was solved.
    """

    states: States
    accepted: Flags
    mismatch_mva: Reals
    unsolved: int
    predict_seconds: float
    solve_seconds: float

    @property
    def share_solved(self) -> float:
        """The share of rows that went to the solver, whether it converged or not."""
        return float((~self.accepted).mean()) if len(self.accepted) else 0.0

    @property
    def per_second(self) -> float:
        """Rows a second, with everything: predictions, power balance, solves."""
        return len(self.accepted) / (self.predict_seconds + self.solve_seconds)


class Guarded:
    """A surrogate whose predictions are taken where they balance; all other rows are solved.

    The solver starts each row from its prediction, which saves iterations, and from the base case where that fails.

    Args:
        predict: What predicts, and says by how much the balance is missed.
        solver: For the rest.
        limit_mva: The greatest mismatch of a bus that is accepted; see `limit_from`. 0 solves everything.

    Raises:
        UmbelError: A limit below 0.
    """

    def __init__(self, predict: Balanced, solver: Solver, limit_mva: float) -> None:
        self.limit_mva = real_number(limit_mva, "limit_mva")
        if self.limit_mva < 0:
            raise UmbelError(f"limit_mva is {limit_mva:g}; give 0 (solve everything) or more")
        self.predict, self.solver = predict, solver

    def run(self, p_mw: Reals, q_mvar: Reals) -> GuardedStates:
        """Predict all rows and solve those whose predictions do not balance.

        Args:
            p_mw: [rows, n], injected at every bus.
            q_mvar: Likewise.
        """
        began = time.perf_counter()
        predicted, mismatch = self.predict(p_mw, q_mvar)
        accepted = mismatch <= self.limit_mva  # a prediction that is not finite has no such mismatch
        between = time.perf_counter()
        magnitude, angle = predicted.magnitude.copy(), predicted.angle.copy()
        unsolved = 0
        if not accepted.all():
            rest = ~accepted
            solved = solve_from(States(magnitude[rest], angle[rest]), self.solver, p_mw[rest], q_mvar[rest])
            magnitude[rest], angle[rest] = solved.magnitude, solved.angle
            unsolved = int((~np.isfinite(solved.magnitude).all(1)).sum())
        ended = time.perf_counter()
        states = States(magnitude, angle)
        return GuardedStates(states, accepted, mismatch, unsolved, between - began, ended - between)


def solve_from(predicted: States, solver: Solver, p_mw: Reals, q_mvar: Reals) -> States:
    """Solve rows from their predictions, and those that do not converge, or have none, from the base case.

    Args:
        predicted: [rows, n].
        solver: Of the grid.
        p_mw: [rows, n], injected.
        q_mvar: Likewise.

    Returns:
        States; NaN in rows that converge from neither.
    """
    voltages = np.full(p_mw.shape, np.nan, complex)
    finite = np.isfinite(predicted.voltages).all(1)
    if finite.any():
        voltages[finite] = solver.solve(p_mw[finite], q_mvar[finite], start=predicted.voltages[finite]).voltages
    again = ~np.isfinite(voltages).all(1)
    if again.any():
        voltages[again] = solver.solve(p_mw[again], q_mvar[again]).voltages
    return States.of(voltages)


def balanced(predict: Predict, equations: GridEquations) -> Balanced:
    """Anything that predicts, with the mismatch of each row.

    Args:
        predict: States from injections.
        equations: Of the same grid.
    """

    def with_mismatch(p_mw: Reals, q_mvar: Reals) -> tuple[States, Reals]:
        states = predict(p_mw, q_mvar)
        return states, mismatches_mva(equations, states, p_mw, q_mvar)

    return with_mismatch


def mismatches_mva(equations: GridEquations, states: States, p_mw: Reals, q_mvar: Reals) -> Reals:
    """The greatest mismatch of a bus in every row, in MVA: [rows].

    Args:
        equations: Of a grid of n buses.
        states: [rows, n].
        p_mw: [rows, n], specified.
        q_mvar: Likewise.
    """
    parts = []
    for start in range(0, len(p_mw), _BATCH):
        rows = slice(start, start + _BATCH)
        given = (torch.from_numpy(x[rows]) for x in (states.magnitude, states.angle, p_mw, q_mvar))
        parts.append(equations.mismatch_mva(*given).numpy())
    return np.concatenate(parts) if parts else np.empty(0)


def greatest_errors_pu(states: States, truth: States) -> Reals:
    """The greatest error of |V| in every row, per unit: [rows]; infinite where one of the two is not finite.

    Args:
        states: [rows, n].
        truth: Likewise.
    """
    errors = np.abs(states.magnitude - truth.magnitude).max(1)
    return np.where(np.isfinite(errors), errors, np.inf)


@dataclass(frozen=True)
class GuardLimit:
    """A limit of the mismatch, and what it promised on the rows it was chosen on.

    Attributes:
        limit_mva: Accept up to here; 0 where no limit keeps the promise.
        bar_pu: The greatest error of |V| that counts as right.
        coverage: The share of accepted rows that had to be right.
        accepted: The share of rows that the limit accepted.
        right: The share of them that were right; NaN where none was accepted.
        rows: How many it was chosen on.
    """

    limit_mva: float
    bar_pu: float
    coverage: float
    accepted: float
    right: float
    rows: int


def limit_from(mismatch_mva: Reals, error_pu: Reals, bar_pu: float = 1e-3, coverage: float = 0.99) -> GuardLimit:
    """The greatest limit with which at least `coverage` of the accepted rows are right.

    Args:
        mismatch_mva: [rows], of predictions of validation rows.
        error_pu: [rows], the greatest error of |V| of each; infinite where the truth is not known.
        bar_pu: An error up to here is right.
        coverage: 0 to 1.

    Raises:
        UmbelError: Nothing to choose on, or a bar or coverage out of range.
    """
    if not 0 < coverage <= 1 or not bar_pu > 0:
        raise UmbelError(f"bar {bar_pu:g} pu, coverage {coverage:g}; give a bar above 0 and a coverage up to 1")
    if len(mismatch_mva) != len(error_pu) or not len(error_pu):
        raise UmbelError(f"{len(mismatch_mva)} mismatches for {len(error_pu)} errors; give both of the same rows")
    usable = np.where(np.isfinite(mismatch_mva), mismatch_mva, np.inf)
    order = np.argsort(usable, kind="stable")
    ordered = usable[order]
    right = np.cumsum(error_pu[order] <= bar_pu) / np.arange(1, len(order) + 1)
    last_of_its_size = np.append(ordered[1:] > ordered[:-1], True)  # rows of one mismatch are accepted together
    fits = np.flatnonzero((right >= coverage) & last_of_its_size & np.isfinite(ordered))
    if not len(fits):
        return GuardLimit(0.0, bar_pu, coverage, 0.0, float("nan"), len(order))
    best = fits[-1]
    return GuardLimit(
        float(ordered[best]), bar_pu, coverage, float(best + 1) / len(order), float(right[best]), len(order)
    )


@dataclass(frozen=True)
class Guarding:
    """What a guard did on rows whose truth is known.

    Attributes:
        rows: How many.
        share_solved: The share that went to the solver.
        unsolved: Rows that the solver could not solve either.
        wrong_accepted: Accepted rows whose |V| is off by more than the bar somewhere, or that have no solution.
        right: The share of accepted rows that are right; NaN where none was accepted.
        solved_needlessly: Rows that were solved though the prediction was right.
        per_second: Rows a second with everything.
    """

    rows: int
    share_solved: float
    unsolved: int
    wrong_accepted: int
    right: float
    solved_needlessly: int
    per_second: float


def judge(guarded: GuardedStates, predicted: States, truth: States, bar_pu: float) -> Guarding:
    """Compare what a guard accepted with the truth.

    Args:
        guarded: What it gave.
        predicted: Of the same rows, without a guard.
        truth: Of the same rows; NaN where there is no solution.
        bar_pu: The greatest error of |V| that counts as right.
    """
    right = greatest_errors_pu(predicted, truth) <= bar_pu
    accepted = guarded.accepted
    return Guarding(
        rows=len(accepted),
        share_solved=guarded.share_solved,
        unsolved=guarded.unsolved,
        wrong_accepted=int((accepted & ~right).sum()),
        right=float(right[accepted].mean()) if accepted.any() else float("nan"),
        solved_needlessly=int((~accepted & right).sum()),
        per_second=guarded.per_second,
    )
