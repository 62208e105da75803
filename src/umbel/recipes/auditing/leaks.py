"""One pair of an audit, who sees and what is inferred, with everything that its numbers mean nothing without."""

import math
from dataclasses import dataclass, replace

from umbel.audit import Audit, Inference
from umbel.report import Estimate
from umbel.report.grid import DASH, decimals, fixed

ITSELF = "the input itself"
"""Who would see everything: the ceilings of tasks for which nobody's features are meant."""


@dataclass(frozen=True)
class Leak:
    """What attackers tell of a task from what a receiver (or several together) got, and what to compare it with.

    Attributes:
        inference: What was measured.
        ceiling: What the same attackers tell from features that are meant for the task; NaN where none are.
    """

    inference: Inference
    ceiling: float

    @property
    def counts(self) -> bool:
        """Whether it says something of what leaks: not what features meant for the task tell, nor the input itself."""
        return not self.inference.served and not self.of_input

    @property
    def of_input(self) -> bool:
        """Whether the attacker has the input itself, which no operating point changes."""
        return self.inference.seen == ITSELF

    @property
    def share(self) -> float:
        """Normalised leakage; of features that are meant for the task, relative to what is known without any."""
        return self._measured.leakage(self.ceiling)

    @property
    def interval(self) -> tuple[float, float]:
        """What the ends of the score's 95 % interval are as normalised leakage, the lower one first."""
        ends = [replace(self._measured, scores=(end,)).leakage(self.ceiling) for end in self._ends]
        return min(ends), max(ends)

    @property
    def at_floor(self) -> bool:
        """Whether the interval of the score holds the floor, or lies on its wrong side."""
        if self.inference.higher_is_better:
            return self.inference.low <= self.inference.floor
        return self.inference.high >= self.inference.floor

    @property
    def floor(self) -> float:
        """What is known without these features; of features meant for the task, what is known without any."""
        return self._measured.floor

    @property
    def score_text(self) -> str:
        """Score and interval: "0.341 [0.320, 0.362]"."""
        return f"{self._text(self.inference.score)} [{', '.join(map(self._text, self._ends))}]"

    @property
    def floor_text(self) -> str:
        """The floor."""
        return self._text(self.floor)

    @property
    def ceiling_text(self) -> str:
        """The ceiling, or a dash."""
        return DASH if math.isnan(self.ceiling) else self._text(self.ceiling)

    @property
    def leakage_text(self) -> str:
        """Leakage and interval, where it is defined."""
        if self.inference.served:
            return "meant for it"
        if math.isnan(self.share):
            return DASH
        low, high = self.interval
        return f"{fixed(self.share, 2)} [{fixed(low, 2)}, {fixed(high, 2)}]"

    def _text(self, value: float) -> str:
        """A value of the metric; all of one pair have as many decimals."""
        beside = [Estimate(number) for number in (self.inference.score, self.floor, self.ceiling)]
        return fixed(value, max(decimals(beside), 3 if max(map(abs, self._ends)) <= 1 else 0))

    @property
    def _ends(self) -> tuple[float, float]:
        return self.inference.low, self.inference.high

    @property
    def _measured(self) -> Inference:
        one = self.inference
        return replace(one, label_floor=one.blind) if one.served else one


def leaks_of(audit: Audit) -> list[Leak]:
    """Every pair of an audit, in its order."""
    ceilings = {one.wanted: audit.ceiling(one.wanted) for one in audit.inference}
    return [Leak(one, ceilings[one.wanted]) for one in audit.inference]
