import pytest
import torch

from umbel.core import Batch, UmbelError
from umbel.data import Augmentations, CropAndFlip, Flip, FlipMaps, Shift, seeded
from umbel.data.augment import mirrored_points
from umbel.data.faces import MIRRORED_68

FLIPPED, KEPT = torch.zeros(4, 1), torch.full((4, 1), 0.5)


def pictures(count=4, height=6, width=5):
    return torch.rand(count, 2, height, width, generator=seeded(1))


def shift_numbers(pixels, rows, columns):
    """The uniform numbers that move a picture by so many rows down and columns to the right."""
    steps = 2 * pixels + 1
    return torch.tensor([[(pixels - rows + 0.5) / steps, (pixels - columns + 0.5) / steps]])


def test_flip_mirrors_the_samples_below_one_half_only():
    batch = Batch(pictures(), {"class": torch.arange(4)})
    out = Flip()(batch, torch.tensor([[0.49], [0.5], [0.0], [0.99]]))
    mirrored = batch.inputs.flip(-1)
    assert torch.equal(out.inputs, torch.stack([mirrored[0], batch.inputs[1], mirrored[2], batch.inputs[3]]))
    assert torch.equal(out.targets["class"], batch.targets["class"])


def test_classes_that_mean_a_side_change_with_the_picture():
    flip = FlipMaps([], mirrored_classes={"side": (2, 1, 0)})
    batch = Batch(pictures(), {"side": torch.tensor([0, 1, 2, -1])})
    assert flip(batch, FLIPPED).target("side").tolist() == [2, 1, 0, -1]
    assert flip(batch, KEPT).target("side").tolist() == [0, 1, 2, -1]
    with pytest.raises(UmbelError, match="not a permutation"):
        FlipMaps([], mirrored_classes={"side": (2, 0)})


def test_flipping_twice_changes_nothing():
    points = torch.rand(4, 136, generator=seeded(2)) * 5
    maps = {"normals": torch.randn(4, 3, 6, 5, generator=seeded(3)), "classes": torch.arange(120).view(4, 6, 5)}
    batch = Batch(pictures(), {"landmarks": points, **maps}, torch.arange(4))
    for flip in (Flip({"landmarks": MIRRORED_68}), FlipMaps(["normals", "classes"])):
        once = flip(batch, FLIPPED)
        twice = flip(once, FLIPPED)
        assert not torch.equal(once.inputs, batch.inputs)
        assert torch.equal(twice.inputs, batch.inputs)
        assert torch.equal(twice.domain, batch.domain)
        assert all(torch.allclose(twice.targets[name], batch.targets[name]) for name in batch.targets)
        kept = flip(batch, KEPT)
        assert all(torch.equal(kept.targets[name], batch.targets[name]) for name in batch.targets)


def test_landmarks_stay_on_the_pixels_they_mark():
    # Each point sits on a pixel of its own colour; after any change the pixel at the point still has that colour.
    order = [1, 0, 2]
    canvas, points = torch.zeros(1, 1, 9, 9), torch.tensor([[2.0, 3.0, 5.0, 4.0, 4.0, 6.0]])
    for number, (x, y) in enumerate(points.view(3, 2).int().tolist()):
        canvas[0, 0, y, x] = number + 1
    batch = Batch(canvas, {"points": points})
    for augment, uniform, colours in (
        (Flip({"points": order}), FLIPPED[:1], [2, 1, 3]),  # left and right swapped
        (Shift(2, ["points"]), shift_numbers(2, rows=-1, columns=2), [1, 2, 3]),
        (Shift(2, ["points"], fill="edge"), shift_numbers(2, rows=2, columns=-2), [1, 2, 3]),
        (
            Augmentations([Flip({"points": order}), Shift(1, ["points"])]),
            torch.cat([FLIPPED[:1], shift_numbers(1, 1, -1)], 1),
            [2, 1, 3],
        ),
    ):
        out = augment(batch, uniform)
        assert [out.inputs[0, 0, int(y), int(x)] for x, y in out.targets["points"].view(3, 2)] == colours


def test_missing_landmarks_stay_missing_under_their_new_number():
    points = torch.tensor([[1.0, 2.0, torch.nan, torch.nan]])
    assert mirrored_points(points, torch.tensor([1, 0]), 10)[0, :2].isnan().all()
    assert mirrored_points(points, torch.tensor([1, 0]), 10)[0, 2:].tolist() == [8.0, 2.0]


def test_the_68_points_mirror_in_pairs():
    assert [MIRRORED_68[k] for k in MIRRORED_68] == list(range(68))
    in_the_middle = [k for k in range(68) if MIRRORED_68[k] == k]
    assert in_the_middle == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def test_shift_is_a_crop_of_the_padded_picture():
    batch = Batch(pictures(200))
    uniform = torch.rand(200, 2, generator=seeded(4))
    for fill, mode in (("zero", "constant"), ("edge", "replicate")):
        out = Shift(2, fill=fill)(batch, uniform).inputs
        padded = torch.nn.functional.pad(batch.inputs, [2] * 4, mode=mode)
        for k, (y, x) in enumerate((uniform * 5).int().tolist()):
            assert torch.equal(out[k], padded[k, :, y : y + 6, x : x + 5])
    assert len(torch.unique((uniform * 5).int(), dim=0)) == 25  # every shift came up


def test_a_constant_picture_stays_constant_inside():
    out = CropAndFlip(2)(Batch(torch.ones(50, 1, 8, 8)), torch.rand(50, 3, generator=seeded(5))).inputs
    assert (out[:, :, 2:-2, 2:-2] == 1).all()
    assert set(out.unique().tolist()) == {0.0, 1.0}
    edge = Shift(3, fill="edge")(Batch(torch.ones(50, 1, 8, 8)), torch.rand(50, 2, generator=seeded(6))).inputs
    assert (edge == 1).all()


def test_maps_turn_with_their_picture_and_normals_point_the_other_way():
    normals = torch.zeros(4, 3, 6, 5)
    normals[:, 0, 2, 0], normals[:, 1, 2, 0] = 0.6, 0.8
    targets = {
        "segmentation": torch.arange(120).view(4, 6, 5),
        "depth": pictures()[:, :1],
        "normals": normals,
        "scene": torch.arange(4),
    }
    before = {name: target.clone() for name, target in targets.items()}
    out = FlipMaps(["segmentation", "depth", "normals"])(Batch(pictures(), targets), FLIPPED)
    assert torch.equal(out.targets["segmentation"], before["segmentation"].flip(-1))
    assert torch.equal(out.targets["depth"], before["depth"].flip(-1))
    assert torch.allclose(out.targets["normals"][:, :, 2, -1], torch.tensor([-0.6, 0.8, 0.0]))
    assert torch.equal(out.targets["scene"], before["scene"])
    assert all(torch.equal(targets[name], before[name]) for name in before)  # the stored targets are not written to


def test_parts_get_numbers_of_their_own():
    both = Augmentations([Flip(), Shift(2), Flip()])
    assert both.draws == 4
    uniform = torch.rand(4, 4, generator=seeded(7))
    batch = Batch(pictures())
    by_hand = Flip()(Shift(2)(Flip()(batch, uniform[:, :1]), uniform[:, 1:3]), uniform[:, 3:])
    assert torch.equal(both(batch, uniform).inputs, by_hand.inputs)


def test_mistakes():
    with pytest.raises(UmbelError, match="not a permutation"):
        Flip({"points": [0, 0, 1]})
    with pytest.raises(UmbelError, match="0 or more"):
        Shift(-1)
    with pytest.raises(UmbelError, match="border"):
        Shift(1, fill="mirror")
    with pytest.raises(UmbelError, match="unknown target 'nomals'; did you mean 'normals'"):
        FlipMaps(["nomals"])(Batch(pictures(), {"normals": torch.zeros(4, 3, 6, 5)}), FLIPPED)
    with pytest.raises(UmbelError, match="leave `augment` out"):
        Flip()(Batch(torch.zeros(4, 3)), FLIPPED)
