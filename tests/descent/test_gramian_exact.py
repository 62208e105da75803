"""The exact engines against the tasks' gradients written out by hand, for every plan, on networks of every shape."""

import pytest
import torch
from gradsplit_cases import Checkpointed
from gramian_cases import (
    ENCODERS,
    HOOKS,
    LEARNERS,
    PLANS,
    Noted,
    Penalised,
    assert_close,
    assert_same,
    by_hand,
    conv,
    force,
    make_batch,
    make_learner,
    residual,
    step,
)

from umbel.core import Losses, UmbelError
from umbel.descent import Jacobian

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


IN_PLACE = [("rows", "rows"), ("sketched", "rows"), ("features", "rows"), *(("ghost", plan) for plan in PLANS)]


@pytest.mark.parametrize(("engine", "plan"), IN_PLACE)
def test_gradients_may_be_changed_in_place(engine, plan, monkeypatch):
    """Autograd gives one tensor to two parameters that are added, and an expanded one where there is a sum."""
    force(monkeypatch, plan)
    kind = SomeSummed if engine == "features" else Penalised
    learner = make_learner(ENCODERS["summed"], kind=kind)
    before = step(learner, make_batch(), engine).gradients
    for parameter in learner.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.5)
    for name, parameter in learner.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, 0.5 * before[name], msg=name)


class SomeSummed(Penalised):
    """No loss of the encoder's own."""

    def losses(self, batch, point):
        every = super().losses(batch, point)
        return Losses({name: value for name, value in every.items() if name != "penalty"})


@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_buffers_of_gradients_that_are_zero_are_as_good_as_none(engine):
    learner, other = (make_learner(ENCODERS["unused"]) for _ in range(2))
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter)
    found = step(learner, make_batch(), engine, zero=False).gradients
    assert_close(found, step(other, make_batch(), engine).gradients, tolerance=0)


@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
@pytest.mark.parametrize("plan", ["as counted", "deltas, taught again"])
def test_nothing_is_left_of_one_step_in_the_next(engine, plan, monkeypatch):
    force(monkeypatch, plan)
    learner, other = (make_learner(ENCODERS["transformer"]) for _ in range(2))
    descent, noted = Jacobian(Noted(), engine=engine), Noted()
    step(learner, make_batch(count=6), descent=descent)
    batch = make_batch(count=3, seed=5)
    second = step(learner, batch, descent=descent)
    later = Jacobian(noted, engine=engine)
    later.steps += 1  # of which the directions depend
    assert_close(second.gradients, step(other, batch, descent=later).gradients, tolerance=0)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_a_checkpoint_that_hides_its_parameters_is_refused(engine):
    learner = make_learner(lambda: Checkpointed(reentrant=True))
    learner.model.encoder.first.requires_grad_(False)  # nothing that is trained lies below the checkpoint
    batch = make_batch()
    batch.inputs.requires_grad_()  # as is advised for such checkpoints
    with pytest.raises(UmbelError, match="use_reentrant=False"):
        step(learner, batch, engine)
