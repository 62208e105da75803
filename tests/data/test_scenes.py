"""The random scenes and the data set made of them, against what they promise."""

import itertools
import math

import pytest
import torch

from umbel.core import UmbelError
from umbel.core.checks import check_inputs, check_labels
from umbel.data.maps import boundaries_of, centre_and_scale
from umbel.data.random_scenes import KINDS, random_scenes
from umbel.data.scenes import rendered, scenes
from umbel.data.shading import render
from umbel.data.source import seeded

NAN = math.nan


def plane_residual(batch, focal, surface):
    """|normal · step| between neighbouring pixels of one flat surface: 0 only if depth, normals and camera agree."""
    depth, normals = batch.target("depth").double(), batch.target("normals").double()
    size = depth.shape[-1]
    middle = (torch.arange(size, dtype=torch.float64) + 0.5 - size / 2) / size / focal[:, None, None]
    x, y = middle[:, :, :, None].transpose(2, 3), middle[:, :, :, None]
    places = torch.cat([x * depth, y * depth, depth], 1)
    step = places[..., 1:] - places[..., :-1]
    flat = (surface[..., 1:] == surface[..., :-1]) & (surface[..., 1:] >= 0) & (surface[..., 1:] < 6)
    off = (step * normals[..., :-1]).sum(1).abs() / step.norm(dim=1)
    return off[flat]


def test_depth_and_normals_describe_the_same_planes_also_when_mirrored():
    data = scenes(size=32, resolution=32, evaluation_size=1, seed=3)
    drawn = random_scenes(32, seeded(3, 0, 0))
    surface = render(drawn, 32, 32).surface
    batch = data.train.samples
    assert plane_residual(batch, drawn.cameras.focal, surface).max() < 1e-2
    mirrored = data.train.augment(next(data.train.batches(32)), torch.zeros(32, 1))
    assert plane_residual(mirrored, drawn.cameras.focal, surface.flip(-1)).max() < 1e-2
    assert not torch.equal(mirrored.target("depth"), batch.target("depth"))


def test_labels_of_a_split_agree_with_each_other():
    batch = rendered(96, 32, 0, "train")
    sky = batch.target("segmentation") == 0
    assert torch.equal(batch.target("depth").isnan()[:, 0], sky)
    assert torch.equal(batch.target("normals").isnan().all(1), sky)
    normals = batch.target("normals").permute(0, 2, 3, 1)[~sky]
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)))
    assert (batch.target("depth")[:, 0][~sky] > 0).all()
    across = (torch.arange(32) + 0.5 - 16) / 32
    rays = torch.stack([across.expand(32, 32), across[:, None].expand(32, 32)])
    focal = torch.cat([random_scenes(32, seeded(0, 0, chunk)).cameras.focal for chunk in range(3)])
    rays = torch.cat([rays[None] / focal[:, None, None, None], torch.ones(96, 1, 32, 32)], 1)
    facing = (rays * batch.target("normals")).sum(1)[~sky]
    assert facing.max() < 1e-5
    assert batch.target("segmentation").unique().tolist() == list(range(len(KINDS)))
    class_edges = boundaries_of(batch.target("segmentation"), void=None)
    assert (batch.target("boundaries") >= class_edges).all()


def test_random_scenes_keep_their_promises():
    drawn = random_scenes(256, seeded(11))
    position, boxes, spheres = drawn.cameras.position, drawn.surfaces.boxes, drawn.surfaces.spheres
    bottom = boxes.centre[..., 2] - boxes.half_size[..., 2]
    assert torch.nan_to_num(bottom).abs().max() < 1e-6, "boxes stand on the floor"
    assert torch.nan_to_num(spheres.centre[..., 2] - spheres.radius, nan=0).min() > -1e-6
    for centre, reach in ((boxes.centre, boxes.half_size[..., :2].norm(dim=-1)), (spheres.centre, spheres.radius)):
        gap = (centre - position[:, None])[..., :2].norm(dim=-1) - reach
        assert torch.nan_to_num(gap, nan=9).min() > 0.5, "the camera is clear of the objects"
    first, second = torch.triu_indices(4, 4, 1)
    apart = (boxes.centre[:, first] - boxes.centre[:, second])[..., :2].norm(dim=-1)
    reach = boxes.half_size[..., :2].norm(dim=-1)
    assert torch.nan_to_num(apart - reach[:, first] - reach[:, second], nan=9).min() > 0, "boxes do not overlap"
    kinds = {"box": ~boxes.centre[..., 0].isnan(), "sphere": ~spheres.centre[..., 0].isnan()}
    for name, present in kinds.items():
        assert 0.8 < present.any(1).float().mean() <= 1, name
    assert drawn.cameras.focal.std() > 0.1


def test_same_arguments_same_set_and_prefix():
    one, two = rendered(40, 16, 7, "train"), rendered(70, 16, 7, "train")
    assert torch.equal(one.inputs, two.inputs[:40])
    for name in one.targets:
        torch.testing.assert_close(one.target(name), two.target(name)[:40], rtol=0, atol=0, equal_nan=True)
    state = torch.get_rng_state()
    rendered(1, 16, 7, "train")
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"


def test_splits_and_seeds_differ():
    pictures = [
        rendered(8, 16, s, split).inputs for s, split in ((0, "train"), (0, "validation"), (0, "test"), (1, "train"))
    ]
    for one, two in itertools.combinations(torch.cat(pictures), 2):
        assert not torch.equal(one, two)


def test_data_set_is_ready_to_train():
    names = ("segmentation", "depth", "normals", "boundaries", "reconstruction")
    data = scenes(size=64, resolution=24, evaluation_size=16, names=names)
    assert [task.name for task in data.tasks] == list(names)
    assert (len(data.train), len(data.validation), len(data.test)) == (64, 16, 16)
    check_inputs(data.train.samples, "scenes")
    check_labels(data.tasks, data.train.samples, "scenes")
    depth = data.train.samples.target("depth")
    centre, scale = centre_and_scale(depth)
    assert centre == pytest.approx(depth.nanmean().item(), rel=1e-5) and 0.5 < scale < 5
    batch = next(data.train.train_batches(8, 0, 0))
    assert batch.inputs.shape == (8, *data.input_shape) and batch.inputs.min() >= 0 and batch.inputs.max() <= 1
    for task in data.tasks:
        prediction = torch.zeros(8, task.outputs, 24, 24)
        loss = task.mean_loss(prediction, task.target_of(batch))
        assert loss.isfinite() and loss > 0
        metric = task.metrics[task.main_metric]()
        task.update(metric, prediction + 0.1, task.target_of(batch))
        assert metric.compute().isfinite()
    # A prediction of 0 in standard units is the training mean in metres.
    assert data.task("depth").decode(torch.zeros(1))[0].item() == pytest.approx(centre, rel=1e-6)


def test_boundaries_and_void():
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, -1]]])
    expected = torch.tensor([[0, 1, 1, 0], [1, 1, 1, NAN], [1, 1, NAN, NAN]])
    torch.testing.assert_close(boundaries_of(labels)[0, 0], expected, equal_nan=True)
    assert boundaries_of(labels, void=None)[0, 0, 2].tolist() == [1, 1, 1, 1]


def test_centre_and_scale_ignores_missing_values():
    assert centre_and_scale(torch.tensor([NAN, 1, 3])) == (2.0, pytest.approx(math.sqrt(2)))
    assert centre_and_scale(torch.tensor([NAN])) == (0.0, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"resolution": 8}, {"evaluation_size": 0}, {"names": ()}, {"names": ("depht",)}]
)
def test_bad_arguments(wrong):
    with pytest.raises(UmbelError, match=r"did you mean 'depth'|must be at least 1|no task; name one"):
        scenes(**{"size": 1, "evaluation_size": 1, "resolution": 16, **wrong})


def test_one_task_may_be_named_by_a_plain_text():
    assert [task.name for task in scenes(size=2, evaluation_size=1, resolution=16, names="depth").tasks] == ["depth"]
