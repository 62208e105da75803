"""The learner of staged transmissions: every receiver's predictions after every stage are tasks of one network."""

import math
from collections.abc import Mapping

from torch import nn

from umbel.core import Axes, Learner, UmbelError, Uniform, unknown
from umbel.transmission.model import StagedModel

SnrRange = tuple[float, float]
"""Lowest and highest SNR in dB; both the same for a fixed one."""


class StagedLearner(Learner):
    """Trains a `StagedModel` jointly: each goal is a task, and the SNR is drawn anew for each step.

        J = sum over goals g of weight_g · loss_g,     SNR ~ U[lowest, highest] dB, for each receiver

    What the tasks compete for (`shared_parameters`) is the transmitter: the encoder and the codes.

    Args:
        model: What is trained.
        snr_db: Range of the SNR in training, one for all receivers or one for each by name.
    """

    def __init__(self, model: StagedModel, snr_db: SnrRange | Mapping[str, SnrRange]) -> None:
        super().__init__(model, [goal.as_task() for goal in model.goals])
        names = [receiver.name for receiver in model.receivers]
        given = dict(snr_db) if isinstance(snr_db, Mapping) else dict.fromkeys(names, snr_db)
        for name in names:
            if name not in given:
                raise UmbelError(f"receiver {name!r} has no range of SNR; there are ranges for {', '.join(given)}")
        for name in given:
            if name not in names:
                raise unknown("receiver of an SNR", name, names)
        self.snr_db = {name: _checked(given[name]) for name in names}

    def axes(self) -> Axes:
        """An SNR for each receiver, uniform in its range (in dB), evaluated in the middle alone.

        How many stages are sent is not drawn: every step sends all, and predictions after each of them are tasks.
        """
        ranges = {name: Uniform(low, high) for name, (low, high) in self.snr_db.items()}
        return {**super().axes(), "snr_db": ranges[""] if list(ranges) == [""] else ranges}

    def shared_parameters(self) -> list[nn.Parameter]:
        """The transmitter's trainable parameters: encoder and codes."""
        parts = (*self.model.encoder.parameters(), *self.model.codes.parameters())
        return [p for p in parts if p.requires_grad]


def _checked(bounds: SnrRange) -> SnrRange:
    low, high = bounds
    if not low <= high or (low < high and math.inf in (abs(low), abs(high))):  # the first also when one is NaN
        raise UmbelError(f"SNR from {low} to {high} dB: give finite numbers, the lower one first")
    return float(low), float(high)
