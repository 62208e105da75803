"""One pair of an audit, who sees and what is inferred, with everything that its numbers mean nothing without."""

import math
from dataclasses import dataclass, replace

from umbel.audit import Audit, Inference
from umbel.audit.encoder import ITSELF


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
        return not self.inference.served and ITSELF not in self.inference.seen

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
        better = self.inference.low if self.inference.higher_is_better else -self.inference.high
        return better <= (self.inference.floor if self.inference.higher_is_better else -self.inference.floor)

    @property
    def score_text(self) -> str:
        """Score and interval: "0.341 [0.32, 0.36]"."""
        return f"{self.inference.score:.3g} [{self._ends[0]:.3g}, {self._ends[1]:.3g}]"

    @property
    def ceiling_text(self) -> str:
        """The ceiling, or a dash."""
        return "–" if math.isnan(self.ceiling) else f"{self.ceiling:.3g}"

    @property
    def leakage_text(self) -> str:
        """Leakage and interval; a dash where the features are meant for the task, or it is not defined."""
        if self.inference.served or math.isnan(self.share):
            return "–"
        low, high = self.interval
        return f"{self.share:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")

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
