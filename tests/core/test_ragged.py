"""Samples of different sizes: padding puts each at its place, and what was added counts nowhere."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.regression import MeanSquaredError

from umbel import tasks
from umbel.core import (
    Batch,
    Task,
    UmbelError,
    join_batches,
    join_padded,
    lengths_of,
    missing_label,
    pad,
    pad_inputs,
    pad_targets,
    sizes_of,
    within,
)

SHAPES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=5)


def made(shapes, offset=1.0):
    return [torch.arange(float(math.prod(shape))).view(shape) + offset for shape in shapes]


@given(SHAPES)
def test_padded_tensors_come_back_whole_and_the_rest_is_padding(shapes):
    tensors = made(shapes)
    padded, sizes = pad(tensors, value=-7)
    assert sizes.tolist() == [list(shape) for shape in shapes]
    inside = within(sizes, padded.shape[1:])
    assert (padded[~inside] == -7).all()
    for place, mask, tensor in zip(padded, inside, tensors, strict=True):
        assert torch.equal(place[: tensor.shape[0], : tensor.shape[1]], tensor)
        assert int(mask.sum()) == tensor.numel() and (place[mask] == tensor.flatten()).all()
    assert list(padded.shape[1:]) == [max(1, *axis, 0) for axis in zip(*shapes, strict=True)]


def test_pieces_devices_and_picked_samples_keep_their_sizes():
    series = [torch.ones(length, 2) for length in (3, 1, 5, 2)]
    batch = Batch({**pad_inputs("series", series), "code": torch.arange(4)}, {"kind": torch.tensor([0, 1, -1, 1])})
    assert len(batch) == 4 and lengths_of(batch.inputs, "series").tolist() == [3, 1, 5, 2]
    pieces = list(batch.chunks(2))
    assert [lengths_of(piece.inputs, "series").tolist() for piece in pieces] == [[3, 1], [5, 2]]
    picked = batch[torch.tensor([2, 0])].to("cpu")
    assert sizes_of(picked.inputs, "series").tolist() == [[5, 2], [3, 2]]
    mask = within(lengths_of(picked.inputs, "series"), [5])
    assert mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert picked.inputs["series"][mask].sum() == 2 * (5 + 3)


def test_what_is_behind_the_end_of_a_target_teaches_nothing():
    lists = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0]), None]
    target = pad_targets(lists)
    assert target[1].isnan().tolist() == [False, True, True] and target[2].isnan().all()
    task = tasks.regression("t", 3)
    prediction = torch.zeros(3, 3, requires_grad=True)
    loss = task.mean_loss(prediction, target)
    assert task.count(target) == 4 and loss.item() == pytest.approx((1 + 4 + 9 + 25) / 4)
    loss.backward()
    assert ((prediction.grad != 0) == ~target.isnan()).all()
    assert pad_targets([torch.tensor([1, 0]), torch.tensor([2])]).tolist() == [[1, 0], [2, -1]]


def test_a_sample_without_any_box_differs_from_one_that_nobody_labelled():
    seen = []

    def loss(prediction, target):
        seen.append(target)
        return prediction.sum(1)

    task = Task(
        "boxes", 2, loss, {"m": MeanSquaredError}, False, padding=-1.0,
        labelled=lambda target: ~target.isnan().flatten(1).any(1),
    )  # fmt: skip
    target = pad_targets([torch.ones(2, 4), torch.ones(0, 4), None], task.padding)
    assert task.count(target) == 2
    task.mean_loss(torch.ones(3, 2), target)
    assert (seen[0][1] == -1).all() and (seen[0][0] == 1).all()
    kept = {}
    task.update(type("Keep", (), {"update": lambda _, *given: kept.update(given=given)})(), torch.ones(3, 2, 4), target)
    assert kept["given"][0].shape == kept["given"][1].shape == (2, 2, 4)
    none_at_all = pad_targets([torch.ones(0, 4), None], task.padding)
    assert task.labelled(none_at_all).tolist() == [True, False]


def test_tensors_of_batches_with_other_sizes_are_joined():
    one, other = torch.ones(2, 3, 1), torch.full((1, 2, 4), 2.0)
    joined = join_padded([one, other], math.nan)
    assert joined.shape == (3, 3, 4)
    assert torch.equal(joined[:2, :, :1], one) and torch.equal(joined[2:, :2], other)
    assert int(joined.isnan().sum()) == joined.numel() - one.numel() - other.numel()
    assert torch.equal(join_padded([one, one], 0), torch.cat([one, one]))
    assert join_padded([torch.ones(2), torch.ones(3)], 0).shape == (5,)


def test_batches_are_joined_with_their_domain_and_their_missing_labels():
    first = Batch(pad_inputs("x", [torch.ones(2), torch.ones(3)]), {"a": torch.tensor([[1.0], [2.0]])})
    second = Batch(pad_inputs("x", [torch.ones(5)]), {"b": torch.tensor([[3, 4]])})
    both = join_batches([first, second])
    assert both.domain.tolist() == [0, 0, 1]
    assert both.inputs["x"].shape == (3, 5) and lengths_of(both.inputs, "x").tolist() == [2, 3, 5]
    assert both.target("a").flatten().isnan().tolist() == [False, False, True]
    assert both.target("b").tolist() == [[-1, -1], [-1, -1], [3, 4]]
    longer = Batch(second.inputs, {"a": torch.tensor([[3.0, 4.0]])})
    assert join_batches([first, longer], {"a": None}).target("a").isnan().sum() == 2
    assert join_batches([first, longer], {"a": -1.0}).target("a").tolist() == [[1, -1], [2, -1], [3, 4]]
    with pytest.raises(UmbelError, match=r"target 'a' of part 0 is \(1,\)[^\n]*part 1 is \(2,\)"):
        join_batches([first, longer])
    with pytest.raises(UmbelError, match=r"part 0 has the inputs \['x', 'x/size'\], part 1 has \[''\]"):
        join_batches([first, Batch(torch.ones(1, 2))])
    with pytest.raises(UmbelError, match="input of part 0"):
        join_batches([Batch(torch.ones(1, 2)), Batch(torch.ones(1, 3))])


def test_what_cannot_be_padded_is_named():
    with pytest.raises(UmbelError, match=r"input 'x' 0 is \(2,\) [^\n]*input 'x' 1 is \(1, 1\)"):
        pad_inputs("x", [torch.ones(2), torch.ones(1, 1)])
    with pytest.raises(UmbelError, match="no tensor to pad"):
        pad([])
    with pytest.raises(UmbelError, match="no sample has a target"):
        pad_targets([None])
    with pytest.raises(UmbelError, match="type bool, which cannot mark a missing label"):
        missing_label(torch.bool)
    for inputs in (torch.ones(2, 3), {"x": torch.ones(2, 3)}):
        with pytest.raises(UmbelError, match="input 'x' has no sizes beside it"):
            sizes_of(inputs, "x")
