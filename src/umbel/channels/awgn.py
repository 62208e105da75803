"""Additive white Gaussian noise."""

import torch
from torch import Tensor

from umbel.channels.channel import EMPTY_POINT, LARGEST_SNR, Channel, Received, noise_deviation, standard_normal
from umbel.channels.units import noise_variance
from umbel.core.point import OperatingPoint


class AWGN(Channel):
    """Additive white Gaussian noise: y = z + w, w ~ CN(0, s2), s2 = 10^(-snr_db/10).

    On each real dimension of a complex use the noise has the variance s2/2; on a real use it has s2.
    What is received is y itself: it is not scaled.
    """

    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """The latent and noise; see `Channel.receive`. The effective ratio is 1/s2."""
        latent = self.prepared(latent)
        deviation, variance = noise_deviation(snr_db, self.complex_uses), noise_variance(snr_db)
        received = latent + standard_normal(latent.shape, latent, generator).mul_(deviation) if deviation else latent
        ratio = min(1 / variance, LARGEST_SNR) if variance else LARGEST_SNR
        ratios = latent.new_full((len(latent), *[1] * (latent.ndim - 1)), ratio)
        return Received(received, ratios.flatten(), ratios, torch.ones_like(ratios))
