"""Costs and leakages of arms, from the runs alone: what weights are chosen by, and what claims are made of."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

from umbel.recipes.private_features.settings import UNIVERSAL
from umbel.report import TaskInfo
from umbel.study import Table, Values, average

ATTACK, BLIND, LABEL_FLOOR = "attack", "without features", "from labels"
"""Metrics of a task in the runs whose point says what an attacker has "seen"."""


class Scores:
    """Numbers of a study's runs, repeat by repeat.

    Args:
        table: The runs.
        tasks: The tasks.
        split: Whose numbers: "test" or "validation".
    """

    def __init__(self, table: Table, tasks: Sequence[TaskInfo], split: str = "test") -> None:
        self.table, self.tasks, self.split = table, tuple(tasks), split
        self.info = {task.name: task for task in tasks}

    def own(self, arm: str, task: str, **place: Any) -> Values:
        """A task's own score: its main metric, of the network's own head."""
        return self._at(place, seen=None)(arm, self.info[task].metric, self.split, task)

    def task_cost(self, arm: str, task: str, **place: Any) -> Values:
        """What a task pays against universal features: points of a share, percent of an error; below 0 is a gain.

        Of several points of the universal features there is one, that without weight or noise.
        """
        ours, theirs = self.own(arm, task, **place), self.own(UNIVERSAL, task)
        if not self.info[task].higher_is_better:
            return 100 * (ours / theirs - 1.0)
        return 100 * (theirs - ours)

    def cost(self, arm: str, **place: Any) -> Values:
        """Mean over the tasks of what they pay."""
        return average(self.task_cost(arm, task, **place) for task in self.info)

    def leak(self, arm: str, seen: str, wanted: str, **place: Any) -> Values:
        """Normalised leakage of a task from what another is sent.

            (attack - floor) / (ceiling - floor)

        The floor is the better of guessing blindly and guessing from the label that the features are meant for; the
        ceiling what the same attackers get from universal features.
        """
        attack = self._at(place, seen=seen)(arm, ATTACK, self.split, wanted)
        floor = self._floor(arm, seen, wanted, place)
        return (attack - floor) / (self._ceiling(wanted) - floor)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(seen, wanted) tasks of which the one's label does not tell the other as well as universal features do."""
        return [pair for pair in permutations(self.info, 2) if self._has_room(*pair)]

    def leakage(self, arm: str, **place: Any) -> Values:
        """Mean over all pairs where there is something to leak."""
        return average(self.leak(arm, *pair, **place) for pair in self.pairs)

    def _has_room(self, seen: str, wanted: str) -> bool:
        room = (self._ceiling(wanted) - self._floor(UNIVERSAL, seen, wanted, {})).mean
        return room > 0 if self.info[wanted].higher_is_better else room < 0

    def _ceiling(self, wanted: str) -> Values:
        return self._at({}, seen=wanted)(UNIVERSAL, ATTACK, self.split, wanted)

    def _floor(self, arm: str, seen: str, wanted: str, place: dict[str, Any]) -> Values:
        at, better = self._at(place, seen=seen), max if self.info[wanted].higher_is_better else min
        blind, told = (at(arm, metric, "test", wanted) for metric in (BLIND, LABEL_FLOOR))
        return Values({repeat: better(number, told[repeat]) for repeat, number in blind.items()})

    def _at(self, place: dict[str, Any], **more: Any) -> Table:
        """The table at a place; what is not said (weight, noise) the runs must not have."""
        return self.table.at(**{"weight": None, "sigma": None, **place, **more})
