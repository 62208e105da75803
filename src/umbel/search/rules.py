"""Simple rules to compare the exact search with."""

import time
from collections.abc import Mapping

import numpy as np

from umbel.arguments import real_number
from umbel.errors import UmbelError
from umbel.search.budget import Budget
from umbel.search.choice import Choice, Question
from umbel.search.tables import ConfigurationTable

SHRINKINGS = 101


def proportional_rule(
    table: ConfigurationTable,
    budget: Budget | str,
    preferences: Mapping[str, float] | str | None = None,
    *,
    encoder_share: float = 0.5,
) -> Choice:
    """Head widths in proportion to the preferences, and the best encoder that the rest pays for.

    w_t = w_min + (w_max - w_min) r_t / max r, rounded to the grid; all heads are shrunk by a common factor until
    an encoder fits beside them while `encoder_share` of the budget remains for it. Of the encoders that fit, the one
    with the best preference-weighted quality is taken. If that share cannot be kept, it is given up.

    Differs from the paper: of its search only "provide a larger computational budget to the higher preferred task
    decoder, while searching a shared encoder configuration" is known; the formula and the share are ours.

    Raises:
        UmbelError: `encoder_share` is not within 0 to 1, no shrunken heads fit, and what `search` refuses.
    """
    encoder_share = real_number(encoder_share, "encoder_share")
    if not 0 <= encoder_share <= 1:
        raise UmbelError(f"encoder_share is {encoder_share:g}; it must be within 0 to 1")
    began = time.perf_counter()
    question = Question.of(table, budget, preferences)
    grid = np.array(table.head_widths)
    wanted = grid[0] + (grid[-1] - grid[0]) * question.weights
    candidates: list[list[int]] = []
    for factor in np.linspace(1, 0, SHRINKINGS):
        heads = np.abs(grid - factor * wanted[:, None]).argmin(1).tolist()  # below the grid: its narrowest
        if not candidates or candidates[-1] != heads:
            candidates.append(heads)
    for share in (encoder_share, 0.0):
        for heads in candidates:
            encoders = _fitting(question, heads, share)
            if encoders:
                values = [question.value(encoder, heads) for encoder in encoders]
                best = encoders[values.index(max(values))]
                return question.choice("proportional", best, heads, seconds=time.perf_counter() - began)
    raise question.impossible(_cheapest(question, candidates))


def equal_widths(
    table: ConfigurationTable, budget: Budget | str, preferences: Mapping[str, float] | str | None = None
) -> Choice:
    """The best encoder width and one head width for all tasks: a dial without preferences between tasks.

    Preferences only weigh what is best.

    Raises:
        UmbelError: No pair of widths fits, and what `search` refuses.
    """
    began = time.perf_counter()
    question = Question.of(table, budget, preferences)
    same = [[head] * len(table.tasks) for head in range(len(table.head_widths))]
    fitting = [(encoder, heads) for heads in same for encoder in _fitting(question, heads, 0.0)]
    if not fitting:
        raise question.impossible(_cheapest(question, same))
    encoder, heads = max(fitting, key=lambda pair: question.value(*pair))
    return question.choice("equal", encoder, heads, seconds=time.perf_counter() - began)


def _fitting(question: Question, heads: list[int], share: float) -> list[int]:
    """Encoders that fit the budget beside these heads, while the heads leave them a share of it."""
    encoder, head_costs = question.table.on_grid(question.kind)
    of_heads = head_costs[range(len(heads)), :, heads].sum(0)
    fits = (encoder + of_heads <= question.steps) & (of_heads <= (1 - share) * question.steps)
    return np.flatnonzero(fits).tolist()


def _cheapest(question: Question, candidates: list[list[int]]) -> Choice:
    """The cheapest configuration that the rule knows."""
    choices = [
        question.choice("cheapest", encoder, heads)
        for heads in candidates
        for encoder in range(len(question.table.encoder_widths))
    ]
    return min(choices, key=lambda choice: choice.cost[question.kind])
