"""The search equals the plain one over every configuration, on tables with ties and without any monotony."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from table_examples import PREFERENCES, every_configuration, table_of, tables

from umbel.core import UmbelError
from umbel.search import Budget, ConfigurationTable, TaskMetric, labels, search


def draw_question(data, table, preference=PREFERENCES):
    """A budget, often exactly the cost of some configuration, and preferences, often equal or 0."""
    values = data.draw(st.lists(preference, min_size=len(table.tasks), max_size=len(table.tasks)))
    assume(any(values))
    preferences = dict(zip(table.tasks, values, strict=True))
    kind, ordered = table.kinds[0], data.draw(st.booleans())
    configurations = every_configuration(table, kind, preferences, ordered)
    amount = data.draw(st.sampled_from(sorted({float(c[0]) for c in configurations})) | st.floats(0.01, 30))
    assume(amount > 0)
    return Budget(amount, kind), preferences, ordered, configurations


def cost_of(choice, table) -> Fraction:
    """The exact cost of the widths that a choice names."""
    encoder = table.encoder_widths.index(choice.point["width"])
    total = Fraction(float(table.encoder_costs[choice.kind][encoder]))
    for i, task in enumerate(table.tasks):
        head = table.head_widths.index(choice.point["head_widths"][task])
        total += Fraction(float(table.head_costs[choice.kind][i, encoder, head]))
    return total


@settings(max_examples=150, deadline=None)
@given(table=tables(), data=st.data())
def test_equals_the_search_over_everything(table, data):
    budget, preferences, ordered, configurations = draw_question(data, table)
    within = [c for c in configurations if c[0] <= budget.amount]
    if not within:
        least = float(min(c[0] for c in configurations))
        with pytest.raises(UmbelError, match="nothing fits") as caught:
            search(table, budget, preferences, ordered=ordered)
        shown = str(caught.value).split("smallest possible is ")[1].split(" ")[0]
        assert float(shown) == pytest.approx(least, rel=1e-3)
        return
    choice = search(table, budget, preferences, ordered=ordered)
    best = max(c[1] for c in within)
    assert choice.value == pytest.approx(best, abs=1e-9)
    assert choice.gap == 0
    assert cost_of(choice, table) == Fraction(choice.cost[choice.kind]) <= Fraction(budget.amount)
    assert choice.slack == budget.amount - choice.cost[choice.kind] >= 0
    chosen = [table.head_widths.index(w) for w in choice.point["head_widths"].values()]
    assert any(list(c[3]) == chosen and c[1] == pytest.approx(best, abs=1e-9) for c in within)  # keeps the order


@settings(max_examples=60, deadline=None)
@given(table=tables(exact=True), data=st.data())
def test_among_equal_values_the_cheapest(table, data):
    exact = st.sampled_from([0.0, 1.0, 2.0, 4.0])
    budget, preferences, ordered, configurations = draw_question(data, table, exact)
    within = [c for c in configurations if c[0] <= budget.amount]
    assume(within)
    choice = search(table, budget, preferences, ordered=ordered)
    best = max(c[1] for c in within)
    assert choice.cost[choice.kind] == min(c[0] for c in within if c[1] == pytest.approx(best, abs=1e-12))


@settings(max_examples=60, deadline=None)
@given(table=tables(), data=st.data())
def test_few_labels_at_first_change_nothing(table, data):
    # Tables this small are never cut at the usual sizes; here nearly every pass is, and prunes the next one.
    budget, preferences, ordered, configurations = draw_question(data, table)
    within = [c for c in configurations if c[0] <= budget.amount]
    assume(within)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "BEAMS", (1, 2, 3, 10_000))
        choice = search(table, budget, preferences, ordered=ordered)
    assert choice.value == pytest.approx(max(c[1] for c in within), abs=1e-9)
    assert choice.gap == 0


def test_a_search_that_is_cut_short_says_how_far_off_it_may_be(monkeypatch):
    cut_short = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        shape = (6, 3, 4)
        table = table_of(
            generator.uniform(0.5, 1, shape), [5, 3, 4], generator.integers(1, 99, shape), metrics=None, kind="bytes"
        )
        best = search(table, "150B", ordered=False)
        with monkeypatch.context() as patch:
            patch.setattr(labels, "BEAMS", (2,))
            choice = search(table, "150B", ordered=False)
        assert choice.cost["bytes"] <= 150
        assert choice.value <= best.value <= choice.value + choice.gap + 1e-12
        cut_short += choice.value < best.value - 1e-9
    assert cut_short >= 3


@settings(max_examples=60, deadline=None)
@given(table=tables(), data=st.data())
def test_more_budget_is_never_worse(table, data):
    budget, preferences, ordered, configurations = draw_question(data, table)
    assume(any(c[0] <= budget.amount for c in configurations))
    more = Budget(budget.amount * data.draw(st.floats(1, 3)), budget.kind)
    small, large = (search(table, b, preferences, ordered=ordered) for b in (budget, more))
    assert large.value >= small.value - 1e-12


@settings(max_examples=60, deadline=None)
@given(table=tables(), data=st.data(), factor=st.floats(1e-3, 1e3))
def test_only_ratios_of_preferences_count(table, data, factor):
    budget, preferences, ordered, configurations = draw_question(data, table)
    assume(any(c[0] <= budget.amount for c in configurations))
    scaled = {task: factor * value for task, value in preferences.items()}
    one, other = (search(table, budget, p, ordered=ordered) for p in (preferences, scaled))
    assert one.point == other.point
    assert one.value == other.value


def test_preferences_that_differ_by_rounding_are_equal():
    # 0.1 + 0.2 > 0.3 in floating point; that must not put the two tasks in order.
    table = table_of([[[0.99, 1.0]], [[0.2, 1.0]]], [1], [[[1, 2]], [[1, 2]]])
    choice = search(table, "4MACs", {"task0": 0.1 + 0.2, "task1": 0.3})
    assert choice.point["head_widths"] == {"task0": 0.5, "task1": 1.0}


def test_small_differences_of_quality_count():
    table = table_of([[[0.5, 0.5 + 1e-12, 0.5, 1.0]]], [1], [[[1, 1, 1, 9]]])
    assert search(table, "5MACs").point["head_widths"] == {"task0": 0.5}


def test_tasks_that_are_alike_do_not_multiply_the_work():
    # 4^30 configurations, but only as many fronts as there are sums.
    table = table_of([[[0.1, 0.5, 0.9, 1.0]]] * 30, [1], [[[1, 2, 3, 4]]] * 30)
    choice = search(table, "80MACs", ordered=False)
    assert (choice.gap, choice.cost) == (0, {"macs": 80.0})  # 49 steps beyond the 30 narrowest, of 0.4 each
    assert choice.value == pytest.approx(-0.9 + 49 * 0.4 / 30)


def test_the_order_rule_binds_and_can_be_left_out():
    # The second task gains most by width, but the first is preferred: ordered, both must be wide or both narrow.
    quality = [[[0.99, 1.0]], [[0.2, 1.0]]]
    table = table_of(quality, [1], [[[1, 2]], [[1, 2]]])
    asked = {"task0": 2.0, "task1": 1.0}
    assert search(table, "4MACs", asked, ordered=False).point["head_widths"] == {"task0": 0.5, "task1": 1.0}
    assert search(table, "4MACs", asked).point["head_widths"] == {"task0": 1.0, "task1": 0.5}
    alike = search(table, "4MACs").point["head_widths"]
    assert alike == {"task0": 0.5, "task1": 1.0}  # equal preferences have no order


def test_a_task_that_does_not_count_gets_the_cheapest_head():
    table = table_of([[[0.5, 1.0]], [[0.5, 1.0]]], [1], [[[1, 2]], [[1, 2]]])
    choice = search(table, "100MACs", "task1=0")
    assert choice.point.as_dict() == {"width": 1.0, "head_widths": {"task0": 1.0, "task1": 0.5}}
    assert choice.cost == {"macs": 4.0}


def test_lower_is_better_and_scales_of_tasks_do_not_matter():
    # An error of 100 +- 10 % weighs as much as an accuracy of 0.5 +- 10 %, and goes the other way.
    metrics = {"task0": TaskMetric("error", False), "task1": TaskMetric("accuracy")}
    quality = [[[120.0, 100.0]], [[0.45, 0.5]]]
    table = table_of(quality, [1], [[[1, 2]], [[1, 2]]], metrics=metrics)
    choice = search(table, "4MACs")
    assert choice.point["head_widths"] == {"task0": 1.0, "task1": 0.5}  # loses 10 %, not 20 %
    assert choice.quality == {"task0": 100.0, "task1": 0.45}
    assert choice.relative == pytest.approx({"task0": 0.0, "task1": -0.1})
    assert choice.value == pytest.approx(-0.05)


def test_a_full_metric_of_zero_does_not_divide():
    table = table_of([[[-3.0, 0.0]]], [1], [[[1, 2]]])
    assert search(table, "2MACs").relative == {"task0": -1.0}


def test_budgets_in_latency_are_met_to_the_last_bit():
    # 0.1 + 0.2 > 0.3 in floating point: the limit is compared with exact sums.
    heads = [[[0.1, 0.2]], [[0.2, 0.4]]]
    table = table_of([[[0.5, 1.0]], [[0.5, 1.0]]], [0.1], heads, "latency_ms")
    first = search(table, "0.5ms")
    assert search(table, Budget(first.cost["latency_ms"], "latency_ms")).point == first.point
    below = np.nextafter(first.cost["latency_ms"], 0)
    assert search(table, Budget(float(below), "latency_ms")).point != first.point


def test_an_impossible_budget_tells_the_smallest_possible():
    table = table_of([[[0.5, 1.0]] * 2] * 2, [3, 2], [[[5, 1]] * 2, [[2, 6]] * 2])
    with pytest.raises(UmbelError) as caught:
        search(table, "4MACs", "task0=3", ordered=True)
    text = "nothing fits a budget of 4 MACs; the smallest possible is 5 MACs (encoder 1, task0 1, task1 0.5)"
    assert str(caught.value) == text
    with pytest.raises(UmbelError, match=r"is 9 MACs \(encoder 1, every head 0\.5\)"):
        search(table, "4MACs", "task1=3")  # now task1 may not be narrower, and 5 + 2 is the least


def test_latency_of_another_machine_is_refused():
    table = table_of([[[0.5, 1.0]]], [1], [[[1, 2]]], "latency_ms")
    assert search(table, "9ms", machine="this machine").cost == {"latency_ms": 3.0}
    with pytest.raises(UmbelError, match="measured on 'this machine', this is 'a laptop'; calibrate here"):
        search(table, "9ms", machine="a laptop")


def test_the_full_size_of_the_issue():
    # 8 encoder widths, 8 head widths, 20 tasks. The time is shown (pytest -s), not asserted: benchmarks/search_time.py.
    generator = np.random.default_rng(0)
    widths = np.arange(1, 9) / 8
    names = [f"task{i}" for i in range(20)]
    loss = generator.uniform(0.1, 0.3, (20, 1, 1)) * np.exp(-3 * widths)
    quality = 0.8 - loss - 0.2 * np.exp(-3 * widths)[:, None] + generator.normal(0, 0.005, (20, 8, 8))
    heads = generator.uniform(0.05, 0.1, (20, 1, 1)) * widths[:, None] * (0.2 + widths)
    metrics = {name: TaskMetric("accuracy") for name in names}
    encoder = {"latency_ms": 2 * widths**1.5}
    table = ConfigurationTable(widths, widths, names, metrics, quality, encoder, {"latency_ms": heads}, "here")
    preferences = dict(zip(names, generator.permutation(20) + 1.0, strict=True))
    choice = search(table, "40%", preferences)
    ranked = sorted(names, key=preferences.get)
    given_widths = [choice.point["head_widths"][name] for name in ranked]
    assert given_widths == sorted(given_widths)
    assert choice.gap == 0
    assert choice.slack >= 0
    assert search(table, "40%", preferences, ordered=False).value >= choice.value
    print(f"exact search, 8 x 8 widths and 20 tasks: {1e3 * choice.seconds:.1f} ms")
