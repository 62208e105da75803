import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import (
    Augmentation,
    CropAndFlip,
    MultiTaskData,
    PoissonSource,
    SideBySide,
    Source,
    StreamSource,
    TensorSource,
    as_float,
    first_samples,
    seeded,
)
from umbel.data.air import WindowSource


def numbered(count, augment=None):
    """Samples that can be told apart: picture k is filled with k, its target is k."""
    values = torch.arange(count)
    pictures = values.to(torch.uint8).view(-1, 1, 1, 1).expand(count, 1, 6, 6).contiguous()
    return TensorSource(Batch(pictures, {"number": values}), augment)


def noisy(count, augment=None):
    """Samples whose pixels differ, so that augmentation shows."""
    pictures = torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8, generator=seeded(count))
    return TensorSource(Batch(pictures, {"number": torch.arange(count)}), augment)


def same(first, second):
    return torch.equal(first.inputs, second.inputs) and torch.equal(first.targets["number"], second.targets["number"])


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(4, 60),
    per_process=st.integers(1, 12),
    world_size=st.integers(1, 4),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 3),
)
def test_shares_of_all_processes_make_up_the_batch_of_one(count, per_process, world_size, seed, epoch):
    source, batch_size = noisy(count, CropAndFlip(1)), per_process * world_size
    whole = list(source.train_batches(batch_size, seed, epoch))
    parts = [list(source.train_batches(batch_size, seed, epoch, 0, rank, world_size)) for rank in range(world_size)]
    assert len(whole) == source.steps(batch_size) == max(1, count // batch_size)
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step].inputs for part in parts]), batch.inputs)
        assert torch.equal(torch.cat([part[step].targets["number"] for part in parts]), batch.targets["number"])


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 20), seed=st.integers(0, 2**40), start=st.integers(0, 70))
def test_an_epoch_resumes_at_any_step(count, batch_size, seed, start):
    source = noisy(count, CropAndFlip(2))
    whole = list(source.train_batches(batch_size, seed, 2))
    resumed = list(source.train_batches(batch_size, seed, 2, start=start))
    assert len(resumed) == len(whole[start:])
    assert all(same(a, b) for a, b in zip(whole[start:], resumed, strict=True))


def test_an_epoch_shows_each_sample_at_most_once_and_epochs_and_seeds_differ():
    source = numbered(50)
    orders = {
        (seed, epoch): torch.cat([b.targets["number"] for b in source.train_batches(8, seed, epoch)])
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert all(len(order) == 48 == len(order.unique()) for order in orders.values())
    assert len({tuple(order.tolist()) for order in orders.values()}) == 4


def test_augmentation_differs_between_steps_and_epochs():
    source = TensorSource(noisy(1).samples[torch.zeros(64, dtype=torch.int64)], CropAndFlip(2))  # one picture, 64 times
    batches = [*source.train_batches(16, 0, 0), *source.train_batches(16, 0, 1)]
    assert len({batch.inputs.numpy().tobytes() for batch in batches}) == len(batches)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 60), batch_size=st.integers(1, 20), world_size=st.integers(1, 4))
def test_every_sample_is_evaluated_once(count, batch_size, world_size):
    source = numbered(count, CropAndFlip(2))
    seen = [
        batch for rank in range(world_size) for batch in source.batches(batch_size, rank=rank, world_size=world_size)
    ]
    numbers = torch.cat([batch.targets["number"] for batch in seen])
    assert sorted(numbers.tolist()) == list(range(count))
    for batch in seen:  # unaugmented: a shifted picture would have zeros at its border
        assert torch.equal((batch.inputs * 255).round().long().amin((1, 2, 3)), batch.targets["number"])


class Named(Augmentation):
    """Writes its random number and the sample's own into the picture."""

    draws = 3

    def __call__(self, batch, uniform):
        assert uniform.shape == (len(batch), 3)
        assert uniform.min() >= 0
        assert uniform.max() < 1
        return Batch(uniform[:, :1] + batch.targets["number"][:, None], batch.targets)


def test_an_augmentation_of_the_users_own_gets_its_numbers_and_the_samples_they_belong_to():
    source = numbered(10, Named())
    whole = next(source.train_batches(6, 3, 1))
    second = next(source.train_batches(6, 3, 1, rank=1, world_size=2))
    assert torch.equal(whole.inputs[:, 0].floor().long(), whole.targets["number"])
    assert torch.equal(second.inputs, whole.inputs[3:])
    assert len((whole.inputs[:, 0] % 1).unique()) == 6


@pytest.mark.parametrize("kind", [TensorSource, StreamSource, WindowSource, PoissonSource, SideBySide])
@pytest.mark.parametrize("method", ["__len__", "steps", "train_batches", "batches"])
def test_every_source_can_be_called_alike(kind, method):
    def arguments(owner):
        return [(p.name, p.default) for p in inspect.signature(getattr(owner, method)).parameters.values()]

    assert arguments(kind) == arguments(Source)


def test_bytes_become_floats_from_0_to_1_and_floats_stay():
    [batch] = TensorSource(Batch(torch.tensor([[0, 51, 255]], dtype=torch.uint8))).batches(4)
    assert batch.inputs.tolist() == [[0.0, pytest.approx(0.2), 1.0]]
    assert torch.equal(as_float(torch.arange(256).to(torch.uint8)) * 255, torch.arange(256.0))
    values = torch.tensor([[-3.0, 300.0]])
    assert as_float(values) is values
    assert torch.equal(as_float(torch.tensor([300])), torch.tensor([300]))  # word numbers are no pictures
    [batch] = TensorSource(Batch(values)).batches(4)
    assert torch.equal(batch.inputs, values)


def test_batches_leave_the_stored_samples_alone():
    source = noisy(12, CropAndFlip(2))
    before = source.samples.inputs.clone()
    list(source.train_batches(4, 0, 0))
    assert torch.equal(source.samples.inputs, before)


def test_poisson_batches_hold_each_sample_with_the_same_probability_by_itself():
    source = PoissonSource(numbered(20).samples)
    assert source.steps(5) == 4 and source.probability(5) == 0.25
    batches = [b for epoch in range(500) for b in source.train_batches(5, 3, epoch)]
    held = torch.zeros(len(batches), 20)
    for row, batch in zip(held, batches, strict=True):
        row[batch.targets["number"]] += 1
    assert held.max() == 1
    assert (held.mean(0) - 0.25).abs().max() < 0.05  # 2000 draws: five standard deviations are 0.048
    correlation = torch.corrcoef(held.T) - torch.eye(20)
    assert correlation.abs().max() < 0.12
    assert {len(b) for b in source.train_batches(1, 0, 0)} >= {0, 1}


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_poisson_batches_resume_anywhere_and_are_shared_by_processes(world_size):
    source = PoissonSource(numbered(30).samples)
    whole = [b.targets["number"].tolist() for b in source.train_batches(3, 1, 2)]
    assert [b.targets["number"].tolist() for b in source.train_batches(3, 1, 2, 4)] == whole[4:]
    shares = [
        [b.targets["number"].tolist() for b in source.train_batches(3, 1, 2, 0, rank, world_size)]
        for rank in range(world_size)
    ]
    assert [[n for part in parts for n in part] for parts in zip(*shares, strict=True)] == whole
    assert world_size == 1 or any(not part and total for part, total in zip(shares[0], whole, strict=True))


def test_an_augmentation_never_sees_an_empty_batch():
    source = PoissonSource(numbered(8).samples, Named())
    assert sum(len(b) == 0 for b in source.train_batches(1, 0, 0)) > 0


def test_bad_sources():
    with pytest.raises(UmbelError, match="without samples"):
        TensorSource(Batch(torch.empty(0, 3)))
    with pytest.raises(UmbelError, match="1 samples is too small for 2 processes"):
        next(numbered(1).train_batches(8, 0, 0, rank=1, world_size=2))


def test_seeded_depends_on_every_number_and_its_place():
    def first(*parts):
        return int(torch.randint(2**62, (), generator=seeded(*parts)))

    streams = [
        first(),
        first(0),
        first(0, 0),
        first(0, 1),
        first(1, 0),
        first(2, 1),
        first(1, 2),
        first(2**40),
        first(-1),
    ]
    assert len(set(streams)) == len(streams)
    assert first(5, 7) == first(5, 7)


def test_only_keeps_the_samples_that_a_task_is_labelled_for():
    targets = {"a": torch.tensor([0, -1, 1, -1]), "b": torch.tensor([[1.0], [2.0], [torch.nan], [torch.nan]])}
    source = TensorSource(Batch(torch.arange(4.0)[:, None], targets))
    kinds = (tasks.classification("a", "xy"), tasks.regression("b"))
    data = MultiTaskData("d", "D", kinds, source, source, source, (1,))
    assert data.only(["a"]).train.samples.inputs.flatten().tolist() == [0, 2]
    assert data.only(["b", "a"]).test.samples.inputs.flatten().tolist() == [0, 1, 2]
    assert [task.name for task in data.only(["b", "a"]).tasks] == ["b", "a"]
    with pytest.raises(UmbelError, match="unknown task 'c'"):
        data.only(["c"])


def test_the_first_samples_are_in_order_and_unaugmented():
    source = numbered(5, CropAndFlip(1))
    assert first_samples(source, 3).targets["number"].tolist() == [0, 1, 2]
    assert torch.equal(first_samples(source, 3).inputs, first_samples(numbered(5), 3).inputs)
    assert len(first_samples(source, 9)) == 5
    with pytest.raises(UmbelError, match="at least 1"):
        first_samples(source, 0)
