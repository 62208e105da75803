"""The exact engines against the tasks' gradients written out by hand, for every plan, on networks of every shape."""

import pytest
from gramian_cases import (
    ENCODERS,
    HOOKS,
    LEARNERS,
    PLANS,
    assert_same,
    by_hand,
    conv,
    force,
    make_batch,
    make_learner,
    residual,
    step,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
]


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_are_what_is_written_out_by_hand(name):
    expected = by_hand(make_learner(ENCODERS[name]), make_batch())
    assert_same(step(make_learner(ENCODERS[name]), make_batch(), "rows"), expected)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", ENCODERS)
def test_the_mixture_is_exact_for_every_plan(name, plan, monkeypatch):
    force(monkeypatch, plan)
    expected = by_hand(make_learner(ENCODERS[name]), make_batch())
    assert_same(step(make_learner(ENCODERS[name]), make_batch(), "ghost"), expected)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", LEARNERS)
def test_learners_of_every_kind(name, plan, monkeypatch):
    force(monkeypatch, plan)
    batch = make_batch(7, count=6)
    expected = by_hand(LEARNERS[name](), batch)
    for engine in ("rows", "ghost") if plan == "as counted" else ("ghost",):
        assert_same(step(LEARNERS[name](), batch, engine), expected)


def hooked(name: str, make):
    learner = make_learner(make)
    HOOKS[name](learner)
    return learner


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("make", [conv, residual])
def test_hooks_of_users_act_once(make, name, plan, monkeypatch):
    force(monkeypatch, plan)
    batch = make_batch()
    expected = by_hand(hooked(name, make), batch)
    assert_same(step(hooked(name, make), batch, "ghost"), expected)
