"""The paper's rule, that a more preferred task never has a narrower head, as moves between states."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np


@dataclass(frozen=True)
class Moves:
    """In which order heads are chosen, and which widths each may still have.

    Attributes:
        order: Places of the tasks, in the order in which their heads are chosen.
        following: For each of them, the next state for (state, width) [S_k, Wd]; -1 where the width is not allowed.
        states: Number of states before each choice and after the last one, T + 1 numbers; the first is 1.
    """

    order: tuple[int, ...]
    following: tuple[np.ndarray, ...]
    states: tuple[int, ...]


def free_moves(tasks: int, widths: int) -> Moves:
    """Every width for every task."""
    return Moves(tuple(range(tasks)), (np.zeros((1, widths), dtype=np.int64),) * tasks, (1,) * (tasks + 1))


def ordered_moves(preferences: np.ndarray, widths: int) -> Moves:
    """A more preferred task never has a narrower head; equally preferred ones have no order.

    Tasks are chosen from the least preferred on. Between two groups of equal preference the state is the widest head
    so far, below which no later one may go; within a group it is (that width, the widest head of this group so far).

    Args:
        preferences: [T].
        widths: Number of head widths.
    """
    by_preference = sorted(range(len(preferences)), key=lambda task: float(preferences[task]))
    groups = [list(members) for _, members in groupby(by_preference, key=lambda task: float(preferences[task]))]
    following: list[np.ndarray] = []
    floors = range(1)
    for place, members in enumerate(groups):
        if place:
            floors = range(widths)
        if place == len(groups) - 1:
            above = np.arange(widths) >= np.array(floors)[:, None]
            following += [np.where(above, np.array(floors)[:, None], -1)] * len(members)
        else:
            following += _group(list(floors), len(members), widths)
    counts = tuple(len(table) for table in following)
    return Moves(tuple(by_preference), tuple(following), (*counts, len(floors)))


def _group(floors: list[int], members: int, widths: int) -> list[np.ndarray]:
    """Moves through a group that is followed by another, which starts from the widest head of this one."""
    if members == 1:
        return [np.array([[width if width >= floor else -1 for width in range(widths)] for floor in floors])]
    pairs = [(floor, widest) for floor in floors for widest in range(floor, widths)]
    place = {pair: i for i, pair in enumerate(pairs)}

    def moves(sources: list[tuple[int, int]], leaving: bool) -> np.ndarray:
        table = np.full((len(sources), widths), -1, dtype=np.int64)
        for i, (floor, widest) in enumerate(sources):
            for width in range(floor, widths):
                reached = max(widest, width)
                table[i, width] = reached if leaving else place[floor, reached]
        return table

    entering = moves([(floor, floor) for floor in floors], leaving=False)
    return [entering, *[moves(pairs, leaving=False)] * (members - 2), moves(pairs, leaving=True)]
