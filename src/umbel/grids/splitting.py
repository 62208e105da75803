"""Splits of scenarios by whole days, because neighbouring quarter-hours are nearly the same."""

from collections.abc import Sequence

import numpy as np

from umbel.arguments import real_number, seed_number, whole_number
from umbel.errors import UmbelError, shown
from umbel.grids.grid import Whole

GAP_STEPS = 4
"""Steps around a border between two splits that are left out: an hour of quarter-hours."""


def split_days(
    day: Whole,
    shares: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    gap_steps: int = GAP_STEPS,
    time: Whole | None = None,
) -> tuple[Whole, Whole, Whole]:
    """Rows of training, validation and test: whole days each, and no neighbours in two of them.

    Rows of training and validation that are within `gap_steps` of a row of another split are left out; test keeps all.

    Args:
        day: [rows], of each row.
        shares: Of the days, for the three.
        seed: Of the choice of days.
        gap_steps: 0 for rows that do not follow one another.
        time: [rows], number of the step of each, rising; one after the other without it.

    Returns:
        Places of rows, rising, for each of the three.

    Raises:
        UmbelError: Fewer days than splits, shares that are none, or a split without rows.
    """
    days = np.asarray(day)
    steps = np.arange(len(days)) if time is None else np.asarray(time)
    if steps.shape != days.shape or days.ndim != 1 or (np.diff(steps) < 0).any():
        raise UmbelError(
            f"a day {days.shape} and a time {steps.shape} of rows to split; give one of each, times rising"
        )
    gap = whole_number(gap_steps, "gap_steps", least=0)
    counts = _counts(len(np.unique(days)), shares)
    order = np.random.default_rng(seed_number(seed, "seed of the split")).permutation(np.unique(days))
    train, validation, test = (np.flatnonzero(np.isin(days, part)) for part in np.split(order, np.cumsum(counts)[:2]))
    later = np.sort(np.concatenate([validation, test]))
    parts = _apart(train, later, steps, gap), _apart(validation, test, steps, gap), test
    for name, part in zip(("training", "validation"), parts, strict=False):
        if not len(part):
            raise UmbelError(
                f"no row is left for {name}, with {gap} steps between splits; give more days or a smaller gap"
            )
    return parts


def _counts(days: int, shares: Sequence[float]) -> list[int]:
    """How many days each split gets: its share, but one at least."""
    if not isinstance(shares, Sequence) or isinstance(shares, str):
        raise UmbelError(f"shares of the split are {shown(shares)}; give three numbers")
    numbers = [real_number(share, "a share of the days") for share in shares]
    if len(numbers) != 3 or min(numbers) <= 0 or abs(sum(numbers) - 1) > 1e-6:
        raise UmbelError(f"shares of the split are {tuple(shares)}; give three numbers above 0 that add up to 1")
    if days < 3:
        raise UmbelError(f"{days} days cannot be split into training, validation and test; give profiles of more days")
    validation, test = (max(1, round(share * days)) for share in numbers[1:])
    return [max(1, days - validation - test), validation, test]


def _apart(rows: Whole, others: Whole, steps: Whole, gap: int) -> Whole:
    """Those of the rows that are more than `gap` steps from each of the others."""
    if gap == 0:
        return rows
    mine, theirs = steps[rows], steps[others]
    after = np.searchsorted(theirs, mine)
    distance = np.full(len(rows), np.inf)
    for place in (after - 1, after):
        there = (place >= 0) & (place < len(theirs))
        distance[there] = np.minimum(distance[there], np.abs(mine[there] - theirs[place[there]]))
    return rows[distance > gap]
