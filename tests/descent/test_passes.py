"""The passes that descents share."""

import torch
from torch import nn
from toys import NAMES, POINT, TwoRanks, batch, learner

from umbel.core import Batch, SingleProcess
from umbel.descent import TaskGradients, present_losses, task_gradients
from umbel.descent.graph import Graph
from umbel.descent.passes import losses_without_gradient, untouched


def test_presence_is_known_over_all_processes_and_added_losses_are_always_present():
    item = batch()
    item.targets["a"].fill_(torch.nan)
    item.targets["b"][:6] = torch.nan

    def rank(index, runtime):
        return present_losses(learner(), item[slice(6 * index, 6 * index + 6)], [*NAMES, "added"], runtime).tolist()

    assert TwoRanks().run(rank) == [[False, True, True, True]] * 2


def test_untouched_puts_back_what_was_changed_and_what_was_replaced():
    taught = torch.nn.BatchNorm1d(2)
    kept = taught.running_mean
    torch.manual_seed(4)
    state = torch.get_rng_state()
    with untouched(taught, torch.device("cpu")):
        taught(torch.randn(5, 2))
        taught.running_var = torch.full((2,), 7.0)
    assert taught.running_mean is kept
    assert kept.abs().max() == 0
    assert torch.equal(taught.running_var, torch.ones(2))
    assert taught.num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_losses_without_gradient_are_those_of_the_whole_batch_in_pieces_too():
    taught, item = learner(), batch()
    whole = torch.stack(list(taught.losses(item, POINT).values()))
    for pieces in (1, 4):
        seen = losses_without_gradient(taught, item, POINT, SingleProcess(pieces))
        assert list(seen) == list(NAMES)
        assert torch.allclose(seen.stack(), whole, rtol=1e-12)
        assert not seen.stack().requires_grad


def test_rows_are_the_gradients_of_each_loss_and_own_gradients_their_sum():
    taught, item = learner(), batch(count=10)
    shared, own = taught.shared_parameters(), taught.own_parameters()
    found = task_gradients(taught, item, POINT, SingleProcess(2), shared, own)
    assert isinstance(found, TaskGradients)
    losses = taught.losses(item, POINT)
    for row, loss in zip(found.jacobian, losses.values(), strict=True):
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)])
        assert torch.allclose(row, expected, rtol=1e-10, atol=1e-14)
    for parameter, expected in zip(own, torch.autograd.grad(sum(losses.values()), own), strict=True):
        assert torch.allclose(parameter.grad, expected, rtol=1e-10, atol=1e-14)
    assert all(parameter.grad is None for parameter in shared)


def test_a_loss_that_depends_on_nothing_has_a_row_of_zeros():
    taught = learner()
    taught.model.heads["b"].requires_grad_(False)
    item = batch()
    constant = taught.task_losses
    taught.task_losses = lambda p, b: constant({**p, "b": p["b"].detach()}, b)
    found = task_gradients(taught, Batch(item.inputs, item.targets), POINT, SingleProcess(), taught.shared_parameters())
    assert found.jacobian[1].abs().max() == 0
    assert found.jacobian[[0, 2]].abs().amax(1).min() > 0


def test_each_of_many_losses_is_asked_for_its_own_head_alone():
    trunk, heads = nn.Linear(3, 4), [nn.Linear(4, 1) for _ in range(10)]
    stray = nn.Parameter(torch.ones(2))
    features = trunk(torch.randn(5, 3))
    losses = [head(features).square().mean() for head in heads]
    losses[3] = losses[3] + losses[7]  # depends on two heads
    losses.append(torch.tensor(1.0))
    own = [p for head in heads for p in head.parameters()]
    graph = Graph(losses[:-1], [*trunk.parameters(), *own])
    found = graph.reach(losses, [*own, stray])
    for task, parameters in enumerate(found[:10]):
        expected = [*heads[task].parameters(), *(heads[7].parameters() if task == 3 else ())]
        assert {id(p) for p in parameters} == {id(p) for p in expected}
    assert found[10] == []
    assert graph.reach(losses, list(trunk.parameters()))[0] != []
