import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from umbel.core import Batch, Inputs, UmbelError, labelled


def make_batch(size: int) -> Batch:
    inputs: Inputs = {"picture": torch.arange(size * 2.0).view(size, 2), "text": torch.arange(size)}
    return Batch(inputs, {"a": torch.arange(size) * 10}, torch.arange(size) % 2)


@given(st.integers(0, 30), st.integers(1, 8))
def test_chunks_are_all_samples_in_order_in_nearly_equal_pieces(size, count):
    batch = make_batch(size)
    pieces = list(batch.chunks(count))
    lengths = [len(piece) for piece in pieces]
    assert len(pieces) == count
    assert max(lengths) - min(lengths) <= 1
    assert torch.equal(torch.cat([p.inputs["picture"] for p in pieces]), batch.inputs["picture"])
    assert torch.equal(torch.cat([p.targets["a"] for p in pieces]), batch.targets["a"])
    assert torch.equal(torch.cat([p.domain for p in pieces]), batch.domain)


def test_picking_samples_picks_them_everywhere():
    batch = make_batch(6)
    for index in (torch.tensor([4, 1]), torch.tensor([False, True, False, False, True, False]).nonzero()[:, 0].flip(0)):
        part = batch[index]
        assert len(part) == 2
        assert part.inputs["text"].tolist() == [4, 1]
        assert part.target("a").tolist() == [40, 10]
        assert part.domain.tolist() == [0, 1]
    assert len(batch[torch.tensor([True] * 2 + [False] * 4)]) == 2


def test_map_reaches_every_tensor_and_keeps_what_is_absent():
    doubled = make_batch(3).map(lambda tensor: tensor * 2)
    assert doubled.inputs["text"].tolist() == [0, 2, 4]
    assert doubled.targets["a"].tolist() == [0, 20, 40]
    assert doubled.domain.tolist() == [0, 2, 0]
    bare = Batch(torch.zeros(2, 3)).map(lambda tensor: tensor + 1)
    assert bare.domain is None and not bare.targets and bare.inputs.sum() == 6


def test_to_moves_everything():
    moved = make_batch(2).to("meta")
    assert {t.device.type for t in (*moved.inputs.values(), *moved.targets.values(), moved.domain)} == {"meta"}


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UmbelError, match="unknown target 'aa'; did you mean 'a'"):
        make_batch(2).target("aa")


def test_missing_labels_are_nan_or_negative():
    assert labelled(torch.tensor([0.0, torch.nan, -3.0, torch.inf])).tolist() == [True, False, True, True]
    assert labelled(torch.tensor([0, -1, 7, -100])).tolist() == [True, False, True, False]
    assert labelled(torch.tensor([True, False])).tolist() == [True, True]
