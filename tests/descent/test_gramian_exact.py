"""The exact engines against the tasks' gradients written out by hand, for every plan, on networks of every shape."""

from functools import cache

import pytest
import torch
from gradsplit_cases import Checkpointed
from gramian_cases import (
    ENCODERS,
    FEW,
    PLANS,
    SEED,
    Noted,
    Result,
    assert_close,
    assert_same,
    by_hand,
    force,
    make_batch,
    make_learner,
    step,
)
from gramian_learners import (
    HOOKS,
    LEARNERS,
    Nothing,
    Penalised,
    conv,
    residual,
)
from torchjd import aggregation as tj
from torchjd.autojac import jac_to_grad, mtl_backward
from toys import POINT

from umbel.core import Batch, Learner, Losses, SingleProcess, UmbelError
from umbel.descent import Jacobian, make_descent

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing"),
]


@cache
def expected_of(cases: str, name: str) -> Result:
    """Written out by hand; once for all plans."""
    if cases == "encoder":
        return by_hand(make_learner(ENCODERS[name]), make_batch())
    return by_hand(LEARNERS[name](), make_batch(7, count=6))


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_are_what_is_written_out_by_hand(name):
    assert_same(step(make_learner(ENCODERS[name]), make_batch(), "rows"), expected_of("encoder", name))


@pytest.mark.parametrize("plan", ["as counted", *FEW])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_mixture_is_exact_for_every_plan(name, plan, monkeypatch):
    force(monkeypatch, plan)
    assert_same(step(make_learner(ENCODERS[name]), make_batch(), "ghost"), expected_of("encoder", name))


@pytest.mark.parametrize("name", LEARNERS)
def test_rows_of_learners_of_every_kind(name):
    assert_same(step(LEARNERS[name](), make_batch(7, count=6), "rows"), expected_of("learner", name))


@pytest.mark.parametrize("plan", ["as counted", *FEW])
@pytest.mark.parametrize("name", LEARNERS)
def test_learners_of_every_kind(name, plan, monkeypatch):
    force(monkeypatch, plan)
    assert_same(step(LEARNERS[name](), make_batch(7, count=6), "ghost"), expected_of("learner", name))


def hooked(name: str, make):
    learner = make_learner(make)
    HOOKS[name](learner)
    return learner


@pytest.mark.parametrize("plan", FEW)
@pytest.mark.parametrize(("make", "name"), [(conv if i % 2 else residual, name) for i, name in enumerate(HOOKS)])
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
    learner = make_learner(ENCODERS["summed"], kind=Penalised)
    before = step(learner, make_batch(), engine).gradients
    for parameter in learner.parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.5)
    for name, parameter in learner.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, 0.5 * before[name], msg=name)


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


def test_a_hook_that_comes_later_acts_once(monkeypatch):
    force(monkeypatch, "deltas, taught again")
    learner, descent = make_learner(residual), Jacobian(Noted(), engine="ghost")
    step(learner, make_batch(), descent=descent)
    HOOKS["of outputs"](learner)
    expected = by_hand(hooked("of outputs", residual), make_batch())
    for _ in range(2):
        assert_close(step(learner, make_batch(), descent=descent).gradients, expected.gradients)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_a_checkpoint_that_hides_its_parameters_is_refused(engine):
    learner = make_learner(lambda: Checkpointed(reentrant=True))
    learner.model.encoder.first.requires_grad_(False)  # nothing that is trained lies below the checkpoint
    batch = make_batch()
    batch.inputs.requires_grad_()  # as is advised for such checkpoints
    with pytest.raises(UmbelError, match="use_reentrant=False"):
        step(learner, batch, engine)


# ---- against TorchJD ----

AGGREGATORS = {
    "mean": tj.Mean,
    "mgda": tj.MGDA,
    "pcgrad": tj.PCGrad,
    "imtl-g": tj.IMTLG,
    "aligned": tj.AlignedMTL,
    "graddrop": tj.GradDrop,
}


@pytest.mark.parametrize("name", AGGREGATORS)
@pytest.mark.parametrize("make", [conv, ENCODERS["transformer"], ENCODERS["tied"]], ids=["conv", "transformer", "tied"])
def test_the_update_is_that_of_torchjd(make, name, monkeypatch):
    force(monkeypatch, "a part taught again")
    learner, other, batch = make_learner(make), make_learner(make), make_batch()
    found = step(learner, batch, aggregator=AGGREGATORS[name]())
    torch.manual_seed(SEED)
    features = other.model.encoder(batch.inputs)
    losses = list(other.task_losses(other.model.decode(features, POINT), batch).values())
    mtl_backward(losses, features=features, parallel_chunk_size=1)
    torch.manual_seed(0)  # from which draw those aggregators that do
    jac_to_grad(other.shared_parameters(), AGGREGATORS[name]())
    expected = {key: p.grad for key, p in other.named_parameters()}
    assert_close(found.gradients, expected)


# ---- compiled code, low precision, errors ----


@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_a_compiled_encoder(engine):
    batch = make_batch()
    learner, other = (make_learner(ENCODERS["residual, group norm"]) for _ in range(2))
    learner.model.encoder = torch.compile(learner.model.encoder, backend="aot_eager")
    found, expected = step(learner, batch, engine), step(other, batch, engine if engine == "features" else "rows")
    assert_close({name.replace("_orig_mod.", ""): value for name, value in found.gradients.items()}, expected.gradients)
    torch.testing.assert_close(found.gramian, expected.gramian, rtol=1e-10, atol=1e-12)


def low() -> SingleProcess:
    runtime = SingleProcess()
    runtime.autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    return runtime


@pytest.mark.parametrize("plan", FEW)
@pytest.mark.parametrize("name", ["residual, group norm", "batch norm", "transformer"])
def test_bf16_is_about_what_rows_in_bf16_give(name, plan, monkeypatch):
    force(monkeypatch, plan)
    batch = make_batch(count=8).map(lambda t: t.float())
    learner = make_learner(ENCODERS[name]).float()
    rows, ghost = (step(learner, batch, engine, runtime=low()) for engine in ("rows", "ghost"))
    full = by_hand(learner, batch)
    for one in (rows, ghost):
        assert (one.gramian.diagonal() / full.gramian.diagonal() - 1).abs().max() < 0.1
    assert (ghost.gramian.diagonal() / rows.gramian.diagonal() - 1).abs().max() < 0.03
    scale = torch.cat([v.flatten() for v in rows.gradients.values()]).norm()
    for key, value in ghost.gradients.items():
        assert value.dtype == torch.float32
        assert (value - rows.gradients[key]).norm() < 0.03 * scale, key


@pytest.mark.parametrize("engine", ["ghost", "sketched", "features"])
@pytest.mark.parametrize("name", ["one convolution", "batch norm", "transformer"])
@pytest.mark.parametrize("directions", [1, 64])
def test_a_model_that_is_bf16_itself(name, engine, directions):
    batch = make_batch(count=8)
    learner, low_one = make_learner(ENCODERS[name]), make_learner(ENCODERS[name]).bfloat16()
    found = step(low_one, batch.map(lambda t: t.bfloat16()), engine, directions=directions)
    full = step(learner, batch, engine, directions=directions)
    scale = torch.cat([v.flatten() for v in full.gradients.values()]).norm()
    for key, value in found.gradients.items():
        assert value.dtype == torch.bfloat16
        assert (value.double() - full.gradients[key]).norm() < 0.1 * scale, key


class Spoilt(Learner):
    """One task's gradient is infinite, its loss is not."""

    def losses(self, batch, point):
        own = super().losses(batch, point)
        features = self.model.encoder(batch.inputs)
        return Losses({**own, "t1": own["t1"] + (features - features).sum().abs().sqrt()})


@pytest.mark.parametrize(
    ("engine", "plan"),
    [("rows", "rows"), ("sketched", "rows"), ("features", "rows"), *(("ghost", plan) for plan in FEW)],
)
def test_a_gradient_that_is_not_finite_names_its_task(engine, plan, monkeypatch):
    force(monkeypatch, plan)
    learner = make_learner(ENCODERS["residual, group norm"], kind=Spoilt)
    before = {name: p.detach().clone() for name, p in learner.named_parameters()}
    with pytest.raises(UmbelError, match="task 't1' is not finite"):
        step(learner, make_batch(), engine)
    assert all(torch.equal(p, before[name]) for name, p in learner.named_parameters())
    assert all(p.grad is None for p in learner.shared_parameters())


def test_where_no_gradient_decides_the_bad_one_is_seen_too():
    learner = make_learner(ENCODERS["residual, group norm"], kind=Spoilt)
    with pytest.raises(UmbelError, match="says of which"):
        step(learner, make_batch(), aggregator=tj.Mean())
    with pytest.raises(UmbelError, match="task 't1' is not finite"):
        step(learner, make_batch(), "rows", aggregator=tj.Mean())


def without_labels(*names: str):
    batch = make_batch()
    return Batch(
        batch.inputs, {n: torch.full_like(t, torch.nan) if n in names else t for n, t in batch.targets.items()}
    )


@pytest.mark.parametrize("absent", [("t1",), ("t0", "t2"), ("t0", "t1", "t2")])
@pytest.mark.parametrize("plan", FEW)
def test_tasks_without_labels(absent, plan, monkeypatch):
    force(monkeypatch, plan)
    rows, ghost = (step(make_learner(residual), without_labels(*absent), engine) for engine in ("rows", "ghost"))
    if len(absent) < 3:
        assert_same(ghost, rows)
        assert len(ghost.gramian) == 3 - len(absent)
    assert all(value.norm() == 0 for value in ghost.gradients.values()) == (len(absent) == 3)


@pytest.mark.parametrize("engine", ["rows", "auto", "ghost", "sketched", "features"])
@pytest.mark.parametrize("name", ["upgrad", "mean-jacobian"])
def test_where_no_task_reaches_the_encoder_only_the_heads_are_taught(engine, name):
    learner = make_learner(conv, kind=Nothing)
    found = step(learner, make_batch(), descent=make_descent(name, engine=engine))
    expected = by_hand(make_learner(conv, kind=Nothing), make_batch(), weigh=lambda _: torch.ones(3))
    assert all(value is None for key, value in found.gradients.items() if "encoder" in key)
    assert_close(found.gradients, expected.gradients)
