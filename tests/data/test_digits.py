import numpy as np
import pytest
import torch
from conftest import requires_set
from sklearn.datasets import load_digits

from umbel.core import UmbelError
from umbel.data import load_data, seeded
from umbel.data.digits import digits, overlay_digits
from umbel.data.overlay import DIM, gap_range, overlay

SPLITS = ("train", "validation", "test")


def samples(data):
    return [getattr(data, split).samples for split in SPLITS]


def rows(pictures):
    """Each picture as bytes."""
    return [picture.numpy().tobytes() for picture in pictures]


def test_the_splits_are_scikit_learns_digits_each_once():
    parts = samples(digits())
    assert [len(part) for part in parts] == [1222, 216, 359]
    bunch = load_digits()
    levels = torch.cat([part.inputs for part in parts]).double() * 16 / 255
    ours = torch.cat([levels.round().flatten(1), torch.cat([part.targets["digit"] for part in parts])[:, None]], 1)
    theirs = np.column_stack([bunch.images.reshape(len(bunch.images), -1), bunch.target])
    assert (levels - levels.round()).abs().max() < 0.05  # 17 grey levels survive as bytes
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


def test_labels_that_follow_from_the_digit():
    for part in samples(digits()):
        digit, targets = part.targets["digit"], part.targets
        assert torch.equal(targets["parity"], digit % 2)
        assert set(digit[targets["loops"] == 1].tolist()) == {0, 6, 8, 9}
        assert set(digit[targets["loops"] == 0].tolist()) == {1, 2, 3, 4, 5, 7}


def test_size_takes_a_fixed_part_of_the_training_samples_only():
    whole, first, again = digits(), digits(size=100), digits(size=100)
    assert [len(part) for part in samples(first)] == [100, 216, 359]
    assert torch.equal(first.train.samples.inputs, again.train.samples.inputs)
    assert set(rows(first.train.samples.inputs)) <= set(rows(whole.train.samples.inputs))
    assert len(first.train.samples.targets["digit"].unique()) == 10  # not the first 100 of a sorted set
    assert len(digits(size=10**6).train) == 1222


def test_resolution_and_reconstruction():
    data = digits(size=5, resolution=16, reconstruction=True)
    assert data.input_shape == (1, 16, 16)
    assert data.train.samples.inputs.dtype == torch.uint8
    [batch] = data.train.batches(8)
    assert torch.equal(data.task("reconstruction").target_of(batch), batch.inputs)
    small = digits(size=5).train.samples.inputs.float()
    assert torch.allclose(data.train.samples.inputs.float().mean((2, 3)), small.mean((2, 3)), atol=4)  # same grey


def dots(places, side=8):
    """Pictures with a single bright pixel each, so that its place after overlaying can be read."""
    pictures = torch.zeros(len(places), 1, side, side, dtype=torch.uint8)
    for picture, (y, x) in zip(pictures, places, strict=True):
        picture[0, y, x] = 200
    return pictures


def test_overlay_does_what_its_labels_say():
    # Digit k is a dot at (0, 0) of its box with a brightness of its own, so the dots are the boxes' corners.
    pictures = dots([(0, 0)] * 10) * 0
    pictures[:, 0, 0, 0] = torch.arange(160, 260, 10).clamp(max=250).to(torch.uint8)
    batch = overlay(pictures, torch.arange(10), 500, 16, seeded(1))
    targets = batch.targets
    least, most = gap_range(16, 8)
    for k in range(len(batch)):
        corners = batch.inputs[k, 0].nonzero()
        assert len(corners) == 2
        (y_left, x_left), (y_right, x_right) = corners[corners[:, 1].argsort()].tolist()
        assert x_right - x_left == targets["gap"][k, 0]
        assert targets["higher"][k] == (y_right < y_left)
        values = [int(batch.inputs[k, 0, y_left, x_left]), int(batch.inputs[k, 0, y_right, x_right])]
        full = [int(pictures[targets[side][k], 0, 0, 0]) for side in ("left", "right")]
        dim = 1 - int(targets["brighter"][k])
        assert values[1 - dim] == full[1 - dim]
        assert values[dim] == round(full[dim] * DIM)
    assert sorted(targets["gap"].unique().tolist()) == list(range(least, most + 1))
    assert not (targets["left"] == targets["right"]).any()  # ten pictures: a picture never meets itself


def test_where_digits_overlap_the_brighter_pixel_counts():
    pictures = torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)
    batch = overlay(pictures, torch.tensor([3, 4]), 50, 16, seeded(2))
    assert set(batch.inputs.unique().tolist()) == {0, 60, 100}
    for picture in batch.inputs:
        assert (picture == 100).sum() == 64  # the brighter digit is whole


def test_attributes_are_independent_of_the_digits():
    targets = overlay_digits().train.samples.targets
    for attribute in ("brighter", "higher"):
        assert abs(targets[attribute].float().mean() - 0.5) < 0.02
        for side in ("left", "right"):
            for digit in range(10):
                assert abs(targets[attribute][targets[side] == digit].float().mean() - 0.5) < 0.06
    counts = torch.bincount(targets["left"] * 10 + targets["right"], minlength=100).float()
    assert counts.min() > 100  # every ordered pair of digits occurs, 200 times on average
    gap = targets["gap"][:, 0]
    task = overlay_digits(size=10).task("gap")
    assert torch.allclose(task.decode(torch.zeros(1, 1)), gap.mean(), atol=0.05)
    assert torch.allclose(task.decode(torch.ones(1, 1)) - gap.mean(), gap.std(), atol=0.05)


def test_no_digit_is_in_two_splits():
    # At the widest gap the two do not touch, and the brighter one is unchanged: look it up among the single digits.
    single = {split: set(rows(part.inputs)) for split, part in zip(SPLITS, samples(digits()), strict=True)}
    assert not any(single[a] & single[b] for a in SPLITS for b in SPLITS if a < b)
    for split, part in zip(SPLITS, samples(overlay_digits(size=2_000)), strict=True):
        chosen = part[part.targets["gap"][:, 0] == 8]
        right = (chosen.targets["brighter"] == 1).view(-1, 1, 1)
        halves = torch.where(right, chosen.inputs[:, 0, :, 8:], chosen.inputs[:, 0, :, :8])
        found = [set(rows(half.unfold(0, 8, 1).transpose(1, 2).contiguous())) & single[split] for half in halves]
        assert len(found) > 200
        assert all(found)


def test_pairs_depend_on_the_seed_and_nothing_else():
    first, again, other = overlay_digits(size=50), overlay_digits(size=50), overlay_digits(size=50, seed=1)
    for a, b, c in zip(samples(first), samples(again), samples(other), strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert not torch.equal(a.inputs, c.inputs)
    assert not torch.equal(first.validation.samples.targets["left"][:50], first.train.samples.targets["left"])
    assert [len(part) for part in samples(overlay_digits())] == [20_000, 2_000, 4_000]


def test_canvas_and_mistakes():
    data = overlay_digits(size=20, canvas=12)
    assert data.input_shape == (1, 12, 12)
    assert data.train.samples.targets["gap"].max() <= 4
    assert overlay_digits(size=20, resolution=32).input_shape == (1, 32, 32)
    with pytest.raises(UmbelError, match=r"canvas is 10; .* at least 12"):
        overlay_digits(canvas=10)
    with pytest.raises(UmbelError, match="size is 0"):
        overlay_digits(size=0)


@pytest.fixture(scope="module")
def mnist_files():
    requires_set("mnist", "MNIST/raw/train-images-idx3-ubyte*")


def test_mnist_is_what_torchvision_reads(mnist_files):
    from torchvision.datasets import MNIST

    from umbel.data import find

    root = find("MNIST/raw").parents[1]
    data = load_data("mnist")
    assert [len(part) for part in samples(data)] == [51_000, 9_000, 10_000]
    theirs = MNIST(str(root), train=False)
    assert torch.equal(data.test.samples.inputs[:, 0], theirs.data)
    assert torch.equal(data.test.samples.targets["digit"], theirs.targets)
    theirs = MNIST(str(root), train=True)
    ours = rows(torch.cat([data.train.samples.inputs, data.validation.samples.inputs])[:, 0])
    assert sorted(ours) == sorted(rows(theirs.data))
    digit = data.train.samples.targets["digit"]
    assert torch.equal(data.train.samples.targets["large"], (digit > 4).long())
    assert torch.equal(data.train.samples.targets["parity"], digit % 2)


def test_overlaid_mnist(mnist_files):
    data = load_data("overlay-mnist", size=300, resolution=32)
    assert data.input_shape == (1, 32, 32)
    assert len(data.train) == 300
    assert data.train.samples.targets["gap"].unique().tolist() == [4, 5, 6, 7, 8]


def test_pairs_of_mnist(mnist_files):
    data = load_data("digit-pairs", size=30, resolution=14)
    assert data.input_shape == (1, 14, 28) and len(data.train) == 30
    assert [task.name for task in data.tasks] == ["left", "right"]
