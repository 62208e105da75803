import math

import numpy as np
import pytest

from umbel.channels.bounds import qpsk_symbol_error
from umbel.channels.digital import LabelGenie
from umbel.channels.digital.label_genie import biorthogonal_success, phase_success, simplex_success
from umbel.errors import UmbelError


def simulated(signals: np.ndarray, energy: float, trials: int = 40_000) -> float:
    """Maximum-likelihood decoding of unit signals [M, D] with E/N0 = energy: noise variance N0/2 a dimension."""
    rng = np.random.default_rng(0)
    sent = rng.integers(len(signals), size=trials)
    received = math.sqrt(energy) * signals[sent] + rng.normal(size=(trials, signals.shape[1])) / math.sqrt(2)
    return float(((received @ signals.T).argmax(1) == sent).mean())


def simplex(count: int) -> np.ndarray:
    centred = np.eye(count) - 1 / count
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def test_closed_forms_against_simulated_decoding():
    angles = 2 * np.pi * np.arange(10) / 10
    phases = np.stack([np.cos(angles), np.sin(angles)], 1)
    for energy in (1.0, 4.0):
        near = {"abs": 0.012}
        assert simplex_success(10, np.array(energy)) == pytest.approx(simulated(simplex(10), energy), **near)
        both = np.concatenate([np.eye(5), -np.eye(5)])
        assert biorthogonal_success(10, np.array(energy)) == pytest.approx(simulated(both, energy), **near)
        assert phase_success(10, np.array(energy)) == pytest.approx(simulated(phases, energy), **near)


def test_two_and_four_labels_are_bpsk_and_qpsk():
    # Over one use, then over three that add up their energy: 4.77 dB more.
    assert LabelGenie(4, 1).success(5.0) == pytest.approx(1 - qpsk_symbol_error(5.0), abs=1e-6)
    antipodal = 1 - 0.5 * math.erfc(math.sqrt(3 * 10**0.1))
    assert LabelGenie(2, 3).success(1.0) == pytest.approx(antipodal, abs=1e-6)


def test_rayleigh_bpsk_is_the_closed_form():
    snr = 10**0.6
    expected = 0.5 * (1 + math.sqrt(snr / (1 + snr)))
    assert LabelGenie(2, 1).success(6.0, "rayleigh") == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("fading", [None, "rayleigh"])
def test_more_uses_and_more_power_help_and_chance_is_the_least(fading):
    by_uses = [LabelGenie(10, uses).success(0.0, fading) for uses in (1, 2, 4, 8, 16)]
    by_snr = [LabelGenie(10, 4).success(snr_db, fading) for snr_db in (-40.0, -10.0, 0.0, 10.0, 20.0)]
    assert by_uses == sorted(by_uses)
    assert by_snr == sorted(by_snr)
    assert by_snr[0] == pytest.approx(0.1, abs=0.01)
    assert by_snr[-1] > (0.98 if fading else 0.9999)


def test_the_best_way_is_the_one_used_and_many_labels_are_cut_into_digits():
    genie = LabelGenie(100, 4)
    ways = genie.ways(10.0)
    assert genie.success(10.0) == ways[genie.best_way(10.0)] == max(ways.values())
    assert any(name.startswith("2 x 10-ary") for name in ways)
    assert genie.success(10.0) > ways["phases"]


def test_accuracy_mixes_classifier_and_channel():
    genie = LabelGenie(10, 8)
    assert genie.accuracy(0.9, 30.0) == pytest.approx(0.9, abs=1e-6)
    assert genie.accuracy(0.9, -60.0) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LabelGenie(1, 4),
        lambda: LabelGenie(10, 0),
        lambda: LabelGenie(10, 4).success(math.nan),
        lambda: LabelGenie(10, 4).success(0.0, "rician"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(UmbelError):
        wrong()
