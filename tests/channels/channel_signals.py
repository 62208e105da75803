"""Constellations and closed forms that several tests of channels measure against."""

import math

import torch
from torch import Tensor


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def qpsk(samples: int, uses: int, seed: int = 0) -> Tensor:
    """Latents [samples, 2 uses] of QPSK symbols of power 1."""
    return (torch.randint(2, (samples, 2 * uses), generator=seeded(seed)) * 2.0 - 1) / math.sqrt(2)


def gaussian(samples: int, uses: int, seed: int = 0) -> Tensor:
    """Latents [samples, 2 uses] of independent CN(0, 1)."""
    return torch.randn(samples, 2 * uses, generator=seeded(seed)) / math.sqrt(2)


def tail(x: float) -> float:
    """Q(x), the probability that a standard normal exceeds x."""
    return 0.5 * math.erfc(x / math.sqrt(2))


def rayleigh_bit_error(mean_snr: float, branches: int = 1) -> float:
    """E Q(sqrt(g)), g a sum of `branches` exponentials of that mean: Proakis, Digital Communications, eq. 14.4-15."""
    mu = math.sqrt(mean_snr / (2 + mean_snr))
    p = (1 - mu) / 2
    return p**branches * sum(math.comb(branches - 1 + k, k) * (1 - p) ** k for k in range(branches))


def bit_error(sent: Tensor, received: Tensor) -> float:
    """Share of real dimensions received with the wrong sign."""
    return (sent.sign() != received.sign()).double().mean().item()


def binomial_margin(probability: float, trials: int) -> float:
    """Five standard deviations of a measured rate."""
    return 5 * math.sqrt(probability * (1 - probability) / trials)
