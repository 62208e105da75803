"""Decibels, noise power, and what one use of the channel is."""

import math
from typing import TypeVar

import torch
from torch import Tensor

from umbel.errors import UmbelError

Number = TypeVar("Number", float, Tensor)


def linear(db: Number) -> Number:
    """A ratio of powers from decibels: 10^(db/10). Floats and tensors."""
    return 10.0 ** (db / 10.0)


def decibels(ratio: Number) -> Number:
    """Decibels of a ratio of powers: 10 log10(ratio). Floats and tensors; 0 gives -inf."""
    if isinstance(ratio, Tensor):
        return 10.0 * torch.log10(ratio)
    return 10.0 * math.log10(ratio) if ratio > 0 else -math.inf


def noise_variance(snr_db: float, power: float = 1.0) -> float:
    """Noise power per use, s2 = P * 10^(-snr_db/10).

    Of a complex use half of it falls on each real dimension; of a real use all of it.

    Args:
        snr_db: Es/N0 in decibels: mean power per use over noise power per use. +inf is no noise.
        power: Mean power per use, P.

    Raises:
        UmbelError: `snr_db` is NaN or below -200, or the power is not positive.
    """
    if not snr_db >= -200:
        raise UmbelError(
            f"snr_db is {snr_db}; give a number of decibels from -200 up (inf for a channel without noise)"
        )
    check_power(power)
    return power * linear(-float(snr_db))


def check_power(power: float) -> None:
    """Refuse a power per use that is not a positive finite number.

    Raises:
        UmbelError: It is not.
    """
    if not (math.isfinite(power) and power > 0):
        raise UmbelError(f"power per use is {power}; it must be positive and finite")


def check_latent(latent: Tensor, complex_uses: bool = True) -> None:
    """Refuse what cannot be sent.

    Args:
        latent: Floating point [B, 2c, ...] (complex uses) or [B, ...] (real uses).
        complex_uses: Whether a use carries two real numbers.

    Raises:
        UmbelError: Wrong type or shape.
    """
    if not latent.is_floating_point():
        raise UmbelError(f"a channel takes a latent of real floating point, not {latent.dtype}")
    if latent.ndim < 2 or 0 in latent.shape[1:]:
        raise UmbelError(f"a channel takes a latent [B, ...] with something to send, not shape {tuple(latent.shape)}")
    if complex_uses and latent.shape[1] % 2:
        raise UmbelError(
            f"latent of shape {tuple(latent.shape)}: axis 1 holds real parts, then imaginary parts, so its size must "
            "be even; change the encoder's outputs or say complex_uses=False"
        )


def channel_uses(latent: Tensor, complex_uses: bool = True) -> int:
    """How often the channel is used to send one sample.

    Args:
        latent: [B, 2c, ...].
        complex_uses: Two real numbers for each use; otherwise one.

    Raises:
        UmbelError: Complex uses of a latent whose axis 1 is odd.
    """
    check_latent(latent, complex_uses)
    return math.prod(latent.shape[1:]) // (2 if complex_uses else 1)


def as_complex(latent: Tensor) -> Tensor:
    """The complex symbols [B, c, ...] of a latent [B, 2c, ...]: first half of axis 1 real, second imaginary.

    Raises:
        UmbelError: Axis 1 is odd.
    """
    check_latent(latent)
    if latent.dtype not in (torch.float32, torch.float64):
        latent = latent.float()
    return torch.complex(*latent.chunk(2, dim=1))


def as_real(symbols: Tensor) -> Tensor:
    """The latent [B, 2c, ...] of complex symbols [B, c, ...]; inverse of `as_complex`."""
    return torch.cat([symbols.real, symbols.imag], dim=1)
