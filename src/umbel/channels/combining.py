"""Several receptions of the same latent become a better one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.channels.channel import LARGEST_SNR, Received
from umbel.channels.units import as_complex, as_real
from umbel.errors import UmbelError


def maximum_ratio_combine(received: Sequence[Received]) -> Received:
    """Maximum-ratio combining of repeats of the *same* latent with independent noise.

    With latent_k = g_k z + noise, of power |g_k|^2 / snr_k, the best linear combination weighs each by

        w_k = snr_k / g_k,     combined = sum_k w_k latent_k / sum_k |w_k|,

    so its ratio is sum_k snr_k and its gain sum_k snr_k / sum_k |w_k|, which is written into the result. This is the
    average of the receptions themselves, so it is scaled like them: unbiased when they are (AWGN, zero-forcing), and
    as tame as they are in a deep fade after MMSE equalisers. Uses that did not arrive have no weight.

    Source: Brennan, "Linear diversity combining techniques", Proc. IRE 47 (1959).

    Args:
        received: One or more, all of one shape and of the same kind of use (complex or real).

    Raises:
        UmbelError: Nothing was received, or the shapes differ.
    """
    if not received:
        raise UmbelError("maximum-ratio combining needs at least one reception")
    if len({one.latent.shape for one in received}) > 1:
        shapes = ", ".join(str(tuple(one.latent.shape)) for one in received)
        raise UmbelError(f"maximum-ratio combining takes repeats of one latent; the shapes are {shapes}")
    weights = [_weight(one) for one in received]
    size = _sum([weight.abs() for weight in weights]).clamp(min=1 / LARGEST_SNR)
    ratio = _sum([one.snr_per_use for one in received])
    latent = _sum([_times(one, weight / size) for one, weight in zip(received, weights, strict=True)])
    return Received(latent, _sum([one.snr for one in received]), ratio, ratio / size)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms, start=torch.zeros_like(terms[0]))


def _weight(one: Received) -> torch.Tensor:
    arrived = one.gain != 0
    return torch.where(arrived, one.snr_per_use / torch.where(arrived, one.gain, 1), 0)


def _times(one: Received, weight: torch.Tensor) -> torch.Tensor:
    """The latent with every use times its (real or complex) weight."""
    if weight.is_complex():
        return as_real(as_complex(one.latent) * weight)
    if weight.shape[1] not in (1, one.latent.shape[1]):
        weight = torch.cat([weight, weight], dim=1)
    return one.latent * weight
