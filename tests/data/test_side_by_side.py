"""Sources beside each other: fixed parts, every pass whole, resumable, and the same over processes."""

from itertools import islice

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, Task, UmbelError, pad_targets
from umbel.data import MultiTaskData, SideBySide, TensorSource
from umbel.data.several import several


def numbered(count: int, start: int, **targets) -> TensorSource:
    return TensorSource(Batch(torch.arange(float(start), start + count).unsqueeze(1), targets))


def pair(**options) -> SideBySide:
    """23 labelled samples, 0 to 22, and 9 without label, 100 to 108."""
    return SideBySide([numbered(23, 0, kind=torch.arange(23) % 3), numbered(9, 100)], **options)


def numbers(batches) -> list[list[int]]:
    return [batch.inputs[:, 0].long().tolist() for batch in batches]


def test_each_batch_holds_both_in_their_parts_with_labels_where_there_are_any():
    source = pair(parts=(3, 1))
    assert source.sizes(8) == [6, 2] and source.steps(8) == 4 == max(23 // 6, 9 // 2) and len(source) == 32
    for batch in source.train_batches(8, 0, 0):
        values = batch.inputs[:, 0].long()
        assert batch.domain.tolist() == [0] * 6 + [1] * 2 == (values >= 100).long().tolist()
        assert batch.target("kind").tolist() == [*(values[:6] % 3).tolist(), -1, -1]


def test_every_source_is_passed_whole_and_in_another_order_each_time():
    source = pair(parts=(2, 1))  # 6 and 3: 3 steps a pass of each
    of_both = [numbers(source.train_batches(9, 7, epoch)) for epoch in range(3)]
    second = [[n for batch in epoch for n in batch[6:]] for epoch in of_both]
    assert all(sorted(passed) == list(range(100, 109)) for passed in second)
    assert len({tuple(passed) for passed in second}) == 3
    short = SideBySide([numbered(40, 0), numbered(6, 100)])  # 10 steps of the first, 1 pass of the second in each
    again = [n for batch in numbers(short.train_batches(8, 0, 0)) for n in batch[4:]]
    assert len(again) == 40 and set(again) == set(range(100, 106))


def test_two_sources_of_one_length_are_not_shuffled_alike():
    source = SideBySide([numbered(12, 0), numbered(12, 100)])
    rows = numbers(source.train_batches(8, 3, 0))
    assert any([n - 100 for n in row[4:]] != row[:4] for row in rows)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_an_epoch_resumes_at_any_step(start):
    source = pair(parts=(3, 1))
    for epoch in (0, 1, 2):
        whole = numbers(source.train_batches(8, 5, epoch))
        assert numbers(source.train_batches(8, 5, epoch, start)) == whole[start:]


def test_shares_of_all_processes_make_up_the_batch_of_one():
    source = pair(parts=(3, 1))
    whole = [sorted(row) for row in numbers(source.train_batches(10, 1, 1))]
    parts = [numbers(source.train_batches(10, 1, 1, 0, rank, 2)) for rank in (0, 1)]
    assert [sorted(one + other) for one, other in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_sample_is_evaluated_once_with_its_domain(world_size):
    source, seen = pair(), []
    for rank in range(world_size):
        for batch in source.batches(4, rank, world_size):
            values = batch.inputs[:, 0].long()
            seen += values.tolist()
            assert torch.equal(batch.domain, (values >= 100).long())
            assert torch.equal(batch.target("kind"), torch.where(values < 100, values % 3, -1))
    assert sorted(seen) == [*range(23), *range(100, 109)]


def test_lists_of_different_length_are_padded_as_their_task_wants():
    boxes = Task("boxes", 1, None, {"m": None}, True, padding=-1.0)
    one = numbered(4, 0, boxes=pad_targets([torch.ones(n) for n in (1, 2, 1, 2)], -1.0))
    other = numbered(4, 100, boxes=torch.ones(4, 3))
    batch = next(SideBySide([one, other], tasks=[boxes]).train_batches(8, 0, 0))
    assert batch.target("boxes").shape == (8, 3) and (batch.target("boxes")[:4, 2] == -1).all()
    with pytest.raises(UmbelError, match="target 'boxes' of part 0"):
        next(SideBySide([one, other]).train_batches(8, 0, 0))


def test_joined_sets_may_be_trained_side_by_side():
    kind = tasks.classification("kind", "abc")
    sets = [
        MultiTaskData(name, name, (kind,), *[numbered(count, 0, kind=torch.arange(count) % 3)] * 3, (1,))
        for name, count in (("large", 30), ("small", 6))
    ]
    together, halves = several(sets, "n", "N").train, several(sets, "n", "N", parts=(1, 1)).train
    assert len(together) == len(halves) == 36
    assert [batch.domain.sum().item() for batch in halves.train_batches(12, 0, 0)] == [6] * 5
    assert sum(int(batch.domain.sum()) for batch in together.train_batches(12, 0, 0)) <= 6


class Dry(TensorSource):
    def train_batches(self, *place, **named):
        return islice(super().train_batches(*place, **named), 0)


def test_what_does_not_fit_is_named():
    for sources, parts, words in (
        ([numbered(3, 0)], None, r"1 source\(s\) side by side; give at least two"),
        ([numbered(3, 0)] * 2, (1,), "one number greater than 0 for each of 2"),
        ([numbered(3, 0)] * 2, (1, 0), "one number greater than 0 for each of 2"),
    ):
        with pytest.raises(UmbelError, match=words):
            SideBySide(sources, parts)
    with pytest.raises(UmbelError, match="a batch of 4 samples holds none of source 1"):
        next(pair(parts=(20, 1)).train_batches(4, 0, 0))
    with pytest.raises(UmbelError, match="a source gave no batch for step 1 of its epoch 0"):
        list(SideBySide([numbered(8, 0), Dry(numbered(8, 0).samples)]).train_batches(4, 0, 0))
