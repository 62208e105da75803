"""The simple rules keep the budget and never beat the exact search."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from table_examples import PREFERENCES, table_of, tables

from umbel.core import UmbelError
from umbel.search import Budget, Choice, equal_widths, proportional_rule, search


@settings(max_examples=80, deadline=None)
@given(table=tables(), data=st.data(), amount=st.floats(1, 40))
def test_rules_keep_the_budget_and_are_never_better(table, data, amount):
    values = data.draw(st.lists(PREFERENCES, min_size=len(table.tasks), max_size=len(table.tasks)))
    assume(any(values))
    preferences, budget = dict(zip(table.tasks, values, strict=True)), Budget(amount, table.kinds[0])
    for rule in (proportional_rule, equal_widths):
        try:
            choice = rule(table, budget, preferences)
        except UmbelError as error:
            assert str(error).startswith("nothing fits")
            continue
        assert isinstance(choice, Choice)
        assert choice.cost[choice.kind] <= amount
        assert search(table, budget, preferences).value >= choice.value - 1e-9


def four_widths(encoder=(1, 2, 3, 4)):
    growing = [[[0.1, 0.2, 0.3, 0.4]] * len(encoder)] * 2
    return table_of(growing, encoder, [[[1, 2, 3, 4]] * len(encoder)] * 2)


def test_heads_in_proportion_to_preferences():
    choice = proportional_rule(four_widths(), "1MMACs", "task0=3,task1=1")
    assert choice.point.as_dict() == {"width": 0.25, "head_widths": {"task0": 1.0, "task1": 0.5}}  # all encoders alike
    nothing = proportional_rule(four_widths(), "1MMACs", "task0=3,task1=0")
    assert nothing.point["head_widths"] == {"task0": 1.0, "task1": 0.25}


def test_heads_shrink_together_until_the_encoder_has_its_share():
    # 6 MACs, half of them for the encoder: the heads may cost 3 in all, so 1 + 1 or 2 + 1.
    choice = proportional_rule(four_widths(), "6MACs", "task0=4,task1=1")
    assert choice.point["head_widths"] == {"task0": 0.5, "task1": 0.25}
    greedy = proportional_rule(four_widths(), "6MACs", "task0=4,task1=1", encoder_share=0.0)
    assert greedy.point["head_widths"] == {"task0": 0.75, "task1": 0.5}  # 5 of 6 MACs; 4 + 2 would leave none


def test_a_share_that_cannot_be_kept_is_given_up():
    choice = proportional_rule(four_widths(encoder=(1, 2)), "3MACs", encoder_share=0.9)
    assert choice.cost == {"macs": 3.0}


def test_equal_widths_are_equal():
    choice = equal_widths(four_widths(), "7MACs", "task0=9")
    assert choice.point["head_widths"] == {"task0": 0.75, "task1": 0.75}


def test_bad_questions_are_refused():
    with pytest.raises(UmbelError, match="nothing fits a budget of 2 MACs; the smallest possible is 3 MACs"):
        equal_widths(four_widths(), "2MACs")
    with pytest.raises(UmbelError, match="smallest possible is 3 MACs"):
        proportional_rule(four_widths(), "2MACs")
    with pytest.raises(UmbelError, match="encoder_share is 2"):
        proportional_rule(four_widths(), "2MACs", encoder_share=2)
