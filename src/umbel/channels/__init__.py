"""Physical channels: what happens to a latent between transmitter and receiver."""

from umbel.channels.awgn import AWGN
from umbel.channels.catalogue import CHANNELS, make_channel, parse_channel
from umbel.channels.channel import LARGEST_SNR, Channel, Received, snr_of
from umbel.channels.combining import maximum_ratio_combine
from umbel.channels.erasure import Erasure, keep_uses
from umbel.channels.fading import Coherence, Equaliser, Fading
from umbel.channels.link import ChannelLink
from umbel.channels.power import SMALLEST_NORM, normalise_power
from umbel.channels.truncate import Truncate
from umbel.channels.units import as_complex, as_real, channel_uses, decibels, linear, noise_variance

__all__ = [
    "AWGN",
    "CHANNELS",
    "LARGEST_SNR",
    "SMALLEST_NORM",
    "Channel",
    "ChannelLink",
    "Coherence",
    "Equaliser",
    "Erasure",
    "Fading",
    "Received",
    "Truncate",
    "as_complex",
    "as_real",
    "channel_uses",
    "decibels",
    "keep_uses",
    "linear",
    "make_channel",
    "maximum_ratio_combine",
    "noise_variance",
    "normalise_power",
    "parse_channel",
    "snr_of",
]
