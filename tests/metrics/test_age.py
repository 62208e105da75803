"""The closed forms of the age of information against a clock that is run use by use."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.metrics import Age, age_of_information


def run_clock(delays, successes):
    """Average and peak age, by adding up the trapezoids between correct decisions."""
    now, renewed, area, peaks, began = 0.0, None, 0.0, [], 0.0
    for delay, success in zip(delays.tolist(), successes.tolist(), strict=True):
        taken, now = now, now + delay
        if not success:
            continue
        if renewed is None:
            began = now
        else:
            sample, last = renewed
            area += (now - last) * ((last - sample) + (now - sample)) / 2
            peaks.append(now - sample)
        renewed = (taken, now)
    return Age(area / (renewed[1] - began), sum(peaks) / len(peaks))


@pytest.mark.parametrize("kind", ["independent", "long attempts are right", "long attempts are wrong"])
def test_closed_form_is_what_a_clock_shows(kind):
    generator = torch.Generator().manual_seed(3)
    delays = torch.randint(2, 9, (120000,), generator=generator).double()
    part = {"independent": 0.6, "long attempts are right": delays / 10, "long attempts are wrong": 1 - delays / 10}
    successes = torch.rand(len(delays), generator=generator) < part[kind]
    found, clock = age_of_information(delays, successes), run_clock(delays, successes)
    assert found.average == pytest.approx(clock.average, rel=0.015)
    assert found.peak == pytest.approx(clock.peak, rel=0.015)


def test_without_errors_and_with_one_delay():
    """The age climbs from D to 2 D: mean 1.5 D, peak 2 D."""
    age = age_of_information(torch.full((10,), 4.0), torch.ones(10, dtype=torch.bool))
    assert age == pytest.approx((6.0, 8.0))


def test_one_delay_and_geometric_failures_by_hand():
    """X = D K with K geometric: E[X] = D/p, E[X^2] = D^2 (2 - p) / p^2."""
    success = torch.tensor([True, False, False, False])
    age = age_of_information(torch.full((4,), 3.0), success)
    assert age.peak == pytest.approx(3 + 3 / 0.25)
    assert age.average == pytest.approx(3 + 3 * (2 - 0.25) / (2 * 0.25))


def test_probabilities_are_means_over_draws():
    """A sample of attempts and the same attempts with their probability of success say the same."""
    generator = torch.Generator().manual_seed(0)
    delays = torch.tensor([2.0, 6.0]).repeat_interleave(100000)
    chance = torch.tensor([0.5, 0.9]).repeat_interleave(100000)
    drawn = torch.rand(len(chance), generator=generator) < chance
    assert age_of_information(delays, chance) == pytest.approx(age_of_information(delays, drawn), rel=0.01)


def test_never_right_is_infinitely_old():
    assert age_of_information(torch.ones(3), torch.zeros(3)) == (torch.inf, torch.inf)


@pytest.mark.parametrize(
    ("delay", "success", "says"),
    [
        (torch.ones(2), torch.ones(3), "give"),
        (torch.ones(0), torch.ones(0), "give"),
        (torch.zeros(2), torch.ones(2), "positive"),
        (torch.full((2,), torch.nan), torch.ones(2), "positive"),
        (torch.ones(2), torch.full((2,), 1.5), "probability"),
        (torch.ones(2), torch.full((2,), torch.nan), "probability"),
    ],
)
def test_bad_input(delay, success, says):
    with pytest.raises(UmbelError, match=says):
        age_of_information(delay, success)
