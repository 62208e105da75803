"""The target's pictures: which are similar, and which of them a step sees."""

import pytest
import torch
from detection_cases import rectangles

from umbel import UmbelError
from umbel.core import Batch
from umbel.methods import TargetPictures, divide
from umbel.methods.source_free_target import DISSIMILAR, SIMILAR, SIMULATED

SAMPLES = rectangles(7)
KINDS = torch.tensor([True, False, True, False, False, False, True])


def source(simulate_from: float = 0.6, similar: torch.Tensor = KINDS, steps: int = 10) -> TargetPictures:
    return TargetPictures(SAMPLES, similar, steps, simulate_from, "boxes")


def numbers(batch: Batch) -> list[int]:
    """Which pictures they are."""
    each = [(SAMPLES.inputs["picture"] == one).flatten(1).all(1).nonzero() for one in batch.inputs["picture"]]
    return [int(number) for number in each]


def test_the_greatest_variance_is_similar():
    scores = torch.tensor([0.3, 0.9, 0.1, 0.9, 0.5])
    assert divide(scores, 0.4).tolist() == [False, True, False, True, False]
    assert divide(scores, 0.01).tolist() == [False, True, False, False, False]  # one of either kind at least
    assert int(divide(scores, 0.99).sum()) == 4
    for share in (0.0, 1.0, 1.5):
        with pytest.raises(UmbelError, match="share of similar pictures"):
            divide(scores, share)
    with pytest.raises(UmbelError, match="one picture cannot be divided"):
        divide(scores[:1], 0.5)


def test_a_batch_depends_on_seed_and_step_alone():
    whole = list(source().train_batches(4, 3, 0))
    assert len(whole) == 10 == source().steps(4)
    later = list(source().train_batches(4, 3, 0, start=6))
    for one, other in zip(whole[6:], later, strict=True):
        assert torch.equal(one.inputs["picture"], other.inputs["picture"]) and torch.equal(one.domain, other.domain)
    another = next(source().train_batches(4, 4, 0))
    assert not torch.equal(whole[0].inputs["picture"], another.inputs["picture"])
    assert [numbers(b) for b in whole[:6]] != [numbers(whole[0])] * 6


def test_both_kinds_are_in_every_piece_until_mosaics_begin():
    for step, batch in enumerate(source().train_batches(4, 0, 0)):
        if step >= 6:
            assert batch.domain.tolist() == [SIMULATED] * 4
            continue
        assert batch.domain.tolist() == [SIMILAR, DISSIMILAR] * 2
        assert [int(not KINDS[n]) for n in numbers(batch)] == batch.domain.tolist()
        assert all(set(piece.domain.tolist()) == {SIMILAR, DISSIMILAR} for piece in batch.chunks(2))
    assert {0, 1, 2, 3, 4, 5, 6} == {n for b in source(0.0).train_batches(4, 0, 0) for n in numbers(b)}


def test_one_kind_alone_is_not_aligned():
    alone = source(similar=torch.ones(7, dtype=torch.bool))
    assert next(alone.train_batches(4, 0, 0)).domain.tolist() == [SIMILAR] * 4


def test_no_picture_comes_twice_before_all_of_its_kind_have_come():
    for batch in source(1.0).train_batches(7, 0, 0):
        of_kind = [numbers(batch)[place] for place in range(0, 7, 2)]  # 4 of the 3 similar ones
        assert set(of_kind) == {0, 2, 6}


def test_processes_get_consecutive_shares():
    whole = list(source().train_batches(4, 0, 0))
    shares = [list(source().train_batches(4, 0, 0, rank=rank, world_size=2)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat([first.inputs["picture"], second.inputs["picture"]]), batch.inputs["picture"])
        assert torch.equal(torch.cat([first.domain, second.domain]), batch.domain)


def test_batches_of_one_have_either_kind_in_turn():
    domains = [batch.domain.tolist() for batch in source().train_batches(1, 0, 0)]
    assert domains[:6] == [[SIMILAR], [DISSIMILAR]] * 3


def test_a_batch_is_at_most_all_pictures_and_all_come_in_order():
    """Else a great --batch-size for few pictures would fill the memory with copies of them."""
    assert len(next(source().train_batches(100_000, 0, 0))) == 7
    assert [n for batch in source().batches(3) for n in numbers(batch)] == list(range(7))
    dealt = [[numbers(b) for b in source().batches(2, rank=r, world_size=2)] for r in (0, 1)]
    assert dealt == [[[0, 1], [4, 5]], [[2, 3], [6]]]
    with pytest.raises(UmbelError, match="no picture of the target"):
        TargetPictures(SAMPLES[:0], KINDS[:0], 3, 0.5, "boxes")
