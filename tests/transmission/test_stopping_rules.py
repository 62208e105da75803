"""Stopping rules on made-up confidences: who stops when, what it costs, what feedback's errors do."""

import itertools
import math

import pytest
import torch

from umbel.core import UmbelError
from umbel.transmission import (
    at_stop,
    candidate_thresholds,
    check_feedback,
    check_thresholds,
    choose_thresholds,
    confidence_of,
    delay_of,
    escalation,
    feedback_flips,
    independent_stop,
    stop_round,
    threshold_at_delay,
)

SURE = torch.tensor([[0.9, 0.5, 0.2], [0.4, 0.8, 0.3], [0.9, 0.9, 0.9]])
"""Three rounds of three samples: the first is content at once, the second after round 2, the third never."""


def informative(samples=4000, rounds=3):
    """Confidences in (0, 1) that rise over the rounds, and decisions that are right so often."""
    generator = torch.Generator().manual_seed(1)
    steps = torch.rand(rounds, samples, generator=generator)
    confidence = 1 - torch.cumprod(steps, 0)
    return confidence, torch.rand(rounds, samples, generator=generator) < confidence


def test_a_sample_stops_at_the_first_round_that_is_sure_enough():
    assert stop_round(SURE, 0.7).tolist() == [1, 2, 3]
    assert stop_round(SURE, [0.95, 0.7]).tolist() == [3, 2, 3]
    assert stop_round(SURE, 0.9).tolist() == [1, 3, 3], "reaching the threshold is enough"


def test_delay_counts_rounds_and_messages():
    stop = torch.tensor([1, 2, 3])
    assert delay_of(stop, [2, 4, 8]).tolist() == [2, 6, 14]
    # After round 1 one message, after round 2 another; after the last round nothing is asked.
    assert delay_of(stop, [2, 4, 8], feedback_uses=0.5).tolist() == [2.5, 7, 15]


def test_flips_turn_every_message_round():
    none, all_wrong = torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)
    assert stop_round(SURE, 0.7, none).tolist() == [1, 2, 3]
    # Content ones are sent one more round; those that asked are left with what they have.
    assert stop_round(SURE, 0.7, all_wrong).tolist() == [2, 1, 1]


def test_flips_come_as_often_as_they_should():
    flips = feedback_flips(3, 20000, 0.2, torch.Generator().manual_seed(0))
    assert flips.shape == (2, 20000)
    assert flips.float().mean(1).tolist() == pytest.approx([0.2, 0.2], abs=0.01)
    assert not feedback_flips(3, 100, 0.0).any()


def test_feedback_that_is_pure_noise_is_random_escalation():
    """At error 1/2 the receiver's wish is lost: accuracy is that of rounds drawn at random."""
    confidence, correct = informative(60000)
    stop = stop_round(confidence, 0.6, feedback_flips(3, 60000, 0.5, torch.Generator().manual_seed(2)))
    assert escalation(stop, 3) == pytest.approx([0.5, 0.25], abs=0.01)
    drawn = independent_stop(correct, stop).mean().item()
    assert at_stop(correct, stop).double().mean().item() == pytest.approx(drawn, abs=0.01)


def test_independent_stop_is_the_mean_over_shuffled_stops():
    confidence, correct = informative()
    stop = stop_round(confidence, 0.7)
    generator = torch.Generator().manual_seed(0)
    shuffled = [stop[torch.randperm(len(stop), generator=generator)] for _ in range(200)]
    seen = torch.stack([at_stop(correct, one).double().mean() for one in shuffled]).mean().item()
    assert independent_stop(correct, stop).mean().item() == pytest.approx(seen, abs=2e-3)


def test_informative_confidence_beats_stopping_at_random():
    confidence, correct = informative()
    stop = stop_round(confidence, 0.7)
    assert at_stop(correct, stop).double().mean() > independent_stop(correct, stop).mean() + 0.03


def test_confidence_is_the_largest_probability_at_each_temperature():
    logits = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]])
    found = confidence_of(logits, [1.0, 2.0])
    assert found[:, 0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))])
    assert confidence_of(logits).dtype == torch.float64


def test_larger_thresholds_take_longer():
    confidence, _ = informative()
    delays = [delay_of(stop_round(confidence, tau), [2, 4, 8]).mean() for tau in (0.1, 0.5, 0.9, 1.0)]
    assert delays == sorted(delays)
    assert delays[0] < 3
    assert delays[-1] > 13


def test_threshold_at_delay_hits_it():
    confidence, _ = informative()
    tau = threshold_at_delay(confidence, [2, 4, 8], 7.0)
    assert delay_of(stop_round(confidence, tau), [2, 4, 8]).mean() == pytest.approx(7.0, abs=0.15)


@pytest.mark.parametrize("wish", [{"least_accuracy": 0.8}, {"most_delay": 8.0}])
def test_chosen_thresholds_against_all_combinations(wish):
    """It need not find the best combination; on these samples it comes within 1 % of that of a grid."""
    confidence, correct = informative()
    uses = [2, 4, 8]

    def measured(thresholds):
        stop = stop_round(confidence, thresholds)
        return at_stop(correct, stop).double().mean().item(), delay_of(stop, uses).mean().item()

    chosen = choose_thresholds(confidence, correct, uses, **wish)
    common = choose_thresholds(confidence, correct, uses, per_round=False, **wish)
    grid = [measured(pair) for pair in itertools.product(candidate_thresholds(confidence, 20), repeat=2)]
    (accuracy, delay), (common_accuracy, common_delay) = measured(chosen), measured(common)
    assert len(set(common)) == 1
    if "least_accuracy" in wish:
        assert accuracy >= 0.8
        assert delay <= common_delay
        assert delay <= min(d for a, d in grid if a >= 0.8) * 1.01
    else:
        assert delay <= 8.0
        assert accuracy >= common_accuracy
        assert accuracy >= max(a for a, d in grid if d <= 8.0) - 0.01


def test_a_wish_that_cannot_be_met_is_met_as_well_as_can_be():
    confidence, correct = informative()
    chosen = choose_thresholds(confidence, correct, [2, 4, 8], least_accuracy=1.0)
    best = at_stop(correct, stop_round(confidence, chosen)).double().mean()
    assert best >= correct[-1].double().mean()
    shortest = choose_thresholds(confidence, correct, [2, 4, 8], most_delay=0.5)
    assert delay_of(stop_round(confidence, shortest), [2, 4, 8]).mean() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: check_thresholds(0.0, 2), "above 0"),
        (lambda: check_thresholds(1.01, 2), "at most 1"),
        (lambda: check_thresholds(float("nan"), 2), "above 0"),
        (lambda: check_thresholds([0.5], 3), "2 thresholds"),
        (lambda: check_feedback(error=0.6), "0 to 0.5"),
        (lambda: check_feedback(error=float("nan")), "0 to 0.5"),
        (lambda: check_feedback(uses=-1), "at least 0"),
        (lambda: stop_round(SURE[0], 0.5), "rounds, samples"),
        (lambda: stop_round(SURE, 0.5, torch.zeros(3, 3, dtype=torch.bool)), "flips"),
        (lambda: delay_of(torch.tensor([3]), [2, 4]), "there are 2"),
        (lambda: confidence_of(SURE), "rounds, samples, classes"),
        (lambda: confidence_of(torch.zeros(2, 3, 4), [1.0, 0.0]), "positive temperatures"),
        (lambda: candidate_thresholds(SURE[:1]), "2 or more rounds"),
        (lambda: choose_thresholds(SURE, SURE > 0, [1, 2, 3]), "one of the two"),
        (lambda: choose_thresholds(SURE, SURE[:2] > 0, [1, 2, 3], most_delay=3), "differ"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(UmbelError, match=says):
        call()
