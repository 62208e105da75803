"""Jacobian descent through the whole path: missing labels, pieces, processes, precision, state, errors."""

import importlib
import sys
import warnings
from contextlib import nullcontext
from importlib.util import find_spec

import pytest
import torch
from torchjd import aggregation as tj
from toys import NAMES, POINT, Plane, TwoRanks, assert_same, batch, gradients, learner, train

from umbel.core import Batch, Learner, Losses, SingleProcess, UmbelError
from umbel.descent import DESCENTS, GramianWeighting, Jacobian, make_descent, option_names

OPTIONS = {"dp-sgd": {"expected_batch_size": 12, "noise_multiplier": 0.01}}  # which `fit` tells it otherwise
BY_NAME = [name for name, entry in DESCENTS.items() if entry.passes == "T"]
STATEFUL = ("gradvac",)
J2 = torch.tensor([[-4.0, 1, 1], [6, 1, 1]], dtype=torch.float64)


def unlabel(item: Batch, *names: str) -> Batch:
    return Batch(item.inputs, {n: torch.full_like(t, torch.nan) if n in names else t for n, t in item.targets.items()})


def written(name: str, taught, item, runtime=None) -> dict:
    descent = make_descent(name)
    descent.prepare(taught)
    taught.zero_grad()
    descent(taught, item, POINT, runtime or SingleProcess())
    return gradients(taught)


@pytest.mark.parametrize("name", [n for n in BY_NAME if n not in STATEFUL])
def test_a_task_without_labels_is_a_row_that_is_not_there(name):
    taught, item = learner(), batch()
    fewer = Learner(taught.model, [t for t in taught.tasks if t.name != "b"])
    got = written(name, taught, unlabel(item, "b"))
    expected = written(name, fewer, item)
    assert all(value.abs().max() == 0 for key, value in got.items() if "task_b" in key)
    assert_same(
        {k: v for k, v in got.items() if "task_b" not in k}, {k: v for k, v in expected.items() if v is not None}
    )


def test_elements_without_labels_are_dropped_from_the_row():
    taught, item = learner(), batch(missing=0.5)
    got = written("mean-jacobian", taught, item)
    predictions = taught.model(item.inputs, POINT)
    taught.zero_grad()
    for name in NAMES:
        known = ~torch.isnan(item.targets[name])
        ((predictions[name][known] - item.targets[name][known]).square().mean()).backward(retain_graph=True)
    expected = gradients(taught)
    for key, value in expected.items():
        factor = 1 / 3 if "encoder" in key else 1  # the mean over tasks, and the heads' own sum
        assert torch.allclose(got[key], factor * value, rtol=1e-11), key


def test_a_batch_without_any_label_moves_nothing():
    got = written("upgrad", learner(), unlabel(batch(), *NAMES))
    assert all(value.abs().max() == 0 for value in got.values())


@pytest.mark.parametrize("aggregator", [tj.GradVac(), tj.PCD(), tj.CRMOGMWeighting(tj.MGDAWeighting())])
def test_a_stateful_aggregator_refuses_a_missing_row_and_says_which(aggregator):
    with pytest.raises(UmbelError, match=r"'b' has no label.*all tasks"):
        Jacobian(aggregator)(learner(), unlabel(batch(), "b"), POINT, SingleProcess())


def test_one_number_for_each_row_refuses_a_missing_row():
    with pytest.raises(UmbelError, match=r"'b' has no label.*all tasks"):
        Jacobian(tj.Constant(torch.ones(3).double()))(learner(), unlabel(batch(), "b"), POINT, SingleProcess())


@pytest.mark.parametrize("name", BY_NAME)
def test_pieces_add_up_to_the_whole_batch(name):
    one, three = (written(name, learner(), batch(), SingleProcess(pieces)) for pieces in (1, 3))
    assert_same(one, three, tolerance=1e-8)


@pytest.mark.parametrize("name", BY_NAME)
def test_two_processes_do_what_one_does(name):
    batches = [batch(seed=s, count=13) for s in range(3)]

    def rank(index, runtime):
        taught, descent = learner(), make_descent(name)
        descent.prepare(taught)
        torch.manual_seed(index)  # forward noise may leave the ranks' generators in different places
        parts = [item[slice(4) if index == 0 else slice(4, None)] for item in batches]
        return train(descent, taught, parts, runtime), dict(taught.state_dict())

    (log_0, state_0), (log_1, state_1) = TwoRanks().run(rank, accumulate=2)
    taught, descent = learner(), make_descent(name)
    descent.prepare(taught)
    log = train(descent, taught, batches)
    assert torch.equal(log_0, log_1)
    assert_same(state_0, state_1, tolerance=0)
    assert torch.allclose(log_0, log, rtol=1e-8)
    assert_same(state_0, dict(taught.state_dict()), tolerance=1e-7)


STATES = {
    "gradvac": tj.GradVac,
    "pcd": tj.PCD,
    "excess": lambda: tj.ExcessMTL(n_warmup_steps=2),
    "cr-mogm": lambda: tj.CRMOGMWeighting(tj.MGDAWeighting()),
    "nash": lambda: tj.NashMTL(n_tasks=3, update_weights_every=3),
    "pcgrad": tj.PCGrad,
    "graddrop": tj.GradDrop,
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_saved_state_goes_on_exactly(kind, steps, tmp_path):
    if kind == "nash":
        pytest.importorskip("ecos", reason="TorchJD's NashMTL needs ecos")
    batches = [batch(seed=s) for s in range(8)]
    taught, descent = learner(), Jacobian(STATES[kind]())
    train(descent, taught, batches[:steps])
    torch.save([taught.state_dict(), descent.state_dict()], tmp_path / "state.pt")
    expected = train(descent, taught, batches[steps:])
    again, resumed = learner(seed=5), Jacobian(STATES[kind]())
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state[1].values())
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert torch.equal(train(resumed, again, batches[steps:]), expected)


def test_loading_an_early_state_forgets_a_later_one():
    descent = Jacobian(tj.GradVac())
    early = {key: value.clone() for key, value in descent.state_dict().items()}
    train(descent, learner(), [batch()])
    assert len(descent.state_dict()) > len(early)
    descent.load_state_dict(early)
    assert descent.state_dict().keys() == early.keys()


def test_rows_are_single_precision_under_bf16_autocast():
    runtime = SingleProcess()
    runtime.autocast = lambda: torch.autocast("cpu", torch.bfloat16)
    item = batch()
    item = Batch(item.inputs.float(), {name: target.float() for name, target in item.targets.items()})
    got = written("upgrad", learner(normalise=True).float(), item, runtime)
    exact = written("upgrad", learner(normalise=True).float(), item)
    assert all(value.dtype == torch.float32 for value in got.values())
    one, other = (torch.cat([v.flatten() for v in g.values()]) for g in (got, exact))
    assert 0 < (one - other).norm() < 0.1 * other.norm()


def test_a_parameter_that_no_loss_uses_keeps_none_and_one_used_on_one_process_does_not():
    class Partly(Plane):
        def losses(self, batch, point):
            extra = self.model.encoder["second"].sum() if float(batch.inputs.sum()) > 0 else 0.0
            return Losses({name: value + extra for name, value in super().losses(batch, point).items()})

    def rank(index, runtime):
        taught = Partly(J2)
        taught.model.encoder["second"] = torch.nn.Parameter(torch.zeros(2).double())
        taught.model.encoder["never"] = torch.nn.Parameter(torch.zeros(2).double())
        Jacobian(tj.Mean())(taught, Batch(torch.full((2, 1), float(index))), POINT, runtime)
        return gradients(taught.model.encoder)

    for got in TwoRanks().run(rank):
        assert got["never"] is None
        assert torch.allclose(got["second"], torch.full((2,), 0.5).double())  # half of the samples use it


def test_a_gradient_that_is_not_finite_names_its_task():
    jacobian = J2.clone()
    jacobian[1, 0] = torch.inf
    with pytest.raises(UmbelError, match="'t1'"):
        Plane(jacobian, torch.zeros(2).double()).update(Jacobian(tj.Mean(), engine="rows"))
    with pytest.raises(UmbelError, match="'t1'"):
        Plane(jacobian, torch.zeros(2).double()).update(make_descent("pcgrad"))
    with pytest.raises(UmbelError, match="engine='rows' says of which"):
        Plane(jacobian, torch.zeros(2).double()).update(make_descent("mean-jacobian"))


def test_a_learner_without_shared_parameters_is_refused_before_training():
    taught = learner()
    taught.model.encoder.requires_grad_(False)
    with pytest.raises(UmbelError, match="no trainable shared parameters"):
        make_descent("upgrad").prepare(taught)


@pytest.mark.parametrize("wrong", [tj.MoDoWeighting(), tj.SDMGradWeighting(), torch.nn.Linear(2, 2)])
def test_what_is_no_aggregator_of_one_jacobian_is_refused(wrong):
    with pytest.raises(UmbelError):
        Jacobian(wrong)


def test_an_aggregator_that_fails_is_named():
    with pytest.raises(UmbelError, match="Krum"):
        Plane(J2).update(Jacobian(tj.Krum(n_byzantine=1)))


def test_random_aggregators_leave_the_default_generator_alone():
    descent = Jacobian(tj.GradDrop())
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = Plane(J2).update(descent), Plane(J2).update(descent)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, Plane(J2).update(Jacobian(tj.GradDrop())))
    assert any(not torch.equal(first, Plane(J2).update(descent)) for _ in range(10)), (first, second)


def hide(monkeypatch, *hidden: str) -> None:
    real = importlib.import_module

    def without(name, *rest):
        if name in hidden:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)


@pytest.mark.parametrize("name", BY_NAME)
def test_no_descent_of_the_catalogue_needs_a_solver_package(monkeypatch, name):
    for module in ("cvxpy", "clarabel", "ecos", "qpsolvers", "quadprog"):
        monkeypatch.setitem(sys.modules, module, None)
    hide(monkeypatch, "cvxpy", "clarabel", "ecos", "qpsolvers", "quadprog")
    update = Plane(torch.tensor([[1.0, 2, 0, -1], [-2, 1, 1, 0], [0.5, -1, 2, 1]]).double()).update(make_descent(name))
    assert update.isfinite().all() and update.norm() > 0


@pytest.mark.parametrize("make", [lambda: tj.CAGrad(0.5), lambda: tj.FairGradWeighting(2.0)])
def test_a_missing_solver_is_an_error_for_a_given_aggregator_too(monkeypatch, make):
    aggregator = make()
    hide(monkeypatch, "clarabel", "scipy")
    with pytest.raises(UmbelError, match="pip install"):
        Jacobian(aggregator)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_a_solver_that_fails_silently_is_noticed_once(monkeypatch, fails):
    pytest.importorskip("ecos", reason="TorchJD's NashMTL wants ECOS, which is under the GPL and not installed by us")
    import cvxpy

    def fail(*_, **__):
        raise cvxpy.SolverError("ECOS is not installed")

    if fails:
        monkeypatch.setattr(cvxpy.Problem, "solve", fail)
    descent, taught = Jacobian(tj.NashMTL(n_tasks=2)), Plane(J2)
    with pytest.warns(RuntimeWarning, match="G a = 1/a") if fails else nullcontext():
        taught.update(descent)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        taught.update(descent)


def test_unknown_names_and_options_get_the_nearest():
    with pytest.raises(UmbelError, match="did you mean 'pcgrad'"):
        make_descent("pcgard")
    with pytest.raises(UmbelError, match="did you mean 'alpha'"):
        make_descent("fairgrad", alpa=1.0)
    with pytest.raises(UmbelError, match="cagrad"):
        make_descent("cagrad", c=-1.0)


def test_every_entry_can_be_made_and_trains():
    for name, entry in DESCENTS.items():
        if not all(find_spec(module) for module in entry.modules):
            continue
        taught, descent = learner(), make_descent(name, **OPTIONS.get(name, {}))
        descent.prepare(taught)
        losses = train(descent, taught, [batch()] * 30, rate=0.02)
        assert losses[-1].sum() < losses[0].sum(), name


def test_options_are_listed_for_every_entry():
    assert {name: "seed" in option_names(name) for name in BY_NAME} == dict.fromkeys(BY_NAME, True)
    assert "alpha" in option_names("fairgrad")
    assert option_names("equal") == ("weights",)


def test_a_weighting_of_ones_own_gets_the_gramian():
    class Loudest(GramianWeighting):
        def forward(self, gramian):
            return (gramian.diagonal() == gramian.diagonal().max()).to(gramian)

    assert torch.equal(Plane(J2).update(Jacobian(Loudest())), J2[1])
