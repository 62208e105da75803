"""Flat fading: Rayleigh and Rician, constant over a sample or new at every use, known well or badly."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from umbel.channels.channel import EMPTY_POINT, LARGEST_SNR, Channel, Received, standard_normal
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
        if not (math.isfinite(k_factor) and k_factor >= 0):
            raise UmbelError(f"k_factor is {k_factor}; it is a ratio of powers, 0 (Rayleigh) or more; use AWGN for inf")
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

    def gains(
        self, latent: Tensor, generator: torch.Generator | None = None, csi_error: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Draw the true and the estimated channel (h, h_hat).

        Returns:
            Complex, [B, 1, ...] (block) or one for each use, [B, c, ...] (real uses: [B, 2c, ...]).
        """
        uses = latent.shape[1] // 2 if self.complex_uses else latent.shape[1]
        tail = (uses, *latent.shape[2:]) if self.coherence == "fast" else (1,) * (latent.ndim - 1)
        shape = (len(latent), *tail, 2)
        scattered = 1 / (self.k_factor + 1)
        draw = standard_normal(shape, latent, generator)
        estimate = torch.view_as_complex(draw * math.sqrt((scattered - csi_error) / 2)) + math.sqrt(1 - scattered)
        if not csi_error:
            return estimate, estimate
        error = torch.view_as_complex(standard_normal(shape, latent, generator) * math.sqrt(csi_error / 2))
        return estimate + error, estimate

    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """Fade, noise and equaliser; see `Channel.receive`."""
        latent = self.prepared(latent)
        variance = noise_variance(snr_db)
        csi_error = self._checked(point["csi_error"]) if "csi_error" in point else self.csi_error
        true, estimate = self.gains(latent, generator, csi_error)
        noise = standard_normal(latent.shape, latent, generator)
        if self.complex_uses:
            sent, noise, disturbance = as_complex(latent), as_complex(noise * math.sqrt(variance / 2)), csi_error
        else:
            turned = estimate.abs().clamp(min=_TINY)
            true, estimate = (true * estimate.conj()).real / turned, turned
            sent, noise, disturbance = latent, noise * math.sqrt(variance), csi_error / 2
        arrived = true * sent + noise
        equalised, gain, ratio = self._equalise(arrived, estimate, disturbance + variance)
        latent = as_real(equalised) if self.complex_uses else equalised
        return Received(latent, ratio.flatten(1).mean(1), ratio, gain)

    def _equalise(self, arrived: Tensor, estimate: Tensor, disturbance: float) -> tuple[Tensor, Tensor, Tensor]:
        """(equalised uses, gain, effective ratio of each use)."""
        power = estimate.abs().square().clamp(min=_TINY)
        ratio = (power / max(disturbance, _TINY)).clamp(max=LARGEST_SNR)
        if self.equaliser == "none":
            return arrived, estimate, ratio
        regulariser = disturbance if self.equaliser == "mmse" else 0.0
        equalised = arrived * (estimate.conj() / (power + regulariser))
        return equalised, power / (power + regulariser), ratio
