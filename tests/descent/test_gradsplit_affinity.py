"""The look-ahead against a copy of the learner that is really moved, its statistics, and what follows from them."""

import copy
import logging

import pytest
import torch
from gradsplit_cases import assert_close, gradients_of, make_batch, make_learner
from scipy import stats
from toys import POINT, TwoRanks, train

from umbel.core import Batch, SingleProcess, UmbelError
from umbel.descent import Affinity, GradSplit, Measured
from umbel.descent.gradsplit import channel_groups, look_ahead, split_layers
from umbel.nn import ConvEncoder, ResNetEncoder


def residual(norm: str = "batch"):
    return make_learner(ResNetEncoder((2, 6, 6), 4, (1, 1), norm, downsample=2))


def moved_by_hand(learner, batch, layers, task: int, group: int, step: float) -> float:
    """Z[task, group] with a copy of the learner."""
    names = [t.name for t in learner.tasks]
    learner = copy.deepcopy(learner)
    losses = learner.losses(batch, POINT)
    split = [p for layer in split_layers(learner, layers, len(names)).layers for p in layer.parameters()]
    gradients = torch.autograd.grad(losses[names[task]], split)
    rows = [channel_groups(len(p), len(names)) == group for p in split]
    length = torch.cat([g[r].flatten() for g, r in zip(gradients, rows, strict=True)]).norm()
    filters = torch.cat([p[r].flatten() for p, r in zip(split, rows, strict=True)]).norm()
    with torch.no_grad():
        for p, g, r in zip(split, gradients, rows, strict=True):
            p[r] -= step * filters / length * g[r]
    after = learner.losses(batch, POINT)
    return 1 - (after[names[group]] / losses[names[group]]).item()


def test_the_look_ahead_is_that_of_a_moved_copy():
    learner, batch = residual(), make_batch()
    found = look_ahead(learner, batch, POINT, SingleProcess(), split_layers(learner, 0.5, 3), 0.05)
    expected = [[moved_by_hand(learner, batch, 0.5, i, g, 0.05) for g in range(3)] for i in range(3)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)
    assert (found - found.T).abs().max() > 1e-4  # not symmetric
    assert (found.diagonal() > 0).all()


def test_it_leaves_no_trace():
    learner, batch = residual(), make_batch()
    partition = split_layers(learner, 0.5, 3)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    look_ahead(learner, batch, POINT, SingleProcess(), partition, 0.1)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in learner.parameters())


def test_pairs_without_labels_are_not_measured():
    batch = make_batch()
    batch.targets["t1"].fill_(torch.nan)
    learner = residual()
    found = look_ahead(learner, batch, POINT, SingleProcess(), split_layers(learner, 0.5, 3), 0.05)
    assert found.isnan().tolist() == [[False, True, False], [True, True, True], [False, True, False]]
    measured = Measured()
    measured.prepare(["t0", "t1", "t2"], torch.device("cpu"))
    measured.learn(found)
    assert measured.count.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
    assert measured.affinity().mean[0, 1].isnan() and measured.affinity().half_width[0, 0] == torch.inf


def test_pieces_and_processes_measure_the_whole_batch():
    batch = make_batch(count=9)

    def measured(runtime, part):
        learner = residual("group")
        return look_ahead(learner, part, POINT, runtime, split_layers(learner, 0.5, 3), 0.05)

    whole = measured(SingleProcess(), batch)
    torch.testing.assert_close(measured(SingleProcess(accumulate=3), batch), whole)
    found = TwoRanks().run(lambda rank, runtime: measured(runtime, batch[:4] if rank == 0 else batch[4:]), 2)
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], whole)


def with_opposed_tasks(count: int = 16) -> tuple:
    """Task 1 wants what task 0 wants; task 2 wants the opposite of both, through heads that are alike and fixed."""
    learner = make_learner(ConvEncoder((2, 6, 6), (6, 6), "group"))
    heads = [learner.model.heads[f"t{i}"] for i in range(3)]
    heads[0].layers = copy.deepcopy(heads[1].layers)
    heads[2].layers = copy.deepcopy(heads[1].layers)
    learner.model.heads.requires_grad_(False)
    batch = make_batch(count=count, missing=0.0)
    wanted = 3 * torch.sign(batch.inputs.mean((1, 2, 3), keepdim=False))[:, None].expand(-1, 2)
    targets = {"t0": wanted, "t1": wanted + 0.1, "t2": -wanted}
    return learner, Batch(batch.inputs, {name: value.clone() for name, value in targets.items()})


def test_tasks_that_want_the_opposite_are_found_and_refused(caplog):
    learner, batch = with_opposed_tasks()
    descent = GradSplit(Measured(warm_up=12, every=2), layers=0.5)
    descent.prepare(learner)
    assert descent.accepted().all()  # the warm-up is joint
    with caplog.at_level(logging.INFO, "umbel.descent.gradsplit"):
        train(descent, learner, [batch[torch.randperm(16)[:12]] for _ in range(12)], rate=1e-3)
    assert descent.accepted().int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    found = descent.affinity()
    assert isinstance(found, Affinity) and found.finished and (found.count == 6).all()
    assert (found.mean[0, 2] + found.half_width[0, 2] < 0) and (found.mean[0, 1] - found.half_width[0, 1] > 0)
    assert "the warm-up is over" in caplog.text and "group t2 accepts t2" in caplog.text
    mean = descent.measured.mean.clone()
    train(descent, learner, [batch] * 3, rate=1e-3)
    assert torch.equal(descent.measured.mean, mean)  # it stays
    fixed = GradSplit(descent.accepted(), layers=0.5, engine="naive")
    assert_close(gradients_of(descent, learner, batch), gradients_of(fixed, learner, batch))


def filled(values: torch.Tensor, **options) -> Measured:
    """`values` [N, T, T] as if they had been measured, and the warm-up over."""
    measured = Measured(warm_up=1, **options)
    measured.prepare([f"t{i}" for i in range(values.shape[1])], torch.device("cpu"))
    for value in values:
        measured.learn(value)
    measured.steps += 1
    return measured


def test_means_and_intervals_are_students():
    values = torch.randn(7, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3
    found = filled(values, confidence=0.9).affinity()
    low, high = stats.t.interval(0.9, 6, loc=values.mean(0).numpy(), scale=stats.sem(values.numpy()))
    torch.testing.assert_close(found.mean - found.half_width, torch.from_numpy(low))
    torch.testing.assert_close(found.mean + found.half_width, torch.from_numpy(high))


def test_what_is_sure_decides_and_what_is_not_is_as_one_asks():
    help_, harm, open_ = (1.0, 1.1, 0.9), (-1.0, -1.1, -0.9), (1.0, -1.1, 0.2)
    values = torch.tensor([harm, help_, open_, harm]).double().T.reshape(3, 2, 2)
    assert filled(values).matrix().tolist() == [[True, True], [True, True]]  # its own task always
    values = torch.tensor([help_, harm, open_, help_]).double().T.reshape(3, 2, 2)
    assert filled(values).matrix().tolist() == [[True, False], [True, True]]
    assert filled(values, unsure="refuse").matrix().tolist() == [[True, False], [False, True]]
    assert filled(values, threshold=-2.0).matrix().all()
    assert filled(values[:1]).matrix().all()  # one measurement says nothing for sure
    assert filled(values[:0], unsure="refuse").matrix().tolist() == torch.eye(2).bool().tolist()


def test_the_table_shows_means_intervals_and_refusals():
    values = torch.tensor([[0.02, -0.01], [0.03, 0.04]]).double() + torch.tensor([-1e-3, 0.0, 1e-3])[:, None, None]
    lines = filled(values).affinity().table().splitlines()
    assert lines[0].split() == ["task", "\\", "group", "t0", "t1"]
    assert "+2.000 ± 0.248" in lines[1] and "(-1.000 ± 0.248)" in lines[1]
    assert "not measured" in filled(values[:0]).affinity().table()
    assert "+2.000" in filled(values[1:2]).affinity().table()


def test_own_can_be_the_start():
    learner, batch = residual(), make_batch()
    descent = GradSplit(Measured(start="own"), layers=0.5)
    assert_close(gradients_of(descent, learner, batch), gradients_of(GradSplit("own", 0.5, "naive"), learner, batch))
    assert "so far" in descent.describe()


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_a_saved_state_goes_on_exactly(steps, tmp_path):
    batches = [make_batch(seed=s) for s in range(8)]

    def fresh(seed=0):
        learner, descent = make_learner(ConvEncoder((2, 6, 6), (4, 5)), seed=seed), GradSplit(Measured(4, 2), 0.5)
        descent.prepare(learner)
        return learner, descent

    learner, descent = fresh()
    train(descent, learner, batches[:steps])
    torch.save([learner.state_dict(), descent.state_dict()], tmp_path / "state.pt")
    expected = train(descent, learner, batches[steps:])
    again, resumed = fresh(seed=5)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    assert torch.equal(train(resumed, again, batches[steps:]), expected)
    assert torch.equal(resumed.affinity().mean, descent.affinity().mean)


def test_measured_is_a_word_too():
    descent = GradSplit("measured")
    assert isinstance(descent.measured, Measured) and descent.measured.due


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_up": 0}, "warm_up 0"),
        ({"every": 0}, "every 0"),
        ({"step": 0.0}, "step 0"),
        ({"confidence": 1.0}, "confidence 1"),
        ({"start": "non"}, "did you mean 'own'"),
        ({"unsure": "acept"}, "did you mean 'accept'"),
    ],
)
def test_settings_out_of_range_are_refused(options, said):
    with pytest.raises(UmbelError, match=said):
        Measured(**options)
