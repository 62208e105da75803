"""A receiver with several tasks that stops listening when it is sure of all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from umbel.transmission.rounds import RoundPredictions
from umbel.transmission.stopping import at_stop, stop_round
from umbel.transmission.thresholds import choose_thresholds


@dataclass(frozen=True)
class Listener:
    """What a receiver knows after every stage of a transmission, and when it leaves.

    Attributes:
        tasks: Name of each of its tasks -> predictions after every stage, all of the same samples.
    """

    tasks: Mapping[str, RoundPredictions]

    @cached_property
    def confidence(self) -> Tensor:
        """The least one over its tasks, [S, N]."""
        return torch.stack([rounds.confidence for rounds in self.tasks.values()]).amin(0)

    @cached_property
    def correct(self) -> Tensor:
        """Part of its tasks that are decided right, float64 [S, N]."""
        return torch.stack([rounds.correct for rounds in self.tasks.values()]).double().mean(0)

    def thresholds(self, uses: Sequence[int], spare: float) -> list[float]:
        """Thresholds of confidence with the least mean delay that still keep the accuracy; see `choose_thresholds`.

        Args:
            uses: New channel uses of each stage.
            spare: Mean accuracy over its tasks that it gives away against listening to the end, 0 to 1.
        """
        return choose_thresholds(
            self.confidence, self.correct, uses, least_accuracy=float(self.correct[-1].mean()) - spare
        )

    def leaves(self, thresholds: Sequence[float]) -> Tensor:
        """The stage (from 1) after which it leaves each sample's transmission, int64 [N]."""
        return stop_round(self.confidence, thresholds)

    def accuracies(self, stop: Tensor) -> dict[str, float]:
        """Task -> accuracy when it leaves after these stages, [N]."""
        return {name: float(at_stop(rounds.correct.double(), stop).mean()) for name, rounds in self.tasks.items()}
