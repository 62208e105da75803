"""Intervals: they cover as often as they say, and days that are alike count once."""

import numpy as np
import pytest

from umbel.power_flow import Estimates
from umbel.power_flow.intervals import Resampling, wilson

DAYS, ROWS = 40, 24  # rows of a day


def sample(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Values [rows, 2] whose mean moves from day to day more than within one, and their days in mixed order."""
    generator = np.random.default_rng(seed)
    day = generator.permutation(np.repeat(np.arange(DAYS), ROWS))
    of_day = generator.standard_normal((DAYS, 2))
    return of_day[day] + 0.3 * generator.standard_normal((len(day), 2)), day


def covers(estimates, truth) -> np.ndarray:
    return (estimates.low <= truth) & (truth <= estimates.high)


def test_intervals_by_days_cover_and_those_by_rows_do_not():
    spread = np.hypot(1, 0.3)
    by_days, by_rows = np.zeros(4), np.zeros(4)
    for seed in range(60):
        values, day = sample(seed)
        for kept, given in ((by_days, day), (by_rows, None)):
            resampling = Resampling(len(values), given)
            mean, std = resampling.moments(values)
            quantiles = resampling.quantiles(values, (0.95,))
            above = resampling.probability((values > 0).astype(float))
            truths = ((mean, 0), (std, spread), (quantiles, 1.645 * spread), (above, 0.5))
            kept += [covers(estimates, truth).mean() / 60 for estimates, truth in truths]
    assert by_days.min() > 0.85  # 0.95, but for few days and 120 trials
    assert by_rows.max() < 0.6


def test_without_days_the_textbook_holds():
    values = np.random.default_rng(0).standard_normal((4000, 3))
    mean, std = Resampling(4000).moments(values)
    np.testing.assert_allclose(mean.high - mean.value, 1.96 * values.std(0) / np.sqrt(4000), rtol=1e-3)
    np.testing.assert_allclose(std.high - std.value, 1.96 / np.sqrt(2 * 4000), rtol=0.1)  # of a normal distribution
    np.testing.assert_allclose(
        Resampling(4000).quantiles(values, (0.05, 0.5)).value, np.quantile(values, (0.05, 0.5), axis=0), rtol=1e-12
    )


def test_the_order_of_rows_does_not_matter():
    values, day = sample(1)
    order = np.random.default_rng(2).permutation(len(day))
    one, other = (Resampling(len(day), d).moments(v)[0] for v, d in ((values, day), (values[order], day[order])))
    np.testing.assert_allclose(one.low, other.low, rtol=1e-9)


def test_what_was_never_seen_is_as_uncertain_as_the_days_are_few():
    values, day = sample(0)
    never = Resampling(len(day), day).probability(np.zeros_like(values))
    assert (never.value == 0).all() and (never.low == 0).all()
    np.testing.assert_allclose(never.high, wilson(np.zeros(2), np.full(2, DAYS)).high)
    np.testing.assert_allclose(never.high, 3.84 / (DAYS + 3.84), rtol=1e-2)


def test_one_day_gives_no_interval_of_a_mean():
    resampling = Resampling(24, np.zeros(24, int))
    mean, std = resampling.moments(np.random.default_rng(0).random((24, 2)))
    assert np.isnan([mean.low, mean.high, std.low, std.high]).all() and np.isfinite(mean.value).all()
    assert "1 whole day " in resampling.note


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_wilson_holds_where_the_normal_interval_fails(share):
    ends = wilson(np.array([share]), np.array([50]))
    assert isinstance(ends, Estimates)
    assert 0 <= ends.low[0] <= share <= ends.high[0] <= 1 and ends.high[0] - ends.low[0] > 0.05
