import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from umbel import tasks
from umbel.core import (
    Batch,
    Descent,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    Runtime,
    SingleProcess,
    align,
    flatten,
    shares,
    sum_gradients,
    total,
    write,
)

TASKS = (tasks.classification("kind", ["a", "b"]), tasks.regression("size", 2))


class WithPenalty(Learner):
    """Adds a loss that is no task's: a mean over samples."""

    def losses(self, batch, point):
        return Losses({**super().losses(batch, point), "penalty": self.model.encoder(batch.inputs).square().mean()})


class FakeRank(SingleProcess):
    """One of several processes; sums come from a list prepared beforehand, in the order of the calls."""

    def __init__(self, rank: int, world_size: int, answers: list, accumulate: int = 1) -> None:
        super().__init__(accumulate)
        self.rank, self.world_size, self.answers = rank, world_size, iter(answers)

    def sum(self, tensor):
        return next(self.answers).clone()


def make_learner() -> Learner:
    torch.manual_seed(0)
    heads = {"kind": nn.Linear(4, 2), "size": nn.Linear(4, 2)}
    return WithPenalty(MultiTaskModel(nn.Linear(3, 4), heads), TASKS).double()


def make_batch(size: int, seed: int, missing: float) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 2, (size,), generator=generator)
    kinds[torch.rand(size, generator=generator) < missing] = -1
    sizes = torch.randn(size, 2, generator=generator, dtype=torch.float64)
    sizes[torch.rand(size, 2, generator=generator) < missing] = math.nan
    return Batch(torch.randn(size, 3, generator=generator, dtype=torch.float64), {"kind": kinds, "size": sizes})


def gradients_of(learner: Learner, batch: Batch, runtime: Runtime) -> tuple[torch.Tensor, torch.Tensor]:
    """The losses [3], and the gradients of each [3, P], added over the pieces."""
    parameters = list(learner.parameters())
    values, rows = torch.zeros(3, dtype=torch.float64), torch.zeros(3, sum(p.numel() for p in parameters)).double()
    for share in shares(learner, batch, OperatingPoint(), runtime):
        for i, loss in enumerate(share.values()):
            rows[i] += flatten(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True), parameters)
        values += share.stack().detach()
    return values, rows


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 13),
    pieces=st.integers(1, 4),
    seed=st.integers(0, 500),
    missing=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
)
def test_pieces_add_up_to_the_whole_batch(size, pieces, seed, missing):
    learner, batch = make_learner(), make_batch(size, seed, missing)
    wanted = gradients_of(learner, batch, SingleProcess())
    found = gradients_of(learner, batch, SingleProcess(accumulate=pieces))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(2, 9), seed=st.integers(0, 500), missing=st.sampled_from([0.0, 0.6, 1.0]))
def test_processes_add_up_to_the_whole_batch(first, seed, missing):
    learner, batch = make_learner(), make_batch(11, seed, missing)
    counts = torch.tensor([*(float(c) for c in learner.counts(batch).values()), len(batch)], dtype=torch.float64)
    wanted = gradients_of(learner, batch, SingleProcess())
    parts = [batch[:first], batch[first:]]
    found = [gradients_of(learner, part, FakeRank(r, 2, [counts], accumulate=2)) for r, part in enumerate(parts)]
    for one, two, whole in zip(*found, wanted, strict=True):
        torch.testing.assert_close(one + two, whole, rtol=1e-12, atol=1e-12)


class Careless(Learner):
    """The mean over no sample is NaN."""

    def losses(self, batch, point):
        return Losses({**super().losses(batch, point), "penalty": self.model(batch.inputs, point)["size"].mean()})


@pytest.mark.parametrize("pieces", [1, 3])
def test_no_sample_at_all_is_no_loss_and_no_gradient(pieces):
    learner = Careless(make_learner().model, TASKS)
    values, rows = gradients_of(learner, make_batch(5, 0, 0.2)[:0], SingleProcess(accumulate=pieces))
    assert values.tolist() == [0, 0, 0] and not rows.any()
    whole = gradients_of(learner, make_batch(2, 0, 0.2), SingleProcess())
    for one, other in zip(gradients_of(learner, make_batch(2, 0, 0.2), SingleProcess(5)), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first", [0, 6])
def test_a_process_with_an_empty_share_adds_nothing(first):
    learner, batch = make_learner(), make_batch(6, 1, 0.3)
    counts = torch.tensor([*(float(c) for c in learner.counts(batch).values()), len(batch)], dtype=torch.float64)
    parts = [gradients_of(learner, part, FakeRank(0, 2, [counts], 2)) for part in (batch[:first], batch[first:])]
    whole = gradients_of(learner, batch, SingleProcess())
    for one, two, wanted in zip(*parts, whole, strict=True):
        torch.testing.assert_close(one + two, wanted, rtol=1e-12, atol=1e-12)


def test_shares_keep_the_precision_of_the_loss():
    learner = make_learner().float()
    batch = make_batch(6, 0, 0.3).map(lambda t: t.float() if t.is_floating_point() else t)
    for share in shares(learner, batch, OperatingPoint(), SingleProcess(accumulate=3)):
        assert {loss.dtype for loss in share.values()} == {torch.float32}
    half = Losses({"a": torch.tensor(1.0, dtype=torch.bfloat16)}).scaled(torch.tensor([1 / 3], dtype=torch.float64))
    assert half["a"].item() == pytest.approx(1 / 3, rel=1e-6)


def test_gradients_are_summed_over_processes_and_absent_ones_stay_absent():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.tensor([1.0, 2.0])
    # The other process has gradients for the first two: 10, 20 and 5, 6, 7. The last three numbers say who had one.
    answer = torch.tensor([11.0, 22.0, 5.0, 6.0, 7.0, 0.0, 2.0, 1.0, 0.0])
    sum_gradients(parameters, FakeRank(0, 2, [answer]))
    assert parameters[0].grad.tolist() == [11.0, 22.0]
    assert parameters[1].grad.tolist() == [5.0, 6.0, 7.0]
    assert parameters[2].grad is None


def test_what_is_sent_says_who_has_a_gradient():
    sent = []

    class Recording(FakeRank):
        def sum(self, tensor):
            sent.append(tensor)
            return tensor

    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[1].grad = torch.tensor([4.0])
    sum_gradients(parameters, Recording(0, 2, []))
    assert sent[0].tolist() == [0.0, 0.0, 4.0, 0.0, 1.0]
    assert parameters[0].grad is None


def test_one_process_leaves_gradients_as_they_are():
    parameter = nn.Parameter(torch.zeros(1))
    sum_gradients([parameter], SingleProcess())
    assert parameter.grad is None


def test_flatten_and_write_are_inverse():
    parameters = [nn.Parameter(torch.rand(2, 3)), nn.Parameter(torch.rand(4))]
    vector = torch.arange(10.0)
    write(vector, parameters)
    assert parameters[0].grad.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    out = torch.empty(10)
    assert flatten([p.grad for p in parameters], parameters, out) is out
    assert torch.equal(out, vector)
    assert flatten([None, parameters[1].grad], parameters).tolist() == [0.0] * 6 + [6.0, 7.0, 8.0, 9.0]


def test_aligned_gradients_have_the_layout_of_their_parameter_and_the_same_values():
    # A fused optimizer reads both as raw memory.
    parameter = nn.Parameter(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    vector = torch.arange(120.0)
    write(vector, [parameter])
    assert parameter.grad.stride() != parameter.stride()
    align([parameter, nn.Parameter(torch.zeros(1))])
    assert parameter.grad.stride() == parameter.stride()
    assert torch.equal(parameter.grad.reshape(-1), vector)


class PlainSum(Descent):
    """The smallest descent."""

    def forward(self, learner, batch, point, runtime):
        values = 0
        for share in shares(learner, batch, point, runtime):
            share.stack().sum().backward()
            values, names = values + share.stack().detach(), list(share)
        sum_gradients(list(learner.parameters()), runtime)
        return total(values, names, runtime)


def test_a_descent_in_pieces_writes_the_same_gradients_and_reports_the_whole_loss():
    results = []
    for pieces in (1, 3):
        learner = make_learner()
        reported = PlainSum()(learner, make_batch(7, 3, 0.4), OperatingPoint(), SingleProcess(pieces))
        results.append((torch.cat([p.grad.reshape(-1) for p in learner.parameters()]), reported))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(results[1][1].stack(), results[0][1].stack(), rtol=1e-12, atol=1e-12)
    assert list(results[1][1]) == ["kind", "size", "penalty"]
    assert not any(value.requires_grad for value in results[0][1].values())
