"""A channel with its transmitter's power constraint, as a link between encoder and head."""

from torch import Tensor

from umbel.channels.channel import Channel, snr_of
from umbel.channels.power import normalise_power
from umbel.channels.units import check_power
from umbel.core.axes import Axes, Axis
from umbel.core.model import PointModule
from umbel.core.point import OperatingPoint


class ChannelLink(PointModule):
    """Power constraint, then a channel at the point's ``snr_db``: a link of a `MultiTaskModel`.

    Args:
        channel: What the latent is sent through.
        power: Mean power per use of every sample. The noise is that of ``snr_db`` at power 1, so power 2 gains 3 dB.
        receiver: Whose signal-to-noise ratio it has, when the point's ``snr_db`` is a mapping.
        snr_db: How its ``snr_db`` is drawn in training and where it is evaluated, as in ``Uniform(0, 10)``; for a
            receiver its entry in the mapping. None leaves that to the learner.

    Raises:
        UmbelError: The power is not positive.
    """

    def __init__(self, channel: Channel, power: float = 1.0, receiver: str = "", snr_db: Axis | None = None) -> None:
        super().__init__()
        check_power(power)
        self.channel, self.power, self.receiver = channel, power, receiver
        self.snr_db = snr_db

    def axes(self) -> Axes:
        """How its signal-to-noise ratio is drawn, where that was given."""
        if self.snr_db is None:
            return {}
        return {"snr_db": {self.receiver: self.snr_db} if self.receiver else self.snr_db}

    def forward(self, latent: Tensor, point: OperatingPoint) -> Tensor:
        """The received latent, [B, 2c, ...] as it was sent; randomness from torch's default generator.

        Raises:
            UmbelError: The point has no ``snr_db`` for this receiver.
        """
        snr_db = snr_of(point, self.receiver)
        sent = normalise_power(latent, self.power, complex_uses=self.channel.complex_uses)
        return self.channel.receive(sent, snr_db, point=point).latent
