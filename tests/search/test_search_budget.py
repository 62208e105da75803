"""Budgets and preferences as they are written."""

import pytest
from table_examples import table_of

from umbel.core import UmbelError
from umbel.search import Budget, complete_preferences, format_cost, parse_budget, parse_preferences


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("4ms", "latency_ms", 4.0),
        (" 0.5 s ", "latency_ms", 500.0),
        ("250us", "latency_ms", 0.25),
        ("50MFLOPs", "macs", 25e6),
        ("0.1MMACs", "macs", 1e5),
        ("3 gmacs", "macs", 3e9),
        ("1e3 MACs", "macs", 1e3),
        ("200KB", "bytes", 2e5),
        ("2KiB", "bytes", 2048.0),
        (".5MiB", "bytes", 524288.0),
        ("1.5Mparams", "parameters", 1.5e6),
        ("700 parameters", "parameters", 700.0),
    ],
)
def test_units(text, kind, amount):
    assert parse_budget(text) == Budget(amount, kind)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("4 parsecs", "unknown unit 'parsecs'; units: s, ms, us; MACs"),
        ("4", "'4' has no unit; units:"),
        ("ms", "write a number and a unit"),
        ("-4ms", "must be above 0"),
        ("0%", "must be above 0"),
        ("nan ms", "write a number"),
        ("30% love", "a percentage of 'love' is unknown; latency_ms, macs"),
        ("1e999ms", "too large"),
    ],
)
def test_bad_budgets_are_one_clear_line(text, line):
    with pytest.raises(UmbelError, match=line) as caught:
        parse_budget(text)
    assert "\n" not in str(caught.value)


def test_budgets_made_in_code_are_checked_too():
    for amount in (0.0, float("nan"), float("inf")):
        with pytest.raises(UmbelError, match=r"above 0|finite"):
            Budget(amount, "macs")
    with pytest.raises(UmbelError, match="did you mean 'macs'"):
        Budget(1.0, "mac")
    with pytest.raises(UmbelError, match="without a unit"):
        Budget(1.0)


def test_percent_is_of_the_full_configuration():
    macs = table_of([[[0.5, 1.0]]], [300], [[[50, 700]]])
    assert parse_budget("30%").limit(macs) == ("macs", 300.0)  # not 300.0000...4
    milliseconds = table_of([[[0.5, 1.0]]], [3], [[[0.5, 7]]], "latency_ms")
    assert parse_budget("30%").limit(milliseconds) == ("latency_ms", 3.0)
    assert parse_budget("50% of latency").limit(milliseconds) == ("latency_ms", 5.0)
    assert parse_budget("10% FLOPs").limit(macs) == ("macs", 100.0)
    with pytest.raises(UmbelError, match="has no 'macs'; it has latency_ms"):
        parse_budget("30% macs").limit(milliseconds)
    with pytest.raises(UmbelError, match=r"30% of what\? say 30% bytes"):
        parse_budget("30%").limit(table_of([[[0.5, 1.0]]], [3], [[[1, 7]]], "bytes"))
    with pytest.raises(UmbelError, match="has no 'bytes'"):
        parse_budget("4KB").limit(macs)


def test_preferences():
    tasks = ["depth", "seg", "normals"]
    assert parse_preferences("depth=2, seg=0.5", tasks) == {"depth": 2.0, "seg": 0.5, "normals": 1.0}
    assert parse_preferences("", tasks) == dict.fromkeys(tasks, 1.0)
    assert complete_preferences({"seg": 0}, tasks) == {"depth": 1.0, "seg": 0.0, "normals": 1.0}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("dept=2", "unknown task 'dept'; did you mean 'depth'"),
        ("depth=-1", "depth=-1: give 0 or more"),
        ("depth=nan", "give a finite number"),
        ("depth=0,seg=0", "every preference is 0"),
        ("depth", "write task=number, as in depth=2"),
        ("=2", "write task=number"),
        ("depth=much", "'much' is not a number"),
        ("depth=1,depth=2", "name 'depth' twice"),
    ],
)
def test_bad_preferences_are_one_clear_line(text, line):
    with pytest.raises(UmbelError, match=line) as caught:
        parse_preferences(text, ["depth", "seg"])
    assert "\n" not in str(caught.value)


def test_costs_are_shown_with_units():
    assert [format_cost("latency_ms", 3.25), format_cost("bytes", 2e5), format_cost("parameters", 12)] == [
        "3.25 ms",
        "200 KB",
        "12 params",
    ]
    for kind, amount in (("macs", 25e6), ("bytes", 2e5), ("latency_ms", 3.25), ("parameters", 1.5e6)):
        assert parse_budget(format_cost(kind, amount)) == Budget(amount, kind)  # what is shown can be asked for
