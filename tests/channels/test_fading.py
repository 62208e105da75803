import math
from typing import get_args

import numpy as np
import pytest
import torch
from channel_signals import binomial_margin, bit_error, gaussian, qpsk, rayleigh_bit_error, seeded
from scipy.special import exp1

from umbel.channels import AWGN, LARGEST_SNR, Coherence, Equaliser, Fading, as_complex, linear
from umbel.core import OperatingPoint, UmbelError

SAMPLES = 200_000
"""Of one use: as many fades."""


def measured_channel(**options) -> torch.Tensor:
    """h of each sample: what a 1 becomes without noise and without equaliser."""
    pilot = torch.tensor([[1.0, 0.0]]).expand(SAMPLES, 2)
    received = Fading(equaliser="none", **options).receive(pilot, math.inf, seeded())
    return as_complex(received.latent).flatten()


@pytest.mark.parametrize("k", [0.0, 1.0, 4.0, 20.0])
def test_the_moments_of_the_channel_are_those_of_its_k_factor(k):
    h = measured_channel(k_factor=k)
    power = h.abs().square()
    assert power.mean().item() == pytest.approx(1.0, abs=0.015)
    assert h.mean().real.item() == pytest.approx(math.sqrt(k / (k + 1)), abs=0.01)
    assert h.mean().imag.item() == pytest.approx(0.0, abs=0.01)
    # E|h|^4 of a Rician channel: 2 without a line of sight (an exponential power), 1 with nothing else.
    assert power.square().mean().item() == pytest.approx((k**2 + 4 * k + 2) / (k + 1) ** 2, rel=0.03)


def test_the_phase_of_a_rayleigh_channel_is_uniform():
    phase = measured_channel().angle()
    counts = torch.histc(phase, 16, -math.pi, math.pi)
    chi2 = ((counts - SAMPLES / 16) ** 2 / (SAMPLES / 16)).sum().item()
    assert chi2 < 45  # 15 degrees of freedom: exceeded with probability 1e-4


def test_a_large_k_factor_is_awgn():
    sent = gaussian(100, 10)
    faded = Fading(k_factor=1e12, equaliser="none").receive(sent, math.inf, seeded()).latent
    torch.testing.assert_close(faded, sent, atol=1e-5, rtol=1e-4)


def test_the_noise_of_a_faded_use_is_that_of_awgn():
    silence = torch.zeros(SAMPLES, 2)
    noise = Fading(equaliser="none").receive(silence, 3.0, seeded()).latent
    assert noise.var(0).tolist() == pytest.approx([linear(-3.0) / 2] * 2, rel=0.02)


@pytest.mark.parametrize("equaliser", ["mmse", "zero-forcing"])
@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_qpsk_on_rayleigh_errs_as_the_closed_form(equaliser, snr_db):
    sent = qpsk(SAMPLES, 1)
    received = Fading(equaliser=equaliser).receive(sent, snr_db, seeded(1)).latent
    expected = rayleigh_bit_error(linear(snr_db))
    assert bit_error(sent, received) == pytest.approx(expected, abs=1.5 * binomial_margin(expected, 2 * SAMPLES))


def test_qpsk_on_rician_errs_as_the_integral_of_its_generating_function():
    # Simon and Alouini, Digital Communication over Fading Channels, eq. 8.102: Q by Craig's formula.
    k, snr = 4.0, linear(6.0)
    theta = (np.arange(2000) + 0.5) / 2000 * math.pi / 2
    s = 1 / (2 * np.sin(theta) ** 2)
    generating = (1 + k) / (1 + k + s * snr) * np.exp(-k * s * snr / (1 + k + s * snr))
    expected = float(generating.mean()) / 2
    sent = qpsk(SAMPLES, 1)
    received = Fading(k_factor=k).receive(sent, 6.0, seeded(1)).latent
    assert bit_error(sent, received) == pytest.approx(expected, abs=1.5 * binomial_margin(expected, 2 * SAMPLES))


def test_an_imperfectly_known_channel_errs_as_its_effective_ratio_says():
    sent, error, snr_db = qpsk(SAMPLES, 1), 0.1, 10.0
    received = Fading(csi_error=error).receive(sent, snr_db, seeded(1))
    mean_ratio = (1 - error) / (error + linear(-snr_db))
    assert received.snr.mean().item() == pytest.approx(mean_ratio, rel=0.02)
    expected = rayleigh_bit_error(mean_ratio)
    assert bit_error(sent, received.latent) == pytest.approx(expected, abs=1.5 * binomial_margin(expected, 2 * SAMPLES))
    perfect = Fading().receive(sent, snr_db, seeded(1)).latent
    assert bit_error(sent, perfect) < 0.7 * expected


def test_a_channel_without_equaliser_and_without_knowledge_carries_no_phase():
    sent = qpsk(SAMPLES, 1)
    assert bit_error(sent, Fading(equaliser="none").receive(sent, 20.0, seeded()).latent) == pytest.approx(
        0.5, abs=0.01
    )


@pytest.mark.parametrize("csi_error", [0.0, 0.15])
@pytest.mark.parametrize("k_factor", [0.0, 3.0])
@pytest.mark.parametrize("coherence", ["block", "fast"])
def test_the_mmse_error_is_orthogonal_to_the_estimate_and_of_the_known_size(csi_error, k_factor, coherence):
    sent = gaussian(SAMPLES // 4, 4)
    received = Fading(k_factor, coherence, csi_error).receive(sent, 4.0, seeded(1))
    z, estimate = as_complex(sent), as_complex(received.latent)
    assert ((z - estimate) * estimate.conj()).mean().abs() < 0.006
    expected = (1 / (1 + received.snr_per_use)).mean().item()
    assert (z - estimate).abs().square().mean().item() == pytest.approx(expected, rel=0.015)


@pytest.mark.parametrize("equaliser", ["mmse", "zero-forcing", "none"])
@pytest.mark.parametrize("coherence", ["block", "fast"])
@pytest.mark.parametrize("csi_error", [0.0, 0.15])
def test_gain_and_ratio_describe_what_is_received(equaliser, coherence, csi_error):
    # latent = gain * sent + noise of power |gain|^2 / snr: scaled so, the rest has power 1 and knows nothing of z.
    sent = gaussian(SAMPLES // 4, 4)
    received = Fading(1.0, coherence, csi_error, equaliser).receive(sent, 4.0, seeded(1))
    rest = as_complex(received.latent) - received.gain * as_complex(sent)
    scaled = rest * received.snr_per_use.sqrt() / received.gain.abs()
    assert scaled.abs().square().mean().item() == pytest.approx(1.0, rel=0.015)
    assert (scaled * as_complex(sent).conj()).mean().abs() < 0.012


@pytest.mark.parametrize("coherence", ["block", "fast"])
@pytest.mark.parametrize("csi_error", [0.0, 0.2])
def test_real_uses_have_the_gain_and_all_of_the_noise(coherence, csi_error):
    sent = torch.randn(SAMPLES // 3, 3, generator=seeded())
    channel = Fading(0.0, coherence, csi_error, "none", complex_uses=False)
    received = channel.receive(sent, 4.0, seeded(1))
    assert not received.gain.is_complex()
    assert received.gain.square().mean().item() == pytest.approx(1 - csi_error, rel=0.02)
    rest = received.latent - received.gain * sent
    assert rest.var().item() == pytest.approx(csi_error / 2 + linear(-4.0), rel=0.02)
    expected = (received.gain.square() / (csi_error / 2 + linear(-4.0))).expand(sent.shape).mean(1)
    torch.testing.assert_close(received.snr, expected)


def test_the_mean_of_log_one_plus_the_ratio_is_the_ergodic_capacity():
    received = Fading(coherence="fast").receive(torch.zeros(2000, 2, 100), 5.0, seeded())
    rate = torch.log2(1 + received.snr_per_use).mean().item()
    snr = linear(5.0)
    assert rate == pytest.approx(math.exp(1 / snr) * exp1(1 / snr) / math.log(2), rel=0.01)


def test_the_outage_of_block_fading_is_that_of_an_exponential():
    ratios = Fading().receive(torch.zeros(SAMPLES, 2), 5.0, seeded()).snr
    outage = (torch.log2(1 + ratios) < 1.5).double().mean().item()
    expected = 1 - math.exp(-(2**1.5 - 1) / linear(5.0))
    assert outage == pytest.approx(expected, abs=binomial_margin(expected, SAMPLES))


def test_a_block_fades_as_one_and_fast_fading_does_not():
    sent = torch.ones(3, 4, 2, 2)
    block = Fading(equaliser="none").receive(sent, math.inf, seeded())
    fast = Fading(coherence="fast", equaliser="none").receive(sent, math.inf, seeded())
    h = as_complex(block.latent).flatten(1)
    assert torch.equal(h, h[:, :1].expand_as(h))
    assert len(h[:, 0].abs().unique()) == 3
    assert len(as_complex(fast.latent).abs().unique()) == 3 * 8
    assert block.snr_per_use.shape == (3, 1, 1, 1)
    assert fast.snr_per_use.shape == fast.gain.shape == (3, 2, 2, 2)


def test_the_ratio_of_fast_fading_is_the_mean_over_uses():
    received = Fading(coherence="fast").receive(torch.zeros(4, 6, 3), 5.0, seeded())
    torch.testing.assert_close(received.snr, received.snr_per_use.flatten(1).mean(1))


@pytest.mark.parametrize("equaliser", ["mmse", "zero-forcing"])
@pytest.mark.parametrize("complex_uses", [True, False])
def test_without_noise_the_latent_comes_back(equaliser, complex_uses):
    sent = gaussian(50, 6)
    channel = Fading(coherence="fast", equaliser=equaliser, complex_uses=complex_uses)
    received = channel.receive(sent, math.inf, seeded())
    torch.testing.assert_close(received.latent, sent, atol=1e-5, rtol=1e-4)
    assert (received.snr <= LARGEST_SNR).all()


def test_mmse_stays_tame_where_zero_forcing_does_not():
    sent = qpsk(SAMPLES, 1)
    tame, wild = (Fading(equaliser=word).receive(sent, 0.0, seeded(1)).latent for word in ("mmse", "zero-forcing"))
    assert tame.abs().max() < 5
    assert wild.abs().max() > 50


@pytest.mark.parametrize("coherence", get_args(Coherence))
@pytest.mark.parametrize("equaliser", get_args(Equaliser))
@pytest.mark.parametrize("complex_uses", [True, False])
@pytest.mark.parametrize("csi_error", [0.0, 0.1])
def test_the_gradient_is_exact(coherence, equaliser, complex_uses, csi_error):
    channel = Fading(1.0, coherence, csi_error, equaliser, complex_uses)
    latent = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: channel.receive(z, 3.0, seeded(4)).latent, latent)


def test_the_point_can_say_how_well_the_channel_is_known():
    sent = gaussian(20, 8)
    fixed = Fading(csi_error=0.2).receive(sent, 5.0, seeded()).latent
    turned = Fading().receive(sent, 5.0, seeded(), OperatingPoint(csi_error=0.2)).latent
    assert torch.equal(fixed, turned)
    perfect = Fading(csi_error=0.2).receive(sent, 5.0, seeded(), OperatingPoint(csi_error=0)).latent
    assert torch.equal(perfect, Fading().receive(sent, 5.0, seeded()).latent)


def test_calls_with_one_generator_are_independent_and_repeat_with_its_seed():
    pilot = torch.tensor([[1.0, 0.0]]).expand(SAMPLES, 2)
    channel, generator = Fading(equaliser="none"), seeded()
    first, second = (as_complex(channel.receive(pilot, 10.0, generator).latent) for _ in range(2))
    assert (first * second.conj()).mean().abs() < 0.015
    assert torch.equal(first, as_complex(channel.receive(pilot, 10.0, seeded()).latent))


def test_bf16_is_received_in_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        received = Fading(csi_error=0.1).receive(torch.ones(2, 4, 3, dtype=torch.bfloat16), 5.0)
    assert {tensor.dtype for tensor in received} == {torch.float32}


def test_memory_layout_does_not_change_what_is_received():
    sent = torch.randn(2, 8, 4, 4)
    for channel in (AWGN(), Fading(coherence="fast", csi_error=0.1), Fading(equaliser="none")):
        plain = channel.receive(sent, 5.0, seeded()).latent
        other = channel.receive(sent.to(memory_format=torch.channels_last), 5.0, seeded()).latent
        torch.testing.assert_close(plain, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k_factor": -1.0}, "k_factor is -1.0"),
        ({"k_factor": math.nan}, "k_factor"),
        ({"k_factor": math.inf}, "use AWGN"),
        ({"coherence": "blok"}, "did you mean 'block'"),
        ({"equaliser": "mse"}, "did you mean 'mmse'"),
        ({"csi_error": -0.1}, "csi_error is -0.1"),
        ({"csi_error": 1.0}, "below 1,"),
        ({"csi_error": math.nan}, "csi_error"),
        ({"csi_error": "bad"}, "csi_error"),
        ({"k_factor": 4.0, "csi_error": 0.3}, "below 0.2,"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(UmbelError, match=words):
        Fading(**options)


def test_a_bad_error_of_the_point_is_refused():
    with pytest.raises(UmbelError, match="csi_error is 2"):
        Fading().receive(torch.ones(2, 4), 0.0, point=OperatingPoint(csi_error=2))
