"""What every channel is: a latent is sent at a signal-to-noise ratio, and something is received."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from umbel.channels.units import check_latent, noise_variance
from umbel.core.model import PointModule
from umbel.core.point import OperatingPoint
from umbel.errors import UmbelError, unknown

EMPTY_POINT = OperatingPoint()
"""An empty operating point, for a channel that needs nothing from it."""

LARGEST_SNR = 1e10
"""Effective signal-to-noise ratios are reported up to this (100 dB), also for a channel without noise."""


class Received(NamedTuple):
    """What a receiver has after equalisation.

    Of every use,

        latent = gain * sent + noise,   |gain|^2 P / noise power = snr_per_use,   P = 1.

    Attributes:
        latent: The shape of what was sent, [B, 2c, ...]; float32, or float64 if that was sent.
        snr: [B]. Effective signal-to-noise ratio (a ratio, not decibels) of a latent of power 1, mean over uses.
            It is that of the air: erasures and truncation leave it as it is.
        snr_per_use: The same for each use, [B, c, ...] (real uses: [B, 2c, ...]) or a shape that broadcasts to it; 0
            where nothing arrived.
        gain: The factor of what was sent, shaped like `snr_per_use`: 1 on AWGN, snr / (snr + 1) after an MMSE
            equaliser (which shrinks what it cannot trust), 0 where nothing arrived, complex without equaliser.
    """

    latent: Tensor
    snr: Tensor
    snr_per_use: Tensor
    gain: Tensor


class Channel(PointModule, ABC):
    """A physical channel. Holds no randomness and no operating point: both come with the call.

    Args:
        complex_uses: A latent [B, 2c, ...] is c * ... complex uses (real parts first along axis 1); with False every
            real number is a use of its own.
    """

    def __init__(self, complex_uses: bool = True) -> None:
        super().__init__()
        if not isinstance(complex_uses, bool):
            raise UmbelError(f"complex_uses is {complex_uses!r}; say true or false")
        self.complex_uses = complex_uses

    @abstractmethod
    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """Send a latent once. Every call draws anew, so two calls are two receivers or two rounds.

        Args:
            latent: [B, 2c, ...] of mean power 1 per use (`normalise_power`), any floating point. One with another
                power P has P times the signal-to-noise ratio.
            snr_db: Es/N0 in decibels at power 1, the mean over fading; +inf is no noise.
            generator: Of the noise and the fading; None is torch's default one.
            point: What else can be turned, see each channel.

        Raises:
            UmbelError: The ratio is NaN or below -200, or the latent cannot be sent.
        """

    def forward(self, latent: Tensor, point: OperatingPoint) -> Tensor:
        """The received latent at the point's ``snr_db``: any channel can be a link of a model."""
        return self.receive(latent, snr_of(point), point=point).latent

    def prepared(self, latent: Tensor) -> Tensor:
        """The latent in float32 (float64 stays), after a check of its shape."""
        check_latent(latent, self.complex_uses)
        return latent if latent.dtype == torch.float64 else latent.float()


def snr_of(point: OperatingPoint, receiver: str = "") -> float:
    """The signal-to-noise ratio Es/N0 in decibels that a receiver has at an operating point.

    Args:
        point: Its ``snr_db`` is a number, or a mapping from receivers to numbers.
        receiver: Which one; not needed when ``snr_db`` is one number for all.

    Raises:
        UmbelError: ``snr_db`` is missing, not a number, below -200, or has no value for this receiver.
    """
    value = point.require("snr_db")
    if isinstance(value, Mapping):
        if receiver not in value:
            raise unknown("receiver in snr_db", receiver, value)
        value = value[receiver]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UmbelError(f"snr_db is {value!r}; give a number of decibels, or a mapping from receivers to numbers")
    noise_variance(value)
    return float(value)


def standard_normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Independent N(0, 1) with the type and device of `like`, drawn on the generator's own device."""
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def noise_deviation(snr_db: float, complex_uses: bool) -> float:
    """Standard deviation of the noise on each real number at power 1: sqrt(s2/2) or, for real uses, sqrt(s2)."""
    return math.sqrt(noise_variance(snr_db) / (2 if complex_uses else 1))
