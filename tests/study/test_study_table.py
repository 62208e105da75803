"""Numbers read off runs: paired by repeat, never mixed, never silently fewer than were run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.core import UmbelError
from umbel.report import Run
from umbel.study import Table, Values, average, chart, claim, least, line

NUMBERS = st.dictionaries(st.integers(0, 5), st.floats(-10, 10), min_size=1)


def run(arm, repeat, value, validation=None, **point):
    checked = {"digit": {"accuracy": validation}} if validation is not None else {}
    return Run(arm, repeat, {"digit": {"accuracy": value, "delay": 10 * value}}, point, checked)


RUNS = [run("a", r, 0.5 + 0.1 * r, 0.4, snr_db=snr) for r in range(3) for snr in (0.0, 5)]
RUNS += [run("b", r, 0.4, snr_db=0.0) for r in range(2)]
TABLE = Table(RUNS)


def test_values_are_looked_up_by_place_metric_and_split():
    assert dict(TABLE("a", snr_db=5.0)) == {0: 0.5, 1: 0.6, 2: 0.7}
    assert dict(TABLE.at(snr_db=0)("a", "delay")) == pytest.approx({0: 5.0, 1: 6.0, 2: 7.0})
    assert dict(TABLE.at(snr_db=0)("a", split="validation")) == {0: 0.4, 1: 0.4, 2: 0.4}
    assert TABLE.arms == ("a", "b") and TABLE.repeats == (0, 1, 2)


def test_a_place_that_was_not_measured_is_not_a_number_and_an_arm_without_runs_has_none():
    assert all(map(math.isnan, TABLE("b", snr_db=5.0).values())) and len(TABLE("b", snr_db=5.0)) == 2
    assert len(TABLE("c")) == 0 and not TABLE("c").estimate.known
    assert not TABLE("b", snr_db=5.0).estimate.known
    missing = Table([*RUNS, run("b", 2, 0.4, snr_db=5.0)]).at(snr_db=0.0)("b")
    assert math.isnan(missing[2]), "a repeat without this place must not be left out silently"


def test_a_value_left_open_is_an_error_that_names_it():
    with pytest.raises(UmbelError, match="several of one repeat; also say snr_db"):
        TABLE("a")
    assert dict(Table([run("a", 0, 0.1), run("a", 0, 0.2, weight=1.0)])("a", weight=None)) == {0: 0.1}


def test_differences_are_taken_repeat_by_repeat():
    at = TABLE.at(snr_db=0.0)
    gain = 100 * (at("a") - at("b"))
    assert dict(gain) == pytest.approx({0: 10.0, 1: 20.0})  # b has no third repeat
    estimate = gain.estimate
    assert (estimate.mean, estimate.count) == (pytest.approx(15.0), 2)
    assert estimate.half_width == pytest.approx(12.706 * 5.0)


def test_what_is_measured_once_is_compared_with_every_repeat():
    bound = Table([*RUNS, run("bound", 0, 0.9, snr_db=0.0)]).at(snr_db=0.0)
    gap = bound("a") - bound("bound").constant
    assert dict(gap) == pytest.approx({0: -0.4, 1: -0.3, 2: -0.2})
    assert math.isnan(bound("nobody").constant)
    with pytest.raises(UmbelError, match="3 repeats have a number each"):
        _ = bound("a").constant


def test_numbers_over_one_value_of_the_place():
    curve = TABLE.over("a", "snr_db")
    assert list(curve) == [0.0, 5.0] and dict(curve[5.0]) == {0: 0.5, 1: 0.6, 2: 0.7}
    assert TABLE.over("b", "snr_db", "accuracy", task="digit").keys() == {0.0}
    assert TABLE.over("a", "snr_db", snr_db=5) == {5.0: curve[5.0]}
    assert TABLE.over("a", "weight") == TABLE.over("nobody", "snr_db") == {}


def test_a_line_of_what_was_not_measured_is_none():
    for arm, metric, where in (("nobody", "accuracy", {}), ("a", "F1", {}), ("b", "accuracy", {"snr_db": 5.0})):
        assert TABLE.series(arm, "snr_db", metric, task="digit", **where) is None


@given(NUMBERS, NUMBERS, st.floats(-3, 3))
def test_arithmetic_is_that_of_numbers(first, second, factor):
    one, two = Values(first), Values(second)
    both = first.keys() & second.keys()
    for result, function in (
        (one + two, lambda a, b: a + b),
        (one - two, lambda a, b: a - b),
        (one * two, lambda a, b: a * b),
        (average([one, two]), lambda a, b: (a + b) / 2),
        (least([one, two]), min),
    ):
        assert dict(result) == {r: function(first[r], second[r]) for r in both}
    assert dict(factor * one) == {r: factor * v for r, v in first.items()} == dict(one * factor)
    assert dict(1 - one) == {r: 1 - v for r, v in first.items()} and dict(-one) == {r: -v for r, v in first.items()}


def test_what_is_not_a_number_stays_so():
    bad = Values({0: math.nan, 1: 1.0})
    assert math.isnan(least([bad, Values({0: 1.0, 1: 2.0})])[0])
    assert not (bad + 1).estimate.known
    assert math.isnan((Values({0: 1.0}) / Values({0: 0.0}))[0])


def test_claims_take_one_bar():
    values = Values({0: 1.0, 1: 1.1, 2: 1.2})
    assert claim("n", "s", values, at_least=0.5).state == "shown"
    assert claim("n", "s", values, below=0.5).state == "refuted"
    assert claim("n", "s", values, at_least=1.1).state == "not shown"
    assert claim("n", "s", Values({}), at_least=1.1).doubt == "an arm or a place that it compares was not measured"
    assert claim("n", "s", values, at_least=1.1, reason="no scales").value is None
    for bars in ({}, {"above": 1.0, "below": 2.0}):
        with pytest.raises(UmbelError, match="exactly one"):
            claim("n", "s", values, **bars)


def test_lines_leave_out_what_was_not_measured():
    drawn = line("l", {2: Values({0: 1.0, 1: 3.0}), 1: Values({})}, group="g")
    assert (drawn.x, drawn.y, drawn.group) == ((2.0,), (2.0,), "g") and drawn.half_width[0] == pytest.approx(12.706)
    assert line("l", {1: Values({})}) is None and line("l", {1: Values({0: math.nan})}) is None
    gap = line("l", {1: Values({0: 1.0, 1: math.nan}), 2: Values({0: math.nan, 1: math.nan}), 3: Values({0: 1.0})})
    assert gap.x == (1.0, 3.0) and math.isnan(gap.y[0]), "measured in no repeat: left out; in some: a gap"
    assert chart("t", "x", "y", [drawn, line("m", {1: Values({})})]).series == (drawn,)
    assert TABLE.at().series("a", "snr_db", "accuracy", task="digit").y == pytest.approx((0.6, 0.6))
