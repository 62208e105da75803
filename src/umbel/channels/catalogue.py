"""Channels by name."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from umbel.channels.awgn import AWGN
from umbel.channels.channel import Channel
from umbel.channels.fading import Fading
from umbel.errors import UmbelError, unknown

CHANNELS: dict[str, tuple[Callable[..., Channel], str]] = {
    "awgn": (AWGN, "Gaussian noise, complex uses"),
    "real-awgn": (partial(AWGN, complex_uses=False), "Gaussian noise, real uses"),
    "rayleigh": (Fading, "Rayleigh fading, one fade for each sample"),
    "rayleigh-fast": (partial(Fading, coherence="fast"), "Rayleigh fading, one fade for each use"),
    "rician": (partial(Fading, k_factor=4.0), "Rician fading with K = 4, one fade for each sample"),
    "rician-fast": (partial(Fading, k_factor=4.0, coherence="fast"), "Rician fading with K = 4, a fade for each use"),
    "real-rayleigh": (partial(Fading, complex_uses=False), "Rayleigh fading of real uses, one fade for each sample"),
}
"""Name -> (factory, summary). Options of the factory are those of `AWGN` or `Fading`."""


def make_channel(name: str, **options: Any) -> Channel:
    """The channel of that name.

    Args:
        name: One of `CHANNELS`.
        options: Arguments of its factory, as in ``make_channel("rician", k_factor=10)``.

    Raises:
        UmbelError: No such channel, no such option, or a value out of range.
    """
    if name not in CHANNELS:
        raise unknown("channel", name, CHANNELS)
    factory, _ = CHANNELS[name]
    known = inspect.signature(factory).parameters
    for option in options:
        if option not in known:
            raise unknown(f"option of channel {name!r}", option, known)
    return factory(**options)


def parse_channel(text: str) -> Channel:
    """The channel that a text describes, as on the command line.

        >>> parse_channel("rician:k_factor=10,csi_error=0.05").k_factor
        10.0

    Args:
        text: ``name`` or ``name:option=value,option=value``; values are numbers, true, false or words.

    Raises:
        UmbelError: It cannot be read; see also `make_channel`.
    """
    name, _, tail = text.partition(":")
    options = {}
    for part in filter(None, (piece.strip() for piece in tail.split(","))):
        option, equals, value = (word.strip() for word in part.partition("="))
        if not (option and equals and value):
            raise UmbelError(f"channel {text!r}: {part!r} is not option=value; write it as in rician:k_factor=10")
        if option in options:
            raise UmbelError(f"channel {text!r}: {option} is given twice")
        options[option] = _value(value)
    return make_channel(name.strip(), **options)


def _value(word: str) -> bool | float | str:
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return float(word)
    except ValueError:
        return word
