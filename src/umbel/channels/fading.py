"""Flat fading: Rayleigh and Rician, constant over a sample or new at every use, known well or badly."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from umbel.channels.channel import EMPTY_POINT, LARGEST_SNR, Channel, Received, noise_deviation, standard_normal
from umbel.channels.units import as_complex, as_real, noise_variance
from umbel.core.point import OperatingPoint
from umbel.errors import UmbelError, unknown

Coherence = Literal["block", "fast"]
"""How long a fade lasts: one for each sample ("block") or one for each use ("fast")."""

Equaliser = Literal["mmse", "zero-forcing", "none"]
"""What the receiver does with its estimate of the channel."""

_TINY = 1e-20  # of |h|^2: keeps divisions finite, changes nothing else


class Fading(Channel):
    """Flat fading with noise: y = h z + w, E|h|^2 = 1, w ~ CN(0, s2), s2 = 10^(-snr_db/10).

        h = sqrt(K/(K+1)) + sqrt(1/(K+1)) CN(0, 1)         K = 0: Rayleigh; K > 0: Rician

    The receiver has an estimate h_hat that is uncorrelated with its error, as a minimum-mean-square estimator's is:
    h = h_hat + e, e ~ CN(0, csi_error); the line of sight is known. Its equalisers are

        mmse           conj(h_hat) y / (|h_hat|^2 + csi_error + s2)
        zero-forcing   y / h_hat                              (large in a deep fade)
        none           y

    and its effective signal-to-noise ratio is |h_hat|^2 / (csi_error + s2). The transmitter does not know h.

    Real uses: the receiver turns y by the phase of its estimate and takes the real part, so that a use has the gain
    |h| and noise N(0, s2); half of the error's power falls on it.

    Args:
        k_factor: K, the power of the line of sight over that of the scattered paths (a ratio, not decibels).
        coherence: "block": one h for each sample and call; "fast": one for each use.
        csi_error: Power of the error of the receiver's knowledge of h, from 0 (perfect) to below 1/(K+1). A value
            ``csi_error`` of the operating point takes its place.
        equaliser: "mmse", "zero-forcing" or "none".
        complex_uses: See `Channel`.

    Raises:
        UmbelError: A value is out of its range.
    """

    def __init__(
        self,
        k_factor: float = 0.0,
        coherence: Coherence = "block",
        csi_error: float = 0.0,
        equaliser: Equaliser = "mmse",
        complex_uses: bool = True,
    ) -> None:
        super().__init__(complex_uses)
        if not isinstance(k_factor, int | float) or not 0 <= k_factor < math.inf:
            raise UmbelError(f"k_factor is {k_factor!r}; a ratio of powers is 0 (Rayleigh) or more; use AWGN for inf")
        if coherence not in get_args(Coherence):
            raise unknown("coherence", coherence, get_args(Coherence))
        if equaliser not in get_args(Equaliser):
            raise unknown("equaliser", equaliser, get_args(Equaliser))
        self.k_factor, self.coherence, self.equaliser = float(k_factor), coherence, equaliser
        self.csi_error = self._checked(csi_error)

    def _checked(self, csi_error: float) -> float:
        scattered = 1 / (self.k_factor + 1)
        if isinstance(csi_error, bool) or not isinstance(csi_error, int | float) or not 0 <= csi_error < scattered:
            raise UmbelError(
                f"csi_error is {csi_error!r}; with k_factor {self.k_factor:g} it must be from 0 to below "
                f"{scattered:g}, the power of the scattered paths"
            )
        return float(csi_error)

    def estimate(self, latent: Tensor, generator: torch.Generator | None = None, csi_error: float = 0.0) -> Tensor:
        """Draw the receiver's estimate of the channel (the channel itself when there is no error).

        Returns:
            Complex, one for each sample, [B, 1, ...] (block), or for each use, [B, c, ...] (real uses: [B, 2c, ...]).
        """
        uses = latent.shape[1] // 2 if self.complex_uses else latent.shape[1]
        tail = (uses, *latent.shape[2:]) if self.coherence == "fast" else (1,) * (latent.ndim - 1)
        scattered = 1 / (self.k_factor + 1)
        draw = standard_normal((2, len(latent), *tail), latent, generator).mul_(math.sqrt((scattered - csi_error) / 2))
        return torch.complex(draw[0] + math.sqrt(1 - scattered), draw[1])

    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """Fade, noise and equaliser; see `Channel.receive`.

        The receiver first turns y by the phase of its estimate. Noise and error are circularly symmetric, so what is
        left is |h_hat| z + e z + w with e and w distributed as before, and the arithmetic is real.
        """
        latent = self.prepared(latent)
        variance = noise_variance(snr_db)
        csi_error = self._checked(point["csi_error"]) if "csi_error" in point else self.csi_error
        estimate = self.estimate(latent, generator, csi_error)
        power = (estimate.real.square() + estimate.imag.square()).clamp(min=_TINY)
        disturbance = standard_normal(latent.shape, latent, generator).mul_(noise_deviation(snr_db, self.complex_uses))
        if csi_error:
            disturbance = disturbance + self._misjudged(latent, estimate, csi_error, generator)
        disturbance_power = variance + csi_error / (1 if self.complex_uses else 2)
        ratio = (power / max(disturbance_power, _TINY)).clamp(max=LARGEST_SNR)
        gain, scale = self._equaliser(power, disturbance_power)
        latent = self._each(latent, gain) + self._each(disturbance, scale)
        if self.equaliser == "none" and self.complex_uses:
            phase = estimate / power.sqrt()
            latent, gain = as_real(as_complex(latent) * phase), estimate
        return Received(latent, ratio.flatten(1).mean(1), ratio, gain)

    def _equaliser(self, power: Tensor, disturbance_power: float) -> tuple[Tensor, Tensor]:
        """Factors of the latent and of what disturbs it, after the phase is undone."""
        if self.equaliser == "none":
            return power.sqrt(), torch.ones_like(power)
        total = power + disturbance_power if self.equaliser == "mmse" else power
        return power / total, power.sqrt() / total

    def _misjudged(
        self, latent: Tensor, estimate: Tensor, csi_error: float, generator: torch.Generator | None
    ) -> Tensor:
        """What the receiver does not know of its channel, times what was sent: e z."""
        draw = standard_normal((2, *estimate.shape), latent, generator).mul_(math.sqrt(csi_error / 2))
        if not self.complex_uses:
            return draw[0] * latent
        return as_real(torch.complex(draw[0], draw[1]) * as_complex(latent))

    def _each(self, latent: Tensor, factor: Tensor) -> Tensor:
        """The latent with every use times its real factor."""
        if not self.complex_uses or factor.shape[1] == 1:
            return latent * factor
        return (latent.unflatten(1, (2, -1)) * factor.unsqueeze(1)).flatten(1, 2)
