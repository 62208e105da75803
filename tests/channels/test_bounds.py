import math

import numpy as np
import pytest

from umbel.channels.bounds import (
    best_outage_rate,
    capacity_bits,
    normal_approximation_bits,
    outage_probability,
    qam_symbol_error,
    qpsk_symbol_error,
    rayleigh_mean,
)
from umbel.errors import UmbelError


def test_capacity_is_one_bit_a_use_at_0_db_and_counts_complex_uses():
    # Real uses by mistake would halve it.
    assert capacity_bits(0.0, 100) == pytest.approx(100)
    assert capacity_bits(10.0, 512) == pytest.approx(512 * math.log2(11))
    assert capacity_bits(np.array([0.0, 10.0]), 1).shape == (2,)


def test_the_normal_approximation_against_numbers_worked_by_hand():
    # 0 dB: V = 3/4; Qinv(1e-3) = 3.0902; 250 - sqrt(187.5) 3.0902 1.4427.
    assert normal_approximation_bits(0.0, 250, 1e-3) == pytest.approx(250 - 61.05, abs=0.02)
    assert normal_approximation_bits(3.0, 250, 0.5) == pytest.approx(capacity_bits(3.0, 250))


def test_the_normal_approximation_nears_capacity_from_below_and_is_never_negative():
    share = [normal_approximation_bits(5.0, n) / capacity_bits(5.0, n) for n in (10, 100, 10_000, 1_000_000)]
    assert share == sorted(share)
    assert 0.997 < share[-1] < 1
    assert normal_approximation_bits(-20.0, 4) == 0


def test_outage_against_drawn_gains():
    gains = np.random.default_rng(0).exponential(size=200_000)
    for rate, snr_db in ((0.5, 0.0), (2.0, 10.0), (4.0, 5.0)):
        drawn = (np.log2(1 + gains * 10 ** (snr_db / 10)) < rate).mean()
        assert outage_probability(rate, snr_db) == pytest.approx(drawn, abs=0.004)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 25.0])
def test_the_best_outage_rate_is_that_of_a_search(snr_db):
    rates = np.linspace(0.001, 12, 200_000)
    found = rates[np.argmax(rates * (1 - outage_probability(rates, snr_db)))]
    assert best_outage_rate(snr_db) == pytest.approx(found, abs=1e-3)


def test_the_rayleigh_mean_of_known_functions():
    assert rayleigh_mean(np.ones_like, 7.0) == pytest.approx(1, abs=1e-12)
    assert rayleigh_mean(lambda snr_db: 10 ** (snr_db / 10), 7.0) == pytest.approx(10**0.7, rel=1e-4)
    # A step: its mean is the outage probability.
    assert rayleigh_mean(lambda snr_db: snr_db < 3.0, 10.0) == pytest.approx(1 - math.exp(-(10**-0.7)), abs=2e-3)
    # Bit errors of QPSK, Q(sqrt(snr)): one half of 1 - sqrt(g / (1 + g)) with g = snr / 2.
    errors = rayleigh_mean(lambda snr_db: 1 - np.sqrt(1 - qpsk_symbol_error(snr_db)), 12.0)
    per_bit = 10**1.2 / 2
    assert errors == pytest.approx(0.5 * (1 - math.sqrt(per_bit / (1 + per_bit))), rel=1e-3)


@pytest.mark.parametrize(("order", "snr_db"), [(4, 5.0), (16, 12.0), (64, 18.0)])
def test_symbol_errors_against_nearest_points(order, snr_db):
    rng = np.random.default_rng(0)
    levels = np.arange(math.isqrt(order)) * 2.0 - math.isqrt(order) + 1
    points = (levels[:, None] + 1j * levels[None, :]).ravel()
    points /= np.sqrt((abs(points) ** 2).mean())
    sent = rng.integers(order, size=40_000)
    noise = rng.normal(size=(40_000, 2)) @ [1, 1j] * np.sqrt(10 ** (-snr_db / 10) / 2)
    found = np.abs(points[sent][:, None] + noise[:, None] - points).argmin(1)
    expected = qam_symbol_error(order, snr_db)
    assert (found != sent).mean() == pytest.approx(expected, abs=4 * math.sqrt(expected / 40_000))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: capacity_bits(math.nan, 10),
        lambda: capacity_bits(0.0, 0),
        lambda: normal_approximation_bits(0.0, 10, error=0.0),
        lambda: outage_probability(-1.0, 0.0),
        lambda: qam_symbol_error(8, 0.0),
        lambda: qam_symbol_error(-4, 0.0),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UmbelError):
        wrong()
