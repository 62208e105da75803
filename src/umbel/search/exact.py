"""The best configuration for a budget and preferences, exactly."""

import time
from collections.abc import Mapping

import numpy as np

from umbel.search.budget import Budget
from umbel.search.choice import Choice, Question
from umbel.search.labels import Solution, solve
from umbel.search.order_rule import Moves, free_moves, ordered_moves
from umbel.search.relaxation import Problem
from umbel.search.tables import ConfigurationTable

VALUE_BITS = 48


def search(
    table: ConfigurationTable,
    budget: Budget | str,
    preferences: Mapping[str, float] | str | None = None,
    *,
    ordered: bool = True,
    machine: str | None = None,
) -> Choice:
    """The widths that serve the preferences best within the budget.

    Maximise sum_t r_t Q_t(we, w_t) subject to cost_E(we) + sum_t cost_t(we, w_t) <= budget, where Q_t is the change
    against the full configuration (see `ConfigurationTable.relative_quality`). Given we, the tasks are separate: a
    multiple-choice knapsack, solved by Pareto fronts over the tasks, for all encoder widths at once (see `solve`).

    Nothing is rounded on the way: costs are exact sums, and the budget is never exceeded, with no tolerance. Values
    are compared to 14 digits of the largest possible. Among equal values the cheapest configuration is taken, so a
    task with preference 0 gets the cheapest head that is allowed; among those, the narrower encoder.

    Differs from the paper, whose search was described but not found in detail: its "larger computational budget to
    the higher preferred task decoder" is here a constraint on widths, and the search is exact instead of heuristic
    (that of the paper's description is `proportional_rule`).

    Args:
        table: Quality and cost of every pair of widths.
        budget: As `parse_budget` takes it.
        preferences: Task -> preference, or text as `parse_preferences` takes it; tasks that are not named count 1.
        ordered: A more preferred task never gets a narrower head. Equal preferences have no order.
        machine: This machine, to refuse a latency budget with another machine's table; None does not check.

    Raises:
        UmbelError: Nothing fits (the line tells the smallest possible cost and its configuration), a wrong budget or
            preference, or latency of another machine.
    """
    began = time.perf_counter()
    question = Question.of(table, budget, preferences, machine)
    weights, widths = question.weights, len(table.head_widths)
    moves = ordered_moves(weights, widths) if ordered else free_moves(len(weights), widths)
    values, unit = _whole(weights[:, None, None] * table.relative_quality)
    problem = _problem(question, moves, values, question.steps)
    best = solve(problem)
    if best is None:
        raise question.impossible(_cheapest(question, moves))
    gap = (best.bound - best.value) * unit / float(weights.sum())
    return question.choice("exact", best.encoder, _by_task(best, moves), gap, time.perf_counter() - began)


def _problem(question: Question, moves: Moves, values: np.ndarray, limit: int) -> Problem:
    encoder, heads = question.table.on_grid(question.kind)
    order = list(moves.order)
    # No configuration costs more than this; a smaller limit keeps the numbers of the bounds small.
    most = int((encoder + heads.max(2).sum(0)).max())
    return Problem(encoder, heads[order], values[order], min(limit, most), moves)


def _whole(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Values [T, We, Wd] as whole numbers of a unit (also given) so fine that their sums just fit."""
    most = float(np.abs(values).max((1, 2)).sum())
    unit = 2.0 ** (np.ceil(np.log2(most)) - VALUE_BITS) if most > 0 else 1.0
    return np.rint(values / unit).astype(np.int64), float(unit)


def _cheapest(question: Question, moves: Moves) -> Choice:
    """The configuration that costs least, under the same rule of order."""
    shape = question.table.quality.shape
    cheapest = solve(_problem(question, moves, np.zeros(shape, dtype=np.int64), 2**62))
    assert cheapest is not None, "without a limit something fits"
    return question.choice("cheapest", cheapest.encoder, _by_task(cheapest, moves))


def _by_task(solution: Solution, moves: Moves) -> list[int]:
    """Head places in the order of the table."""
    heads = [0] * len(moves.order)
    for task, head in zip(moves.order, solution.heads, strict=True):
        heads[task] = head
    return heads
