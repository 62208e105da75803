"""What an audit found, as plain records: everything that a page or a claim is made of."""

import math
from dataclasses import dataclass, field
from typing import Any

from umbel.report.records import Record


@dataclass(frozen=True)
class Inference(Record):
    """How well one task can be told from what one receiver (or several together) got.

    Scores are of the task's main metric, on test samples, of attackers that were retrained on the frozen network.

    Attributes:
        seen: Receivers whose features the attacker has, with + between.
        wanted: The task that it infers.
        served: Whether these features are meant for this task.
        metric: The task's main metric.
        higher_is_better: Its direction.
        attackers: Attacker -> score of each of its seeds.
        validation: Attacker -> score of each of its seeds on its own validation samples.
        chosen: For each seed the attacker that is best on validation: the maximum over attackers.
        scores: What the chosen one has on the test, for each seed.
        blind: Score without any features: the most frequent class, or the middle of the values.
        label_floor: Score of whoever knows the labels of the tasks that the features are meant for, and nothing else;
            equal to `blind` where they are meant for none.
        low: Lower end of the 95 % interval of the mean score, over test samples and seeds.
        high: Upper end.
    """

    seen: str
    wanted: str
    served: bool
    metric: str
    higher_is_better: bool
    attackers: dict[str, tuple[float, ...]]
    validation: dict[str, tuple[float, ...]]
    chosen: tuple[str, ...]
    scores: tuple[float, ...]
    blind: float
    label_floor: float
    low: float
    high: float

    @property
    def score(self) -> float:
        """Mean over the seeds."""
        return sum(self.scores) / len(self.scores)

    @property
    def floor(self) -> float:
        """What no feature can be blamed for: the better of `blind` and `label_floor`."""
        return (max if self.higher_is_better else min)(self.blind, self.label_floor)

    def leakage(self, ceiling: float) -> float:
        """Normalised: 0 at the floor, 1 where the features tell as much as those that are meant for the task.

            (score - floor) / (ceiling - floor)

        Args:
            ceiling: Score of the same attackers on features that are meant for the task.

        Returns:
            Below 0 where attackers do worse than the floor; NaN where the ceiling is no better than the floor.
        """
        return self._normalised(self.score, ceiling)

    def leakage_interval(self, ceiling: float) -> tuple[float, float]:
        """Normalised `low` and `high`, the smaller first; floor and ceiling are taken as they are.

        Args:
            ceiling: As for `leakage`.
        """
        ends = self._normalised(self.low, ceiling), self._normalised(self.high, ceiling)
        return min(ends), max(ends)

    def _normalised(self, score: float, ceiling: float) -> float:
        room = ceiling - self.floor
        better = room > 0 if self.higher_is_better else room < 0
        return (score - self.floor) / room if better else math.nan


@dataclass(frozen=True)
class Reconstruction(Record):
    """How well the input can be rebuilt from what one receiver (or several together) got.

    Attributes:
        seen: Receivers whose features the attacker has, with + between.
        releases: How many releases of the same input it averages.
        decoders: Decoder -> SSIM on the test of each of its seeds.
        validation: Decoder -> SSIM of each of its seeds on its own validation samples.
        chosen: For each seed the decoder that is best on validation.
        ssim: Of the chosen one on the test, for each seed; 1 is the very picture.
        psnr: Likewise, in dB.
        blind_ssim: Of one picture for all samples, the best that needs no features: mean, median or descended.
        blind_psnr: Likewise, in dB.
        low: Lower end of the 95 % interval of the mean SSIM, over test samples and seeds.
        high: Upper end.
    """

    seen: str
    releases: int
    decoders: dict[str, tuple[float, ...]]
    validation: dict[str, tuple[float, ...]]
    chosen: tuple[str, ...]
    ssim: tuple[float, ...]
    psnr: tuple[float, ...]
    blind_ssim: float
    blind_psnr: float
    low: float
    high: float


@dataclass(frozen=True)
class Audit(Record):
    """All that was found of one network at one operating point.

    Attributes:
        subject: What was audited, in words.
        point: The operating point, as plain values.
        sizes: Split -> samples that attackers trained on, were chosen on and were tested on.
        inference: Cross-task inference, one entry for each pair of receiver (or group of them) and task.
        reconstruction: Attacks on the input; empty for inputs that are no pictures.
        guarantees: What noise and clipping guarantee, in sentences that hold all that an epsilon needs.
        notes: What a reader must know.
    """

    subject: str
    point: dict[str, Any]
    sizes: dict[str, int]
    inference: tuple[Inference, ...] = ()
    reconstruction: tuple[Reconstruction, ...] = ()
    guarantees: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def ceiling(self, wanted: str) -> float:
        """The best score of attackers on features that are meant for a task; NaN where none are."""
        scores = [one.score for one in self.inference if one.wanted == wanted and one.served and "+" not in one.seen]
        better = max if all(one.higher_is_better for one in self.inference if one.wanted == wanted) else min
        return better(scores) if scores else math.nan
