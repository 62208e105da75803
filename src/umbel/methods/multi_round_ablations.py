"""What transmission in rounds is compared with: one latent that is cut short."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.channels import normalise_power
from umbel.core import Axes, Inputs, OneOf, OperatingPoint, UmbelError, at_point
from umbel.transmission import SnrRange, StagedLearner, StagedModel


class CutModel(StagedModel):
    """One latent, of which the first `uses` of the operating point are sent, with the power of so many uses.

        z = sqrt(u P) · masked E(T(x)) / ||masked E(T(x))||,   u = uses that are sent

    The power constraint holds for what is sent. (A latent that is normalised as a whole and cut afterwards would put
    nearly all of its energy into the first uses, and a cut of it would have several times the power per use.)

    Operating point: that of `StagedModel`, and `uses`; without it all are sent.
    """

    def transmit(self, inputs: Inputs, point: OperatingPoint) -> list[Tensor]:
        """The latent, zero where nothing is sent."""
        stage = self.stages[0]
        latent = self.codes[0](at_point(self.encoder, inputs, point))
        sent = point.get("uses", stage.uses)
        kept = torch.arange(stage.uses, device=latent.device) < sent
        masked = latent * kept.repeat(latent.shape[1] // stage.uses)
        power = stage.power * sent / stage.uses
        return [normalise_power(masked, power, complex_uses=self.complex_uses)]


class PrefixLearner(StagedLearner):
    """One latent that serves every cut: how many of its first uses are sent is drawn anew for each step.

    Args:
        model: Over `Truncate`, so that no noise arrives where nothing was sent.
        snr_db: Range of the SNR in training.
        cuts: Numbers of uses to draw from, each equally likely; the last one is all.

    Raises:
        UmbelError: No cut at all.
    """

    def __init__(self, model: CutModel, snr_db: SnrRange, cuts: Sequence[int]) -> None:
        super().__init__(model, snr_db)
        if not cuts:
            raise UmbelError("a latent that is cut short needs at least one number of uses to be cut to")
        self.cuts = list(cuts)

    def axes(self) -> Axes:
        """An SNR and a cut; validation is measured in the middle of the range and at the middle cut."""
        return {**super().axes(), "uses": OneOf(tuple(self.cuts), sweep=(self.cuts[len(self.cuts) // 2],))}
