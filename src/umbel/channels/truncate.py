"""A transmitter that stops early."""

import torch
from torch import Tensor

from umbel.channels.channel import EMPTY_POINT, Channel, Received
from umbel.channels.erasure import keep_uses
from umbel.channels.units import channel_uses
from umbel.core.point import OperatingPoint
from umbel.errors import UmbelError


class Truncate(Channel):
    """Another channel that is used only for the first ``uses`` uses of the operating point; zeros after them.

    Uses count in flattened order (see `keep_uses`). Without that value, or with one of at least the latent's uses,
    everything passes. The power of the uses that are sent stays as it is.

    Args:
        channel: What is sent through.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel.complex_uses)
        self.channel = channel

    def receive(
        self,
        latent: Tensor,
        snr_db: float,
        generator: torch.Generator | None = None,
        point: OperatingPoint = EMPTY_POINT,
    ) -> Received:
        """What the other channel delivers of the first uses; see `Channel.receive`."""
        received = self.channel.receive(latent, snr_db, generator, point)
        if "uses" not in point:
            return received
        sent, uses = point["uses"], channel_uses(latent, self.complex_uses)
        if isinstance(sent, bool) or not isinstance(sent, int) or sent < 0:
            raise UmbelError(f"uses is {sent!r}; give a whole number of channel uses, 0 or more")
        kept = torch.arange(uses, device=received.latent.device).unsqueeze(0) < sent
        return keep_uses(received, kept, self.complex_uses)
