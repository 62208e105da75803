"""What a receiver knows after every round: stops by thresholds, at random, with costly or faulty feedback; by hand."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.transmission import RoundPredictions, ages, fit_temperatures


def rounds(first, second, labels, temperatures=()):
    """Two rounds of two classes; numbers are the logits of class 1 against 0."""
    logits = torch.tensor([[[0.0, value] for value in values] for values in (first, second)])
    return RoundPredictions(logits, torch.tensor(labels), temperatures)


SURE = rounds([9.0, 0.1, -9.0, 0.2], [9.0, 9.0, -9.0, -9.0], [1, 1, 0, 1])
"""After the first round samples 0 and 2 are sure and right; the second makes 1 sure and right, 3 sure and wrong."""


def test_those_who_are_sure_stop():
    own, drawn = SURE.stopped([2, 4], 0.9)
    assert (own["accuracy"], own["delay"], own["escalated"]) == (0.75, 4.0, 0.5)
    assert (own["accuracy of stopped"], own["accuracy of escalated"]) == (1.0, 0.5)
    # first round right for all four, second for three: half of each
    assert drawn["accuracy"] == pytest.approx((1.0 + 0.75) / 2) and drawn["delay"] == own["delay"]


def test_feedback_that_costs_and_feedback_that_errs():
    costly, _ = SURE.stopped([2, 4], 0.9, feedback_uses=1.0)
    assert costly["delay"] == 4.0 + 1.0
    wrong, _ = SURE.stopped([2, 4], 0.9, feedback_error=0.5, generator=torch.Generator().manual_seed(0))
    again, _ = SURE.stopped([2, 4], 0.9, feedback_error=0.5, generator=torch.Generator().manual_seed(0))
    assert wrong == again


def test_rounds_that_are_always_sent():
    first, second = SURE.always(0, 2), SURE.always(1, 6)
    assert (first["accuracy"], first["delay"]) == (1.0, 2.0) and (second["accuracy"], second["delay"]) == (0.75, 6.0)
    assert "ECE calibrated" not in first
    heated = rounds([9.0, 0.1, -9.0, 0.2], [9.0, 9.0, -9.0, -9.0], [1, 1, 0, 1], (1.0, 20.0)).always(1, 6)
    assert heated["ECE calibrated"] != heated["ECE"] == second["ECE"]


def test_a_wrong_decision_renews_nothing():
    age = ages(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]))
    worse = ages(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 0.0]))
    assert set(age) == {"average age", "peak age"} and worse["average age"] > age["average age"]


def test_samples_without_a_label_are_left_out():
    raw = {"digit@1": torch.zeros(3, 2), "digit@2": torch.zeros(3, 2)}
    kept = RoundPredictions.of(raw, {"digit@1": torch.tensor([1, -1, 0])})
    assert kept.logits.shape == (2, 2, 2) and kept.labels.tolist() == [1, 0]
    with pytest.raises(UmbelError, match="no sample of a split has a label"):
        RoundPredictions.of(raw, {"digit@1": torch.full((3,), -1)})


def test_temperatures_are_fitted_round_by_round_over_all_that_is_given():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (4000,), generator=generator)
    true = torch.nn.functional.one_hot(labels, 2) * 2.0 - 1.0
    noisy = true + 2.0 * torch.randn(4000, 2, generator=generator)
    calibrated = noisy * 2 / 2.0**2  # log-likelihood ratio of means 1 and -1 in noise of deviation 2
    both = RoundPredictions(torch.stack([3 * calibrated, calibrated]), labels)
    halves = [RoundPredictions(both.logits[:, part], labels[part]) for part in (slice(0, 2000), slice(2000, None))]
    assert fit_temperatures(halves) == pytest.approx([3.0, 1.0], rel=0.15)
    assert fit_temperatures(halves) == pytest.approx(fit_temperatures([both]))


def test_bins_hold_every_sample_once():
    bins = SURE.reliability(1, calibrated=False)
    assert sum(bins["part"]) == pytest.approx(1.0)
    assert sum(p * a for p, a in zip(bins["part"], bins["accuracy"], strict=True)) == pytest.approx(0.75)
