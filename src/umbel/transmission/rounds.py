"""What a receiver knows after every round of a transmission, and what a rule that stops it makes of that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from umbel.core import UmbelError
from umbel.metrics import age_of_information, expected_calibration_error, fit_temperature, reliability
from umbel.transmission.stopping import (
    at_stop,
    confidence_of,
    delay_of,
    feedback_flips,
    independent_stop,
    stop_round,
)


@dataclass(frozen=True)
class RoundPredictions:
    """Predictions after every round, of samples with a label.

    Attributes:
        logits: [R, N, K].
        labels: [N].
        temperatures: One for each round; empty where confidence is taken as it is.
    """

    logits: Tensor
    labels: Tensor
    temperatures: Sequence[float] = ()

    @classmethod
    def of(
        cls, raw: Mapping[str, Tensor], targets: Mapping[str, Tensor], temperatures: Sequence[float] = ()
    ) -> "RoundPredictions":
        """From predictions [N, K] and targets [N] of tasks that are the rounds, in order; unlabelled samples go.

        Raises:
            UmbelError: No sample has a label.
        """
        logits, labels = torch.stack(list(raw.values())), next(iter(targets.values()))
        known = labels >= 0
        if not known.any():
            raise UmbelError("no sample of a split has a label; nothing can be measured there")
        return cls(logits[:, known], labels[known], temperatures)

    @cached_property
    def confidence(self) -> Tensor:
        """[R, N]."""
        return confidence_of(self.logits, self.temperatures or None)

    @cached_property
    def correct(self) -> Tensor:
        """Whether each round's decision is right, bool [R, N]."""
        return self.logits.argmax(2) == self.labels

    def probabilities(self, stage: int, calibrated: bool) -> Tensor:
        """[N, K] of one round, from 0."""
        return (self.logits[stage].double() / (self.temperatures[stage] if calibrated else 1.0)).softmax(1)

    def always(self, stage: int, uses: float) -> dict[str, float]:
        """Metrics where the rounds up to `stage` (from 0), `uses` channel uses in all, are always sent."""
        correct = self.correct[stage].double()
        calibration = {"ECE": expected_calibration_error(self.probabilities(stage, False), self.labels)}
        if self.temperatures:
            calibration["ECE calibrated"] = expected_calibration_error(self.probabilities(stage, True), self.labels)
        delay = torch.full_like(correct, float(uses))
        return {"accuracy": float(correct.mean()), "delay": float(uses), **ages(delay, correct), **calibration}

    def stopped(
        self,
        uses: Sequence[int],
        thresholds: float | Sequence[float],
        feedback_uses: float = 0.0,
        feedback_error: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Metrics when the receiver stops at these thresholds, and when as many samples stop at random.

        Args:
            uses: New channel uses of each round.
            thresholds: Of confidence; one for all rounds or one for each but the last.
            feedback_uses: Channel uses of one message of feedback.
            feedback_error: Probability that such a message arrives wrong.
            generator: Draws which do; needed where the probability is not 0.
        """
        rounds, samples = self.confidence.shape
        flips = feedback_flips(rounds, samples, feedback_error, generator) if feedback_error else None
        stop = stop_round(self.confidence, thresholds, flips)
        delay = delay_of(stop, uses, feedback_uses)
        correct, drawn = at_stop(self.correct, stop).double(), independent_stop(self.correct, stop)
        shared = {"delay": float(delay.mean()), "escalated": float((stop > 1).double().mean())}
        parts = {"accuracy of stopped": stop == 1, "accuracy of escalated": stop > 1}
        own = {name: float(correct[part].mean()) for name, part in parts.items()}
        chosen = {"accuracy": float(correct.mean()), **shared, **own, **ages(delay, correct)}
        return chosen, {"accuracy": float(drawn.mean()), **shared, **ages(delay, drawn)}

    def reliability(self, stage: int, calibrated: bool) -> dict[str, tuple[float, ...]]:
        """Bins of confidence of one round (from 0), before or after scaling: confidence, accuracy and part of each."""
        bins = reliability(self.probabilities(stage, calibrated), self.labels)
        return {name: tuple(getattr(bins, name)) for name in ("confidence", "accuracy", "part")}


def ages(delay: Tensor, success: Tensor) -> dict[str, float]:
    """Average and peak age of task information, by their names as metrics; see `umbel.metrics.age_of_information`."""
    age = age_of_information(delay, success)
    return {"average age": age.average, "peak age": age.peak}


def fit_temperatures(predictions: Sequence[RoundPredictions]) -> list[float]:
    """A temperature for each round, fitted to all of these predictions together."""
    logits = torch.cat([one.logits for one in predictions], dim=1)
    labels = torch.cat([one.labels for one in predictions])
    return [fit_temperature(stage, labels) for stage in logits]
