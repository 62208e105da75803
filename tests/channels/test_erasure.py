import math

import pytest
import torch
from channel_signals import binomial_margin, seeded

from umbel.channels import AWGN, Erasure, Fading, Truncate, keep_uses
from umbel.core import OperatingPoint, UmbelError

SENT = torch.ones(500, 20, 10)  # 100 complex uses
CLEAN = math.inf


def lost_uses(latent: torch.Tensor) -> torch.Tensor:
    """Bool [B, 100]; a complex use is lost as a whole."""
    real, imaginary = latent.chunk(2, dim=1)
    assert torch.equal(real == 0, imaginary == 0)
    return (real == 0).flatten(1)


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_uses_are_lost_at_the_given_rate_one_by_one(probability):
    received = Erasure(AWGN(), probability).receive(SENT, CLEAN, seeded())
    lost = lost_uses(received.latent).double()
    assert lost.mean().item() == pytest.approx(probability, abs=binomial_margin(probability, lost.numel()))
    neighbours = (lost[:, 1:] * lost[:, :-1]).mean().item()
    assert neighbours == pytest.approx(probability**2, abs=binomial_margin(probability**2, lost.numel() // 2))
    assert received.latent[received.latent != 0].eq(1).all()


def test_packets_are_lost_as_a_whole():
    lost = lost_uses(Erasure(AWGN(), 0.3, "packet", 7).receive(SENT, CLEAN, seeded()).latent)
    packets = lost[:, :98].reshape(500, 14, 7)
    assert torch.equal(packets.all(2), packets.any(2))
    assert packets.double().mean().item() == pytest.approx(0.3, abs=binomial_margin(0.3, 500 * 14))
    assert 0 < lost[:, 98:].double().mean() < 1  # the last, shorter packet
    assert torch.equal(lost[:, 98], lost[:, 99])


def test_real_uses_are_lost_one_by_one():
    received = Erasure(AWGN(complex_uses=False), 0.5).receive(SENT, CLEAN, seeded())
    real, imaginary = received.latent.chunk(2, dim=1)
    assert not torch.equal(real == 0, imaginary == 0)
    assert received.snr_per_use.shape == SENT.shape


def test_what_is_lost_counts_nothing_and_the_ratio_of_the_air_stays():
    air = Fading().receive(SENT, 10.0, seeded())
    received = Erasure(Fading(), 0.4).receive(SENT, 10.0, seeded())
    lost = lost_uses(received.latent)
    assert torch.equal(received.snr, air.snr)
    assert torch.equal(received.snr_per_use.flatten(1) == 0, lost)
    assert torch.equal(received.gain.flatten(1) == 0, lost)
    kept = received.latent != 0
    assert torch.equal(received.latent[kept], air.latent[kept])


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0.0), (1.0, 1.0), (0, 0.0)])
def test_none_and_all(probability, share):
    received = Erasure(AWGN(), probability).receive(SENT, 3.0, seeded())
    assert lost_uses(received.latent).double().mean() == share


def test_the_point_takes_the_place_of_the_probability():
    received = Erasure(AWGN(), 0.9)(SENT, OperatingPoint(snr_db=CLEAN, erasure=0.0))
    assert torch.equal(received, SENT)
    assert not Erasure(AWGN())(SENT, OperatingPoint(snr_db=CLEAN, erasure=1)).any()


def test_no_gradient_flows_to_what_was_lost():
    sent = torch.randn(4, 8, requires_grad=True)
    received = Erasure(AWGN(), 0.5).receive(sent, 5.0, seeded()).latent
    received.sum().backward()
    assert torch.equal(sent.grad != 0, received != 0)


@pytest.mark.parametrize("uses", [0, 1, 37, 100, 1000])
def test_a_transmitter_that_stops_sends_the_first_uses_as_they_are(uses):
    received = Truncate(AWGN())(SENT, OperatingPoint(snr_db=CLEAN, uses=uses))
    lost = lost_uses(received)
    assert not lost[:, :uses].any()
    assert lost[:, uses:].all()
    assert received.max() == (1 if uses else 0)


def test_without_a_number_of_uses_everything_passes():
    assert torch.equal(Truncate(AWGN())(SENT, OperatingPoint(snr_db=CLEAN)), SENT)


def test_real_uses_are_counted_as_they_lie():
    received = Truncate(AWGN(complex_uses=False))(SENT, OperatingPoint(snr_db=CLEAN, uses=15))
    assert received[0].flatten().nonzero().flatten().tolist() == list(range(15))


def test_wrappers_can_be_put_around_each_other():
    channel = Truncate(Erasure(Fading(coherence="fast"), 0.5))
    received = channel.receive(SENT, 10.0, seeded(), OperatingPoint(uses=40))
    lost = lost_uses(received.latent)
    assert lost[:, 40:].all()
    assert 0.3 < lost[:, :40].double().mean() < 0.7


def test_uses_can_be_kept_by_hand():
    received = AWGN().receive(torch.ones(2, 4), CLEAN)
    kept = keep_uses(received, torch.tensor([[True, False], [False, True]]))
    assert kept.latent.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probability": 1.1}, "from 0 to 1"),
        ({"probability": math.nan}, "from 0 to 1"),
        ({"probability": "half"}, "from 0 to 1"),
        ({"unit": "packets"}, "did you mean 'packet'"),
        ({"unit": "packet"}, "packet_uses is None"),
        ({"unit": "packet", "packet_uses": 0}, "packet_uses is 0"),
        ({"packet_uses": 4}, "unit"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(UmbelError, match=words):
        Erasure(AWGN(), **options)


@pytest.mark.parametrize("uses", [-1, 2.5, True, "all"])
def test_a_number_of_uses_that_is_none_is_refused(uses):
    with pytest.raises(UmbelError, match="uses is"):
        Truncate(AWGN())(SENT, OperatingPoint(snr_db=0.0, uses=uses))


def test_a_bad_probability_of_the_point_is_refused():
    with pytest.raises(UmbelError, match="erasure probability is 2"):
        Erasure(AWGN())(SENT, OperatingPoint(snr_db=0.0, erasure=2))
