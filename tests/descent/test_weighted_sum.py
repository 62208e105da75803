"""Weighted sums: gradients against a loss written by hand, several processes and pieces against one, resume."""

import math

import pytest
import torch
from toys import NAMES, POINT, Plane, TwoRanks, assert_same, batch, gradients, learner, train

from umbel.core import Batch, Learner, Losses, SingleProcess, UmbelError
from umbel.descent import FAMO, WeightedSum, make_descent

WEIGHTINGS = ("equal", "uncertainty", "dwa", "famo", "random-weights", "geometric-mean")
L124 = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)


def weights_at(descent, values=L124) -> torch.Tensor:
    """With J = I, θ.grad is the weights."""
    return Plane(torch.eye(len(values), dtype=torch.float64), values).update(descent.double())


def by_hand(taught, item, coefficients) -> dict:
    """Gradient of Σ c_t mean of the labelled squared errors, tasks without labels left out of the sum."""
    predictions = taught.model(item.inputs, POINT)
    terms = []
    for name, c in zip(NAMES, coefficients, strict=True):
        target = item.targets[name]
        known = ~torch.isnan(target)
        if known.any():
            terms.append(c * (predictions[name][known] - target[known]).square().mean())
    taught.zero_grad()
    sum(terms).backward()
    return gradients(taught)


def test_fixed_weights_are_the_gradient_of_the_weighted_sum_of_labelled_elements():
    taught, item = learner(), batch()
    descent = make_descent("equal", weights={"a": 0.3, "c": 2.0})
    expected = by_hand(taught, item, (0.3, 1.0, 2.0))
    taught.zero_grad()
    descent.prepare(taught)
    descent(taught, item, POINT, SingleProcess())
    assert_same(gradients(taught), expected)


def test_a_weight_for_a_task_that_does_not_exist_names_the_nearest():
    taught = Plane(torch.eye(2))
    with pytest.raises(UmbelError, match="did you mean 't0'"):
        taught.update(make_descent("equal", weights={"t00": 1.0}))


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(UmbelError, match="'a'"):
        make_descent("equal", weights={"a": weight})


def test_uncertainty_starts_at_one_half_and_its_log_variances_get_their_gradient():
    descent = make_descent("uncertainty")
    assert torch.allclose(weights_at(descent), torch.full((3,), 0.5).double())
    assert torch.allclose(descent.weighting.log_variances.grad.double(), 0.5 - 0.5 * L124)


def test_geometric_mean_has_the_gradient_of_the_cube_root_of_the_product():
    expected = torch.tensor([2 / 3, 1 / 3, 1 / 6]).double()
    assert torch.allclose(weights_at(make_descent("geometric-mean")), expected, atol=1e-7)


def test_famo_starts_inversely_to_the_losses():
    assert torch.allclose(weights_at(make_descent("famo")), torch.tensor([4 / 7, 2 / 7, 1 / 7]).double(), atol=1e-7)


def test_dynamic_weight_average_follows_the_ratios_of_the_last_two_epochs():
    descent = make_descent("dwa")
    older, ratios = torch.tensor([2.0, 1.0, 4.0]).double(), torch.tensor([0.5, 1.0, 0.8]).double()
    for values in (older, older * ratios):
        assert torch.allclose(weights_at(descent, values), torch.ones(3).double())  # uniform for two epochs
        descent.after_epoch()
    expected = 3 * torch.softmax(ratios / 2, 0)
    assert torch.allclose(weights_at(descent), expected)
    assert torch.allclose(expected, torch.tensor([0.870617, 1.117895, 1.011488]).double(), atol=1e-4)


def test_random_weights_sum_to_one_and_change_at_every_step():
    descent = make_descent("random-weights", seed=3)
    first, second = weights_at(descent), weights_at(descent)
    assert math.isclose(first.sum().item(), 1, rel_tol=1e-6)
    assert not torch.equal(first, second)
    assert torch.equal(first, weights_at(make_descent("random-weights", seed=3)))


@pytest.mark.parametrize("name", ["famo", "geometric-mean"])
def test_logarithms_of_negative_losses_are_refused(name):
    with pytest.raises(UmbelError, match="'t1'"):
        weights_at(make_descent(name), torch.tensor([1.0, -1.0]).double())


def unlabel(item: Batch, name: str) -> Batch:
    return Batch(item.inputs, {**item.targets, name: torch.full_like(item.targets[name], torch.nan)})


def drop(taught, name: str):
    """A learner of the other two tasks only, on the same model."""
    return Learner(taught.model, [t for t in taught.tasks if t.name != name])


@pytest.mark.parametrize("name", ["equal", "uncertainty", "famo", "geometric-mean"])
def test_a_task_without_labels_is_a_term_that_is_not_there(name):
    item, taught, alone = unlabel(batch(), "b"), learner(), learner()
    full, reduced = make_descent(name).double(), make_descent(name).double()
    full.prepare(taught)
    smaller = drop(alone, "b")
    reduced.prepare(smaller)
    full.double(), reduced.double()
    train(full, taught, [item] * 4)
    train(reduced, smaller, [item] * 4)
    for key in ("model.encoder.0.weight", "model.heads.task_a.weight", "model.heads.task_b.weight"):
        assert torch.allclose(taught.state_dict()[key], alone.state_dict()[key], atol=1e-12), key


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_pieces_add_up_to_the_whole_batch(name):
    logs, models = [], []
    for pieces in (1, 3):
        taught, descent = learner(), make_descent(name)
        descent.prepare(taught)
        descent.double()
        logs.append(train(descent, taught, [batch(seed=s) for s in range(5)], SingleProcess(pieces)))
        models.append(dict(taught.state_dict()))
    assert torch.allclose(*logs, rtol=1e-11)
    assert_same(*models, tolerance=1e-10)


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_two_processes_do_what_one_does(name, pieces):
    batches = [batch(seed=s, count=13) for s in range(5)]

    def rank(index, runtime):
        taught, descent = learner(), make_descent(name)
        descent.prepare(taught)
        descent.double()
        parts = [item[:4] if index == 0 else item[4:] for item in batches]
        return train(descent, taught, parts, runtime), {**taught.state_dict(), **descent.state_dict(prefix="d.")}

    (log_0, state_0), (log_1, state_1) = TwoRanks().run(rank, pieces)
    log, state = _whole(name, batches)
    assert torch.equal(log_0, log_1)
    assert torch.allclose(log_0, log, rtol=1e-11)
    for name_, value in state_0.items():
        assert torch.equal(value, state_1[name_]), name_
        assert torch.allclose(value.double(), state[name_].double(), rtol=1e-10, equal_nan=True), name_


def _whole(name, batches):
    taught, descent = learner(), make_descent(name)
    descent.prepare(taught)
    descent.double()
    return train(descent, taught, batches), {**taught.state_dict(), **descent.state_dict(prefix="d.")}


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_saved_state_goes_on_exactly(name, tmp_path):
    taught, descent = learner(), make_descent(name)
    descent.prepare(taught)
    batches = [batch(seed=s) for s in range(8)]
    train(descent, taught, batches[:4])
    torch.save([taught.state_dict(), descent.state_dict()], tmp_path / "state.pt")
    expected = train(descent, taught, batches[4:])
    again, resumed = learner(seed=5), make_descent(name)
    resumed.prepare(again)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert torch.equal(train(resumed, again, batches[4:]), expected)


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_second_look_leaves_no_trace(pieces):
    item, runtime = batch(), SingleProcess(pieces)
    states = []
    for name in ("equal", "famo"):
        taught, descent = learner(normalise=True, dropout=0.3), make_descent(name)
        descent.prepare(taught)
        torch.manual_seed(9)
        descent(taught, item, POINT, runtime)
        descent.after_step(taught, item, POINT, runtime)
        states.append((dict(taught.named_buffers()), torch.get_rng_state()))
    assert_same(states[0][0], states[1][0], tolerance=0)
    assert torch.equal(states[0][1], states[1][1])


def test_without_a_step_the_second_look_sees_the_same_losses():
    """Same noise before and after: only the step may move FAMO's weights."""
    taught, descent = learner(normalise=True, dropout=0.5), WeightedSum(FAMO(weight_decay=0.0))
    descent.prepare(taught)
    descent.double()
    descent(taught, batch(), POINT, SingleProcess())
    descent.after_step(taught, batch(), POINT, SingleProcess())
    assert descent.weighting.logits.abs().max() == 0


def test_a_parameter_that_no_loss_uses_keeps_none():
    taught = learner()
    taught.model.spare = torch.nn.Parameter(torch.zeros(3))
    descent = make_descent("equal")
    descent.prepare(taught)
    descent(taught, batch(), POINT, SingleProcess())
    assert taught.model.spare.grad is None


def test_a_loss_that_the_learner_adds_has_weight_one():
    class Adding(Plane):
        def losses(self, batch, point):
            theta = self.model.encoder["theta"]
            return Losses({**super().losses(batch, point), "added": 5 * theta.sum()})

    update = Adding(torch.eye(3).double(), L124).update(make_descent("uncertainty"))
    assert torch.allclose(update, torch.full((3,), 5.5).double())


def test_losses_in_another_order_than_the_tasks_are_refused():
    class Turned(Plane):
        def losses(self, batch, point):
            return Losses(dict(reversed(list(super().losses(batch, point).items()))))

    with pytest.raises(UmbelError, match="t0, t1"):
        Turned(torch.eye(2)).update(make_descent("dwa"))


def test_famo_lets_the_logit_of_a_task_without_labels_rest():
    taught, descent = learner(), make_descent("famo")
    descent.prepare(taught)
    train(descent, taught, [batch(seed=s) for s in range(3)])
    before = descent.weighting.logits.clone()
    train(descent, taught, [unlabel(batch(), "b")])
    moved = descent.weighting.logits != before
    assert moved.tolist() == [True, False, True]


def test_dynamic_weight_average_means_go_over_the_batches_that_label_the_task():
    taught, descent = learner(), make_descent("dwa")
    descent.prepare(taught)
    descent.double()
    items = [batch(seed=1), unlabel(batch(seed=2), "b")]
    logged = torch.stack([descent(taught, item, POINT, SingleProcess()).stack() for item in items])
    descent.after_epoch()
    expected = logged.mean(0)
    expected[1] = logged[0, 1]
    assert torch.allclose(descent.weighting.means[1], expected)
    descent(taught, unlabel(batch(), "b"), POINT, SingleProcess())
    descent.after_epoch()  # an epoch without any label of b
    assert torch.allclose(descent.weighting.means[1, 1], logged[0, 1])
    assert descent.weighting.means[0, 1].isnan()
