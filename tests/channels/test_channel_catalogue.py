import math

import pytest
import torch
from channel_signals import seeded

from umbel.channels import AWGN, CHANNELS, Channel, Fading, make_channel, parse_channel
from umbel.core import UmbelError


@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel_is_made_and_delivers(name):
    sent = torch.randn(3, 4, 5, generator=seeded())
    channel = make_channel(name)
    received = channel.receive(sent, 5.0, seeded())
    assert isinstance(channel, Channel)
    assert received.latent.shape == sent.shape
    assert received.snr.shape == (3,)
    assert received.latent.isfinite().all()
    torch.testing.assert_close(channel.receive(sent, math.inf, seeded()).latent, sent, atol=1e-4, rtol=1e-4)
    assert CHANNELS[name][1]


@pytest.mark.parametrize(
    ("name", "k_factor", "coherence", "complex_uses"),
    [
        ("rayleigh", 0, "block", True),
        ("rayleigh-fast", 0, "fast", True),
        ("rician", 4, "block", True),
        ("rician-fast", 4, "fast", True),
        ("real-rayleigh", 0, "block", False),
    ],
)
def test_names_mean_what_they_say(name, k_factor, coherence, complex_uses):
    channel = make_channel(name)
    assert isinstance(channel, Fading)
    assert (channel.k_factor, channel.coherence, channel.complex_uses) == (k_factor, coherence, complex_uses)


def test_awgn_comes_with_complex_and_real_uses():
    assert make_channel("awgn").complex_uses
    assert not make_channel("real-awgn").complex_uses
    assert isinstance(parse_channel(" awgn "), AWGN)


def test_options_are_read():
    channel = parse_channel("rician: k_factor=10, csi_error=0.05,equaliser=zero-forcing,complex_uses=False")
    assert (channel.k_factor, channel.csi_error) == (10.0, 0.05)
    assert channel.equaliser == "zero-forcing"
    assert channel.complex_uses is False
    assert channel.coherence == "block"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raylegh", "unknown channel 'raylegh'; did you mean 'rayleigh'"),
        ("", "unknown channel ''"),
        ("rician:kfactor=3", "unknown option of channel 'rician' 'kfactor'; did you mean 'k_factor'"),
        ("awgn:k_factor=3", "unknown option of channel 'awgn'"),
        ("rician:k_factor", "'k_factor' is not option=value"),
        ("rician:k_factor=", "not option=value"),
        ("rician:k_factor=1,k_factor=2", "given twice"),
        ("rician:k_factor=-1", "k_factor is -1"),
        ("rician:k_factor=high", "k_factor is 'high'"),
        ("awgn:complex_uses=maybe", "complex_uses is 'maybe'"),
    ],
)
def test_bad_texts_are_refused(text, words):
    with pytest.raises(UmbelError, match=words):
        parse_channel(text)
