"""Temperature against a known one, calibration error against its definition, reliability against both."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.metrics import Reliability, expected_calibration_error, fit_temperature, reliability


@pytest.fixture
def drawn():
    """Labels drawn from softmax(logits / 2.5): the right temperature is 2.5 and calibrated confidence is true."""
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(20000, 6, generator=generator)
    labels = torch.multinomial((logits / 2.5).softmax(1), 1, generator=generator).squeeze(1)
    return logits, labels


def test_temperature_is_the_one_that_labels_were_drawn_with(drawn):
    assert fit_temperature(*drawn) == pytest.approx(2.5, rel=0.03)


def test_no_other_temperature_is_likelier(drawn):
    logits, labels = drawn
    best = fit_temperature(logits, labels)

    def loss(temperature):
        return torch.nn.functional.cross_entropy(logits.double() / temperature, labels).item()

    assert all(loss(best) < loss(best * factor) for factor in (0.5, 0.98, 1.02, 2.0))


def test_temperature_of_scaled_logits_scales_with_them(drawn):
    logits, labels = drawn
    assert fit_temperature(4 * logits, labels) == pytest.approx(4 * fit_temperature(logits, labels), rel=1e-3)


def test_temperature_stays_within_bounds():
    """Where all is right, the likeliest temperature would be 0; where all is wrong, infinite."""
    logits = torch.eye(4) * 3
    assert fit_temperature(logits, torch.arange(4)) == pytest.approx(0.02, rel=1e-3)
    assert fit_temperature(logits, torch.arange(4).roll(1)) == pytest.approx(50.0, rel=1e-3)


def test_scaling_mends_the_calibration_error(drawn):
    logits, labels = drawn
    before = expected_calibration_error(logits.softmax(1), labels)
    after = expected_calibration_error((logits / fit_temperature(logits, labels)).softmax(1), labels)
    assert before > 0.15
    assert after < 0.015


def test_calibration_error_by_hand():
    """Two bins: confidence 0.95 with accuracy 0.5 (4 of 6 samples), 0.65 with accuracy 1 (2 of 6)."""
    probabilities = torch.tensor([[0.95, 0.05]] * 4 + [[0.35, 0.65]] * 2)
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    expected = 4 / 6 * 0.45 + 2 / 6 * 0.35
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(expected, abs=1e-6)


def test_reliability_adds_up_to_the_calibration_error(drawn):
    logits, labels = drawn
    curve = reliability(logits.softmax(1), labels, bins=15)
    assert isinstance(curve, Reliability)
    total = sum(p * abs(c - a) for c, a, p in zip(curve.confidence, curve.accuracy, curve.part, strict=True))
    assert total == pytest.approx(expected_calibration_error(logits.softmax(1), labels, bins=15), abs=1e-5)
    assert sum(curve.part) == pytest.approx(1)
    assert curve.confidence == sorted(curve.confidence)


def test_samples_without_label_do_not_count(drawn):
    logits, labels = drawn
    more, holes = torch.cat([logits, torch.full((500, 6), 9.0)]), torch.cat([labels, torch.full((500,), -1)])
    assert fit_temperature(more, holes) == fit_temperature(logits, labels)
    ours, theirs = (expected_calibration_error(z.softmax(1), y) for z, y in ((more, holes), (logits, labels)))
    assert ours == theirs


@pytest.mark.parametrize(
    ("logits", "labels", "says"),
    [
        (torch.zeros(3), torch.zeros(3).long(), "N, K"),
        (torch.zeros(3, 2), torch.zeros(2).long(), "N, K"),
        (torch.zeros(3, 2), torch.zeros(3), "whole numbers"),
        (torch.zeros(3, 2), torch.full((3,), -1), "no sample"),
        (torch.full((3, 2), torch.nan), torch.zeros(3).long(), "not finite"),
    ],
)
def test_bad_input(logits, labels, says):
    for function in (fit_temperature, expected_calibration_error, reliability):
        with pytest.raises(UmbelError, match=says):
            function(logits, labels)


def test_no_bins():
    with pytest.raises(UmbelError, match="at least 1"):
        expected_calibration_error(torch.ones(2, 2) / 2, torch.zeros(2).long(), bins=0)
