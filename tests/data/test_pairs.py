"""Two pictures side by side: each side is its picture, the sides are independent, and no picture is in two splits."""

import pytest
import torch
from sklearn.datasets import load_digits

from umbel import load_data
from umbel.core import UmbelError
from umbel.data.pairs import BACKGROUNDS, pair_tasks, pairs
from umbel.metrics import guess_accuracy


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_side_is_the_picture_of_its_label():
    pictures = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4) * 50
    batch = pairs(pictures, torch.arange(5), 300, False, drawn())
    assert batch.inputs.shape == (300, 1, 4, 8) and batch.inputs.dtype == torch.uint8
    for side, columns in (("left", slice(0, 4)), ("right", slice(4, 8))):
        assert (batch.inputs[..., columns] == 50 * batch.target(side).view(-1, 1, 1, 1)).all()
    assert list(batch.targets) == ["left", "right"]


def test_a_background_lifts_what_is_darker_and_only_that():
    pictures = torch.tensor([0, 60, 255], dtype=torch.uint8).view(1, 1, 1, 3).expand(2, 1, 3, 3)
    batch = pairs(pictures, torch.zeros(2, dtype=torch.int64), 64, True, drawn())
    levels = torch.tensor([0, 40, 80, 120])[batch.target("background")]
    assert set(levels.tolist()) == {0, 40, 80, 120}
    assert torch.equal(batch.inputs[:, 0, 0, 0].long(), levels)
    assert torch.equal(batch.inputs[:, 0, 0, 1].long(), levels.clamp(min=60))
    assert (batch.inputs[:, 0, 0, 2] == 255).all()


def test_one_label_says_nothing_of_another():
    data = load_data("digits-pairs", size=20_000, background=True)
    targets = data.train.samples.targets
    for known, wanted in (("left", "right"), ("right", "left"), ("background", "left"), ("left", "background")):
        one, other = targets[known], targets[wanted]
        blind = guess_accuracy(torch.zeros_like(one), other)
        assert guess_accuracy(one, other) < blind + 0.02, (known, wanted)


def test_no_picture_is_in_two_splits_and_the_seed_decides():
    data, again, other = (load_data("digits-pairs", size=400, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(data.train.samples.inputs, again.train.samples.inputs)
    assert not torch.equal(data.train.samples.inputs, other.train.samples.inputs)
    halves = []
    for source in (data.train, data.validation, data.test):
        inputs = source.samples.inputs
        halves.append({bytes(half.numpy().tobytes()) for half in (*inputs[..., :8], *inputs[..., 8:])})
    # scikit-learn's digits have no two that are alike
    assert len({picture.tobytes() for picture in load_digits().images}) == 1797
    assert not halves[0] & halves[1] and not halves[0] & halves[2] and not halves[1] & halves[2]


def test_size_resolution_and_mistakes():
    data = load_data("digits-pairs", size=50, resolution=12)
    assert data.input_shape == (1, 12, 24) and len(data.train) == 50
    assert [task.outputs for task in pair_tasks("ab", background=True)] == [2, 2, len(BACKGROUNDS)]
    with pytest.raises(UmbelError, match="size is 0; give at least 1 training pair"):
        load_data("digits-pairs", size=0)
