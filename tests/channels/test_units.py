import math

import pytest
import torch

from umbel.channels import as_complex, as_real, channel_uses, decibels, linear, noise_variance
from umbel.core import UmbelError


@pytest.mark.parametrize(("db", "ratio"), [(0, 1.0), (3.0103, 2.0), (-10, 0.1), (20, 100.0)])
def test_decibels_and_ratios_are_inverse(db, ratio):
    assert linear(db) == pytest.approx(ratio, rel=1e-5)
    assert decibels(ratio) == pytest.approx(db, abs=1e-4)
    torch.testing.assert_close(decibels(linear(torch.tensor(float(db)))), torch.tensor(float(db)), atol=1e-5, rtol=0)


def test_no_power_is_minus_infinity_decibels():
    assert decibels(0.0) == -math.inf
    assert linear(-math.inf) == 0.0


def test_the_noise_variance_is_the_power_over_the_ratio():
    assert noise_variance(10.0) == pytest.approx(0.1)
    assert noise_variance(3.0, power=2.0) == pytest.approx(2 / 10**0.3)
    assert noise_variance(math.inf) == 0.0


@pytest.mark.parametrize("snr_db", [math.nan, -math.inf, -5000.0])
def test_a_ratio_that_is_no_number_of_decibels_is_refused(snr_db):
    with pytest.raises(UmbelError, match="snr_db"):
        noise_variance(snr_db)


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan, math.inf])
def test_a_power_that_is_not_positive_is_refused(power):
    with pytest.raises(UmbelError, match="power"):
        noise_variance(0.0, power)


def test_the_first_half_of_axis_1_is_the_real_part():
    latent = torch.arange(16.0).reshape(2, 4, 2)
    symbols = as_complex(latent)
    assert symbols.shape == (2, 2, 2)
    assert symbols[0, 0, 0] == 0 + 4j
    assert symbols[0, 1, 1] == 3 + 7j
    assert torch.equal(as_real(symbols), latent)


def test_half_precision_becomes_single():
    assert as_complex(torch.ones(1, 2, dtype=torch.bfloat16)).dtype == torch.complex64
    assert as_complex(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.complex128


def test_uses_are_counted_for_one_sample():
    latent = torch.zeros(5, 6, 4, 4)
    assert channel_uses(latent) == 48
    assert channel_uses(latent, complex_uses=False) == 96


@pytest.mark.parametrize(
    ("latent", "words"),
    [
        (torch.zeros(2, 3), "even"),
        (torch.zeros(2, 4, dtype=torch.int64), "floating point"),
        (torch.zeros(4), "shape"),
        (torch.zeros(2, 0), "something to send"),
        (torch.zeros(2, 4, dtype=torch.complex64), "real floating point"),
    ],
)
def test_what_cannot_be_sent_is_refused(latent, words):
    with pytest.raises(UmbelError, match=words):
        channel_uses(latent)


def test_an_odd_axis_is_fine_with_real_uses():
    assert channel_uses(torch.zeros(2, 3), complex_uses=False) == 3
