import math

import pytest
import torch
from channel_signals import binomial_margin, bit_error, gaussian, qpsk, seeded, tail

from umbel.channels import AWGN, LARGEST_SNR, as_complex, linear, normalise_power
from umbel.core import OperatingPoint, PointModule, UmbelError

SAMPLES, USES = 400, 500


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0])
def test_half_of_the_noise_falls_on_each_real_dimension(snr_db):
    sent = torch.zeros(SAMPLES, 2 * USES)
    noise = as_complex(AWGN().receive(sent, snr_db, seeded()).latent)
    s2 = linear(-snr_db)
    margin = 5 * math.sqrt(2 / (SAMPLES * USES))
    assert noise.real.var().item() == pytest.approx(s2 / 2, rel=margin)
    assert noise.imag.var().item() == pytest.approx(s2 / 2, rel=margin)
    assert (noise.real * noise.imag).mean().abs() < s2 / 2 * 5 / math.sqrt(SAMPLES * USES)
    assert noise.mean().abs() < 5 * math.sqrt(s2 / (SAMPLES * USES))


def test_a_real_use_has_all_of_the_noise():
    noise = AWGN(complex_uses=False).receive(torch.zeros(SAMPLES, USES), 3.0, seeded()).latent
    assert noise.var().item() == pytest.approx(linear(-3.0), rel=5 * math.sqrt(2 / (SAMPLES * USES)))


def test_the_noise_is_gaussian_and_white():
    noise = AWGN().receive(torch.zeros(SAMPLES, 2 * USES), 0.0, seeded()).latent * math.sqrt(2)
    n = noise.numel()
    assert noise.pow(3).mean().abs() < 5 * math.sqrt(15 / n)
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=5 * math.sqrt(96 / n))
    for shift, axis in ((1, 0), (1, 1), (USES, 1)):
        assert (noise * noise.roll(shift, axis)).mean().abs() < 5 / math.sqrt(n)


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 8.0])
def test_qpsk_symbol_errors_are_those_of_the_closed_form(snr_db):
    sent = qpsk(SAMPLES, USES)
    received = AWGN().receive(sent, snr_db, seeded(1)).latent
    wrong = (as_complex(sent.sign()) != as_complex(received.sign())).double().mean().item()
    expected = 1 - (1 - tail(math.sqrt(linear(snr_db)))) ** 2
    assert wrong == pytest.approx(expected, abs=binomial_margin(expected, SAMPLES * USES))


@pytest.mark.parametrize("snr_db", [5.0, 10.0, 15.0])
def test_16_qam_symbol_errors_are_those_of_the_closed_form(snr_db):
    levels = torch.randint(4, (SAMPLES, 2 * USES), generator=seeded(2))
    step = 2 / math.sqrt(10)  # levels -3, -1, 1, 3 over sqrt(10): power 1 for each symbol
    received = AWGN().receive((levels - 1.5) * step, snr_db, seeded(3)).latent
    decided = (received / step + 1.5).round().clamp(0, 3)
    wrong = (as_complex(decided) != as_complex(levels.float())).double().mean().item()
    one = 1.5 * tail(math.sqrt(3 * linear(snr_db) / 15))
    expected = 1 - (1 - one) ** 2
    assert wrong == pytest.approx(expected, abs=binomial_margin(expected, SAMPLES * USES))


def test_bpsk_gains_3_db_from_complex_uses():
    # A complex use whose imaginary part is empty meets half of the noise: Q(sqrt(2 snr)) against Q(sqrt(snr)).
    sent = torch.randint(2, (SAMPLES, USES), generator=seeded()) * 2.0 - 1
    real = AWGN(complex_uses=False).receive(sent, 4.0, seeded(1)).latent
    padded = torch.cat([sent, torch.zeros_like(sent)], dim=1)
    imaginary = AWGN().receive(padded, 4.0, seeded(1)).latent[:, :USES]
    for received, ratio in ((real, linear(4.0)), (imaginary, 2 * linear(4.0))):
        expected = tail(math.sqrt(ratio))
        assert bit_error(sent, received) == pytest.approx(expected, abs=binomial_margin(expected, sent.numel()))


def test_the_information_of_gaussian_symbols_is_the_capacity():
    # Jointly Gaussian: I = -log2(1 - rho^2) with the correlation rho of what is sent and received.
    sent = gaussian(SAMPLES, USES)
    z, y = as_complex(sent), as_complex(AWGN().receive(sent, 7.0, seeded(1)).latent)
    rho2 = (z.conj() * y).mean().abs() ** 2 / (z.abs().square().mean() * y.abs().square().mean())
    assert -math.log2(1 - rho2) == pytest.approx(math.log2(1 + linear(7.0)), rel=0.01)


@pytest.mark.parametrize("complex_uses", [True, False])
def test_the_effective_ratio_is_the_measured_one(complex_uses):
    sent = normalise_power(torch.randn(SAMPLES, 2 * USES, generator=seeded()), complex_uses=complex_uses)
    received = AWGN(complex_uses).receive(sent, 6.0, seeded(1))
    measured = sent.square().mean() / (received.latent - sent).square().mean()
    assert received.snr.shape == (SAMPLES,)
    torch.testing.assert_close(received.snr, torch.full((SAMPLES,), linear(6.0)))
    assert measured.item() == pytest.approx(linear(6.0), rel=0.02)
    assert received.gain.eq(1).all()


def test_infinity_is_no_noise():
    sent = torch.randn(3, 4, 2, 2)
    received = AWGN().receive(sent, math.inf)
    assert torch.equal(received.latent, sent)
    assert received.snr.tolist() == [LARGEST_SNR] * 3
    assert AWGN().receive(sent, 300.0).snr.tolist() == [LARGEST_SNR] * 3


def test_a_seed_repeats_and_another_does_not():
    sent = torch.zeros(4, 8)
    first, again, other = (AWGN().receive(sent, 0.0, seeded(seed)).latent for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.isclose(first, other).any()


def test_without_generator_the_default_one_is_used():
    sent = torch.zeros(4, 8)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = AWGN().receive(sent, 0.0).latent
        torch.manual_seed(3)
        assert torch.equal(first, AWGN()(sent, OperatingPoint(snr_db=0.0)))


def test_two_calls_are_two_independent_receivers():
    sent, generator = torch.zeros(SAMPLES, 2 * USES), seeded()
    first, second = (AWGN().receive(sent, 0.0, generator).latent for _ in range(2))
    assert (first * second).mean().abs() < 0.5 * 5 / math.sqrt(sent.numel())


@pytest.mark.parametrize(("given", "got"), [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_types_under_autocast(given, got):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        received = AWGN().receive(torch.ones(2, 4, dtype=getattr(torch, given)), 3.0)
    assert received.latent.dtype == received.snr.dtype == getattr(torch, got)


def test_the_latent_is_not_written_to():
    sent = torch.zeros(2, 4)
    AWGN().receive(sent, 0.0)
    assert not sent.any()


def test_bad_input_is_refused():
    assert issubclass(AWGN, PointModule)
    with pytest.raises(UmbelError, match="even"):
        AWGN().receive(torch.ones(2, 3), 0.0)
    with pytest.raises(UmbelError, match="snr_db is nan"):
        AWGN().receive(torch.ones(2, 4), math.nan)
