import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.core import UmbelError
from umbel.metrics import (
    as_loss,
    confidence_interval,
    mean_relative_improvement,
    relative_change,
    relative_improvement,
)

numbers = st.floats(-1e3, 1e3).filter(lambda x: abs(x) > 1e-3)


def test_delta_m_by_hand():
    # Accuracy from 0.80 to 0.84 is +5 %, an error from 10 to 11 is -10 %, one from 4 to 3 is +25 %: mean 20/3 %.
    found = mean_relative_improvement(
        {"digit": 0.84, "age": 11.0, "depth": 3.0},
        {"depth": 4.0, "digit": 0.80, "age": 10.0},
        {"digit": True, "age": False, "depth": False},
    )
    assert found == pytest.approx(20 / 3)


@given(numbers, numbers)
def test_positive_is_better_in_both_directions(value, reference):
    gain = relative_improvement(value, reference, higher_is_better=True)
    assert (gain > 0) == (value > reference)
    assert relative_improvement(value, reference, higher_is_better=False) == -gain
    assert relative_improvement(10 * value, 10 * reference, True) == pytest.approx(gain)


def test_a_loss_is_lower_where_a_metric_is_better():
    assert as_loss(0.75, higher_is_better=True) == 0.25
    assert as_loss(3.5, higher_is_better=False) == 3.5
    with pytest.raises(UmbelError, match=r"28\.5, higher is better, is no part from 0 to 1"):
        as_loss(28.5, higher_is_better=True)


def test_a_reference_of_zero_is_refused():
    with pytest.raises(UmbelError, match="reference of 0"):
        relative_improvement(1.0, 0.0, True)


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(anything, anything, st.booleans())
def test_a_change_is_bounded_and_its_opposite_when_exchanged(value, other, higher):
    change = relative_change(value, other, higher)
    assert abs(change) <= 200 * (1 + 1e-12)
    assert change == -relative_change(other, value, higher)
    if not math.isnan(value) and not math.isnan(other):
        assert change == -relative_change(value, other, not higher)
        assert (change > 0) <= ((value > other) == higher)


def test_a_change_by_hand():
    assert relative_change(0.6, 0.4, True) == pytest.approx(40)
    assert relative_change(1.01, 1.0, False) == pytest.approx(-100 * math.log(1.01), rel=1e-4)
    assert [relative_change(0.58, 0.0, True), relative_change(0.0, 0.58, True), relative_change(0.0, 0.0, True)] == [
        pytest.approx(200),
        pytest.approx(-200),
        0,
    ]
    assert relative_change(1e308, -1e308, True) == pytest.approx(200)
    assert relative_change(math.nan, 0.1, False) == -200 and relative_change(math.nan, math.nan, True) == 0
    assert relative_change(math.inf, 40.0, True) == 200  # a perfect picture, in dB


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=31))
def test_interval_is_students(values):
    stats = pytest.importorskip("scipy.stats")
    import numpy as np

    mean, half = confidence_interval(values)
    wanted = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert mean == pytest.approx(np.mean(values), abs=1e-9)
    assert half == pytest.approx(wanted, rel=3e-4, abs=1e-9)


def test_interval_of_folds_is_nadeau_and_bengios():
    values, ratio = [1.0, 2.0, 4.0, 8.0, 10.0], 20 / 80
    variance = sum((v - 5.0) ** 2 for v in values) / 4
    mean, half = confidence_interval(values, ratio)
    assert (mean, half) == (5.0, pytest.approx(2.776 * math.sqrt((1 / 5 + ratio) * variance)))
    assert confidence_interval(values, 0.0) == confidence_interval(values)
    assert math.isnan(confidence_interval(values, math.nan)[1])
    with pytest.raises(UmbelError, match="samples tested by samples learnt from"):
        confidence_interval(values, -0.1)


def test_interval_of_one_value_is_unknown_and_of_many_is_normal():
    mean, half = confidence_interval([3.0])
    assert mean == 3.0 and math.isnan(half)
    _, half = confidence_interval([0.0, 1.0] * 50)
    assert half == pytest.approx(1.984 * math.sqrt(25 / 99) / 10, rel=0.02)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_leaves_no_interval(bad):
    mean, half_width = confidence_interval([1.0, bad, 2.0])
    assert math.isnan(mean) and math.isnan(half_width)
