import math
import sys

import pytest
import torch

from umbel.channels.bounds import qam_symbol_error, qpsk_symbol_error
from umbel.channels.digital import CodedLink, through_noise
from umbel.errors import UmbelError

sionna = pytest.importorskip("sionna", reason="the coded link needs the [comms] extra")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share_lost(link: CodedLink, snr_db: float, blocks: int = 100, fading: str | None = None) -> float:
    bits = link.random_bits(blocks, generator(1))
    received, holds = link.transmit(bits, snr_db, generator(2), fading)
    assert torch.equal(received[holds], bits[holds])  # nothing wrong passes the check
    return 1 - holds.double().mean().item()


@pytest.mark.parametrize(
    ("bits_per_symbol", "snr_db", "expected"),
    [(2, 7.0, qpsk_symbol_error(7.0)), (4, 13.0, qam_symbol_error(16, 13.0)), (6, 19.0, qam_symbol_error(64, 19.0))],
)
def test_uncoded_symbol_errors_are_the_closed_forms(bits_per_symbol, snr_db, expected):
    # A noise convention 3 dB off (variance for each real dimension) changes these rates several times over.
    from sionna.phy.mapping import Demapper, Mapper

    bits = torch.randint(0, 2, (200, 500 * bits_per_symbol), generator=generator()).float()
    symbols = Mapper("qam", bits_per_symbol, device="cpu")(bits)
    received, noise_variance = through_noise(symbols, snr_db, generator(1))
    hard = Demapper("app", "qam", bits_per_symbol, hard_out=True, device="cpu")(received, noise_variance)
    wrong = (hard != bits).view(-1, bits_per_symbol).any(1).double().mean().item()
    assert wrong == pytest.approx(expected, abs=4 * math.sqrt(expected / len(symbols.flatten())))


def test_noise_has_its_variance_in_each_real_dimension_and_fading_its_mean_gain():
    symbols = torch.zeros(20_000, 10, dtype=torch.complex64)
    noise, variance = through_noise(symbols, 3.0, generator())
    assert noise.real.square().mean().item() == pytest.approx(10**-0.3 / 2, rel=0.02)
    assert noise.imag.square().mean().item() == pytest.approx(10**-0.3 / 2, rel=0.02)
    _, faded = through_noise(symbols, 3.0, generator(), "rayleigh")
    assert (variance / faded).mean().item() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize(("mcs", "needed_db"), [("QPSK 1/2", 0.0), ("16QAM 2/3", 7.3), ("64QAM 1/3", 4.8)])
def test_below_capacity_all_is_lost_and_well_above_nothing(mcs, needed_db):
    link = CodedLink(mcs, 128)
    assert share_lost(link, needed_db - 2, 40) > 0.97
    assert share_lost(link, needed_db + 5, 40) == 0.0


def test_symbols_have_unit_power():
    link = CodedLink("64QAM 3/4", 64)
    power = link.symbols(link.random_bits(400, generator())).abs().square().mean().item()
    assert power == pytest.approx(1, rel=0.02)


def test_rayleigh_outage_where_awgn_is_clean():
    link = CodedLink("QPSK 1/2", 64)
    assert share_lost(link, 10.0, 200) == 0.0
    # Outage at one bit a use: 1 - exp(-1/10) = 0.095; the code needs some dB more.
    assert 0.08 < share_lost(link, 10.0, 400, "rayleigh") < 0.30


def test_the_check_catches_flipped_bits():
    link = CodedLink("QPSK 1/2", 64)
    checked = link._check(link.random_bits(50, generator()))
    for flipped in range(0, checked.shape[1], 7):
        damaged = checked.clone()
        damaged[:, flipped] = 1 - damaged[:, flipped]
        assert not link._uncheck(damaged)[1].any()
    assert link._uncheck(checked)[1].all()


def test_the_same_seed_gives_the_same_noise_and_another_another():
    link = CodedLink("QPSK 1/2", 64)
    bits = link.random_bits(100, generator())
    once, twice, other = (link.transmit(bits, 1.0, generator(seed))[1] for seed in (3, 3, 4))
    assert torch.equal(once, twice)
    assert not torch.equal(once, other)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda link: CodedLink("QPSK 1/3", 16),
        lambda link: CodedLink("QPSK 9/10", 64),
        lambda link: link.transmit(torch.zeros(1, 3), 0.0),
        lambda link: link.transmit(link.random_bits(1), math.nan),
        lambda link: link.transmit(link.random_bits(1), 0.0, fading="rician"),
    ],
)
def test_what_cannot_be_sent_is_refused(wrong):
    with pytest.raises(UmbelError):
        wrong(CodedLink("QPSK 1/2", 32))


def test_without_the_extra_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sionna.phy.fec.ldpc", None)
    with pytest.raises(UmbelError, match=r'needs the package sionna; pip install "umbel\[comms\]"'):
        CodedLink("QPSK 1/2", 64)
