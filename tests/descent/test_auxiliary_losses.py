"""Losses that are no task's: every descent settles the tasks alone and adds the gradient of the others as it is."""

import pytest
import torch
from torch import nn
from toys import NAMES, POINT, Plane, TwoRanks, assert_same, batch, gradients, learner

from umbel.core import Batch, Learner, Losses, SingleProcess, UmbelError
from umbel.descent import (
    ConflictProbe,
    GradSplit,
    Measured,
    TaskGradients,
    make_descent,
    measure_gramian,
    task_gradients,
)
from umbel.descent.aggregation import Aggregation

PREFERENCE = {"config": {"pref_vector": (1.0, 2.0, 3.0)}, "aligned-mtl": {"pref_vector": (1.0, 2.0, 3.0)}}
SETTLING = ("upgrad", "mgda", "nash-mtl", "gradvac", "pcgrad", "graddrop", "mean-jacobian", *PREFERENCE)
ENGINES = {name: ("rows", "ghost", "sketched", "features") for name in SETTLING} | {"graddrop": ("rows",)}
CASES = [(name, engine) for name in SETTLING for engine in ENGINES[name]]
WEIGHTINGS = ("equal", "uncertainty", "dwa", "famo", "random-weights", "geometric-mean")


class Penalised(Learner):
    """Means over samples of what the features and one head are, and a number that depends on nothing."""

    def losses(self, batch, point):
        features = self.model.encoder(batch.inputs)
        predictions = self.model.decode(features, point)
        size, quiet = 3 * features.square().mean(), 0.5 * predictions["b"].cos().mean()
        own = self.task_losses(predictions, batch)
        return Losses({**own, "size": size, "quiet": quiet, "nothing": torch.ones(()).double()})


def penalised(**options) -> Learner:
    plain = learner(**options)
    return Penalised(plain.model, plain.tasks)


def auxiliary_gradients(taught: Learner, item: Batch) -> dict:
    """By hand: of the sum of the losses that bear no task's name."""
    losses = taught.losses(item, POINT)
    taught.zero_grad()
    (losses["size"] + losses["quiet"]).backward()
    return gradients(taught)


def written(descent, taught: Learner, item: Batch, runtime=None) -> dict:
    descent.prepare(taught)
    taught.zero_grad()
    descent(taught, item, POINT, runtime or SingleProcess())
    return gradients(taught)


def added(one: dict, other: dict) -> dict:
    assert one.keys() == other.keys()
    return {k: v if other[k] is None else other[k] if v is None else v + other[k] for k, v in one.items()}


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_the_update_is_that_of_the_tasks_and_the_plain_gradient_of_the_others(name, engine):
    """Over two steps, so that an aggregator that keeps something per task must keep the same."""
    options = PREFERENCE.get(name, {})
    with_others, alone = (make_descent(name, engine=engine, **options) for _ in range(2))
    for seed in (1, 2):
        item = batch(seed=seed)
        expected = added(written(alone, learner(), item), auxiliary_gradients(penalised(), item))
        assert_same(written(with_others, penalised(), item), expected, tolerance=1e-10)
    assert with_others.state_dict().keys() == alone.state_dict().keys()


@pytest.mark.parametrize("engine", ["rows", "ghost"])
@pytest.mark.parametrize("name", ["upgrad", "mgda", "nash-mtl", "config"])
def test_the_rows_written_out_by_hand(name, engine):
    taught, item, options = penalised(), batch(), PREFERENCE.get(name, {})
    losses, shared = taught.losses(item, POINT), taught.shared_parameters()
    rows = [torch.autograd.grad(losses[task], shared, retain_graph=True) for task in NAMES]
    settled = Aggregation(make_descent(name, **options).aggregator)(torch.stack([flat(row) for row in rows]))
    others = torch.autograd.grad(losses["size"] + losses["quiet"], shared, retain_graph=True)
    own = torch.autograd.grad(sum(losses.values()), taught.own_parameters())
    written(make_descent(name, engine=engine, **options), taught, item)
    assert torch.allclose(flat([p.grad for p in shared]), settled + flat(others), rtol=1e-9, atol=1e-12)
    assert torch.allclose(flat([p.grad for p in taught.own_parameters()]), flat(own), rtol=1e-10, atol=1e-13)


def flat(tensors) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("name", ["upgrad", "graddrop", "gradvac", "mean-jacobian"])
def test_pieces_and_processes_give_the_update_of_the_whole_batch(name):
    item = batch(count=13)
    whole = written(make_descent(name), penalised(), item)
    assert_same(written(make_descent(name), penalised(), item, SingleProcess(3)), whole, tolerance=1e-9)

    def rank(index, runtime):
        return written(make_descent(name), penalised(), item[:4] if index == 0 else item[4:], runtime)

    for pieces in (1, 2):
        one, other = TwoRanks().run(rank, pieces)
        assert_same(one, other, tolerance=0)
        assert_same(one, whole, tolerance=1e-9)


@pytest.mark.parametrize("engine", ["sketched", "features"])
def test_processes_give_one_update_for_the_engines_that_know_them(engine):
    item = batch(count=13)

    def rank(index, runtime):
        return written(
            make_descent("upgrad", engine=engine), penalised(), item[:4] if index == 0 else item[4:], runtime
        )

    whole = written(make_descent("upgrad", engine=engine), penalised(), item)
    for found in TwoRanks().run(rank):
        assert_same(found, whole, tolerance=1e-9)


@pytest.mark.parametrize(("name", "engine"), [("upgrad", "rows"), ("upgrad", "ghost"), ("graddrop", "rows")])
def test_without_any_label_the_others_still_teach(name, engine):
    unlabelled = Batch(batch().inputs, {name: torch.full_like(t, torch.nan) for name, t in batch().targets.items()})
    found = written(make_descent(name, engine=engine), penalised(), unlabelled)
    expected = auxiliary_gradients(penalised(), unlabelled)
    assert found["model.encoder.0.weight"].norm() > 0
    for key, value in found.items():
        assert torch.allclose(value, torch.zeros_like(value) if expected[key] is None else expected[key]), key


def test_a_preference_has_a_number_for_each_task_whatever_else_is_lost():
    make_descent("config", pref_vector=(1.0, 2.0, 3.0)).prepare(penalised())
    for wrong in ((1.0, 2.0), (1.0, 2.0, 3.0, 4.0)):
        with pytest.raises(UmbelError, match="numbers for 3 tasks"):
            make_descent("config", pref_vector=wrong).prepare(penalised())


class Spoilt(Plane):
    """The auxiliary loss has an infinite gradient."""

    def losses(self, batch, point):
        theta = self.model.encoder["theta"]
        return Losses({**super().losses(batch, point), "root": theta.abs().sum().sqrt()})


@pytest.mark.parametrize("name", ["upgrad", "graddrop"])
def test_an_auxiliary_gradient_that_is_not_finite_is_said(name):
    with pytest.raises(UmbelError, match="the auxiliary losses is not finite"):
        Spoilt(torch.eye(2).double()).update(make_descent(name))


class Renamed(Plane):
    def losses(self, batch, point):
        return Losses({f"loss of {name}": value for name, value in super().losses(batch, point).items()})


def test_losses_of_which_none_is_a_tasks_are_refused():
    with pytest.raises(UmbelError, match=r"no loss of a task.*t0, t1.*loss of t0"):
        Renamed(torch.eye(2).double()).update(make_descent("upgrad"))


# ---- weights from losses ----


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weightings_weigh_the_tasks_and_keep_nothing_of_the_others(name):
    states, found = [], []
    for taught in (learner(), penalised()):
        descent = make_descent(name)
        for seed in (1, 2, 3):
            last = written(descent, taught, batch(seed=seed))
            descent.after_step(taught, batch(seed=seed), POINT, SingleProcess())
            descent.after_epoch()
        states.append(descent.state_dict())
        found.append(last)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value.nan_to_num(7), states[1][key].nan_to_num(7)) for key, value in states[0].items())
    assert_same(found[1], added(found[0], auxiliary_gradients(penalised(), batch(seed=3))), tolerance=1e-10)


# ---- gradient split, and what is measured ----

ONE_WAY = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1]]).bool()


@pytest.mark.parametrize("engine", ["naive", "streams", "auto"])
def test_every_group_takes_the_others(engine):
    item = batch()
    expected = added(
        written(GradSplit(ONE_WAY, engine=engine), learner(), item), auxiliary_gradients(penalised(), item)
    )
    assert_same(written(GradSplit(ONE_WAY, engine=engine), penalised(), item), expected, tolerance=1e-10)


def test_what_is_measured_is_that_of_the_tasks():
    item, states, cosines = batch(), [], []
    for taught in (learner(), penalised()):
        descent = GradSplit(Measured(warm_up=3, every=1))
        written(descent, taught, item)
        states.append(descent.state_dict())
        cosines.append(ConflictProbe().measure(taught, item, POINT, SingleProcess()))
    assert states[0].keys() == states[1].keys() and int(states[0]["measured.count"].sum()) == 9
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert torch.equal(*cosines)
    named = ConflictProbe(["a", "size"]).measure(penalised(), item, POINT, SingleProcess())
    assert named.shape == (2, 2) and abs(named[0, 1]) < 1


@pytest.mark.parametrize("engine", ["rows", "ghost", "sketched", "features"])
def test_a_gramian_is_that_of_the_tasks(engine):
    with_others, alone = (measure_gramian(t, batch(), POINT, SingleProcess(), engine) for t in (penalised(), learner()))
    torch.testing.assert_close(with_others, alone, rtol=1e-10, atol=1e-12)


def test_a_descent_of_ones_own_gets_the_two_apart():
    taught, item = penalised(), batch()
    shared = taught.shared_parameters()
    found = task_gradients(taught, item, POINT, SingleProcess(2), shared)
    assert isinstance(found, TaskGradients)
    assert found.names == [*NAMES, "size", "quiet", "nothing"] and found.tasks == list(NAMES)
    assert found.jacobian.shape == (3, sum(p.numel() for p in shared))
    assert torch.equal(found.jacobian, found.rows[:3])
    expected = auxiliary_gradients(taught, item)
    wanted = flat([value for key, value in expected.items() if "encoder" in key])
    assert torch.allclose(found.rows[3], wanted, rtol=1e-10, atol=1e-14)


def test_a_layer_that_only_an_auxiliary_loss_reaches_is_taught():
    class Prober(Penalised):
        def losses(self, batch, point):
            every = super().losses(batch, point)
            return Losses({**every, "probe": self.model.encoder.extra(batch.inputs.flatten(1)).square().mean()})

    for engine in ("rows", "ghost", "sketched"):
        plain = learner()
        plain.model.encoder.extra = nn.Linear(72, 1).double()
        plain.model.encoder.forward = lambda x, parts=tuple(plain.model.encoder)[:-1]: nn.Sequential(*parts)(x)
        found = written(make_descent("upgrad", engine=engine), Prober(plain.model, plain.tasks), batch())
        assert found["model.encoder.extra.weight"].norm() > 0
