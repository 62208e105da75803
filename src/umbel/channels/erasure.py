"""Uses or packets that do not arrive."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from umbel.channels.channel import EMPTY_POINT, Channel, Received
from umbel.channels.units import channel_uses
from umbel.core.point import OperatingPoint
from umbel.errors import UmbelError, unknown

Unit = Literal["use", "packet"]
"""What is lost at once."""


class Erasure(Channel):
    """Another channel of which uses or packets are lost, independently and with one probability.

    What is lost is received as zeros, with gain 0 and ``snr_per_use`` 0 (the receiver knows); ``snr`` is unchanged.

    Args:
        channel: What the rest passes through.
        probability: Of a loss, 0 to 1. A value ``erasure`` of the operating point takes its place.
        unit: "use", or "packet" of several uses that follow each other (in the order of `keep_uses`).
        packet_uses: Uses in a packet; the last one of a sample may be shorter.

    Raises:
        UmbelError: A value is out of its range.
    """

    def __init__(
        self, channel: Channel, probability: float = 0.0, unit: Unit = "use", packet_uses: int | None = None
    ) -> None:
        super().__init__(channel.complex_uses)
        if unit not in get_args(Unit):
            raise unknown("unit of erasures", unit, get_args(Unit))
        if unit == "packet" and (packet_uses is None or packet_uses < 1):
            raise UmbelError(f"packet_uses is {packet_uses}; say how many uses a packet has, 1 or more")
        if unit == "use" and packet_uses is not None:
            raise UmbelError('packet_uses is given but unit is "use"; say unit="packet"')
        self.channel, self.probability, self.unit = channel, _checked(probability), unit
        self.packet_uses = packet_uses or 1

    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """What the other channel delivers, without what is lost; see `Channel.receive`."""
        received = self.channel.receive(latent, snr_db, generator, point)
        probability = _checked(point["erasure"]) if "erasure" in point else self.probability
        if not probability:
            return received
        uses = channel_uses(latent, self.complex_uses)
        packets = math.ceil(uses / self.packet_uses)
        device = received.latent.device if generator is None else generator.device
        kept = torch.rand(len(latent), packets, generator=generator, device=device) >= probability
        kept = kept.to(received.latent.device).repeat_interleave(self.packet_uses, dim=1)[:, :uses]
        return keep_uses(received, kept, self.complex_uses)


def _checked(probability: float) -> float:
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise UmbelError(f"erasure probability is {probability!r}; it must be from 0 to 1")
    return float(probability)


def keep_uses(received: Received, kept: Tensor, complex_uses: bool = True) -> Received:
    """What is received when only some uses arrive.

    Args:
        received: Of n uses for each sample.
        kept: Bool [B, n] or [1, n], in flattened order: the uses of one half of axis 1 (complex uses) as they lie in
            memory, so channels first, then rows, then columns.
        complex_uses: Two real numbers for each use; otherwise one.
    """
    shape = list(received.latent.shape)
    shape[1] //= 2 if complex_uses else 1
    mask = kept.reshape(len(kept), *shape[1:]).to(received.latent.dtype)
    both = torch.cat([mask, mask], dim=1) if complex_uses else mask
    return received._replace(
        latent=received.latent * both, snr_per_use=received.snr_per_use * mask, gain=received.gain * mask
    )
