import math

import pytest
import torch
from channel_signals import seeded
from torch import nn

from umbel.channels import AWGN, Channel, ChannelLink, Fading, Received, linear, normalise_power, snr_of
from umbel.core import MultiTaskModel, OperatingPoint, PointSequential, UmbelError


def test_a_number_is_for_every_receiver_and_a_mapping_for_each():
    assert snr_of(OperatingPoint(snr_db=7)) == 7.0
    assert snr_of(OperatingPoint(snr_db=7.0), "car") == 7.0
    assert snr_of(OperatingPoint(snr_db={"car": 3.0, "phone": 10.0}), "phone") == 10.0
    assert snr_of(OperatingPoint(snr_db=math.inf)) == math.inf


@pytest.mark.parametrize(
    ("point", "receiver", "words"),
    [
        (OperatingPoint(), "", "unknown operating-point value 'snr_db'"),
        (OperatingPoint(snr=3.0), "", "did you mean 'snr'"),
        (OperatingPoint(snr_db={"phone": 1.0}), "phon", "unknown receiver in snr_db 'phon'; did you mean 'phone'"),
        (OperatingPoint(snr_db={"phone": 1.0}), "", "known: phone"),
        (OperatingPoint(snr_db="high"), "", "snr_db is 'high'"),
        (OperatingPoint(snr_db=True), "", "snr_db is True"),
        (OperatingPoint(snr_db=-math.inf), "", "snr_db is -inf"),
    ],
)
def test_a_ratio_that_is_not_there_is_refused(point, receiver, words):
    with pytest.raises(UmbelError, match=words):
        snr_of(point, receiver)


def test_nan_is_refused_wherever_it_is_written():
    with pytest.raises(UmbelError, match="NaN"):
        OperatingPoint(snr_db={"phone": math.nan})


def test_a_link_keeps_to_its_power():
    latent = torch.randn(5, 8) * 40
    received = ChannelLink(AWGN(), power=2.0)(latent, OperatingPoint(snr_db=math.inf))
    torch.testing.assert_close(received, normalise_power(latent, 2.0))
    real = ChannelLink(AWGN(complex_uses=False))(latent, OperatingPoint(snr_db=math.inf))
    torch.testing.assert_close(real.square().mean(1), torch.ones(5))


def test_the_noise_is_that_of_power_1_so_that_power_gains():
    latent = torch.randn(2000, 64, generator=seeded())
    for power in (1.0, 4.0):
        sent = normalise_power(latent, power)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            received = ChannelLink(AWGN(), power)(latent, OperatingPoint(snr_db=5.0))
        measured = sent.square().mean() / (received - sent).square().mean()
        assert measured.item() == pytest.approx(power * linear(5.0), rel=0.03)


def test_receivers_of_one_model_have_their_own_channels():
    links = {name: ChannelLink(AWGN(), receiver=name) for name in ("near", "far")}
    model = MultiTaskModel(nn.Identity(), {"near": nn.Identity(), "far": nn.Identity()}, links)
    latent = torch.randn(500, 32, generator=seeded())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = model(latent, OperatingPoint(snr_db={"near": 20.0, "far": 0.0}))
    sent = normalise_power(latent)
    near, far = (out[name] - sent for name in ("near", "far"))
    assert near.square().mean().item() == pytest.approx(0.005, rel=0.05)
    assert far.square().mean().item() == pytest.approx(0.5, rel=0.05)
    assert (near * far).mean().abs() < 0.001


def test_gradients_reach_the_encoder_through_a_link():
    model = PointSequential(nn.Linear(3, 8), ChannelLink(Fading()), nn.Linear(8, 2))
    model(torch.randn(4, 3), OperatingPoint(snr_db=3.0)).sum().backward()
    assert model.stages[0].weight.grad.abs().sum() > 0


def test_any_channel_is_a_stage_by_itself():
    class Halved(Channel):
        def receive(self, latent, snr_db, generator=None, point=None):
            ratio = latent.new_full((len(latent), 1), snr_db)
            return Received(latent / 2, ratio.flatten(), ratio, torch.full_like(ratio, 0.5))

    out = PointSequential(Halved(), nn.Identity())(torch.ones(2, 4), OperatingPoint(snr_db=0.0))
    assert torch.equal(out, torch.full((2, 4), 0.5))


def test_bad_links_are_refused():
    with pytest.raises(UmbelError, match="power per use is -1"):
        ChannelLink(AWGN(), power=-1.0)
    with pytest.raises(UmbelError, match="snr_db"):
        ChannelLink(AWGN())(torch.ones(2, 4), OperatingPoint())
    with pytest.raises(UmbelError, match="even"):
        ChannelLink(AWGN())(torch.ones(2, 5), OperatingPoint(snr_db=0.0))
