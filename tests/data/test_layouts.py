"""NYUv2, Cityscapes, PASCAL-Context and CelebA on small trees of the form their users have."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from umbel.core import UmbelError
from umbel.core.checks import check_inputs, check_labels
from umbel.data.layouts import CITYSCAPES_CLASSES, NYUV2_CLASSES, celeba, cityscapes, nyuv2, pascal_context

HEIGHT, WIDTH = 32, 48


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def sample(rng, classes):
    """Maps as MTAN's files have them; some labels void, some depth and normals missing."""
    label = rng.integers(-1, classes, (HEIGHT, WIDTH)).astype(np.float32)
    depth = rng.uniform(1, 9, (HEIGHT, WIDTH, 1)).astype(np.float32)
    normal = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    depth[:4], normal[:3] = 0, 0
    normal[5, 5] = (0.5, -0.5, 0)
    image = rng.uniform(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    return {"image": image, "label": label, "depth": depth, "normal": normal}


def write_arrays(root, classes, folders, train=12, val=3):
    rng = np.random.default_rng(0)
    every = {}
    for split, count in (("train", train), ("val", val)):
        for folder in folders:
            (root / split / folder).mkdir(parents=True)
        for k in range(count):
            every[split, k] = sample(rng, classes)
            for folder in folders:
                np.save(root / split / folder / f"{k}.npy", every[split, k][folder])
    return every


@pytest.fixture
def nyu(tmp_path):
    return tmp_path / "nyuv2", write_arrays(tmp_path / "nyuv2", 13, ("image", "label", "depth", "normal"))


def of_picture(every, picture):
    """Which of the written samples a loaded picture is."""
    return min(every, key=lambda k: np.abs(every[k]["image"] - picture.movedim(0, 2).numpy() / 255).max())


def test_nyuv2_values_and_missing(nyu):
    _, every = nyu
    data = nyuv2(validation=0.25)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 3)
    assert data.input_shape == (3, HEIGHT, WIDTH) and data.task("segmentation").labels == NYUV2_CLASSES
    for name, source in (("train", data.train), ("train", data.validation), ("val", data.test)):
        batch = source.samples
        for k in range(len(batch)):
            written = every[key := of_picture(every, batch.inputs[k])]
            assert key[0] == name
            assert np.array_equal(batch.target("segmentation")[k].numpy(), written["label"].astype(int))
            depth, normals = batch.target("depth")[k, 0], batch.target("normals")[k]
            assert depth[:4].isnan().all() and np.array_equal(depth[4:].numpy(), written["depth"][4:, :, 0])
            assert normals[:, :3].isnan().all()
            assert np.array_equal(normals[:, 3:].movedim(0, 2).numpy(), written["normal"][3:])
    parts = [{of_picture(every, p) for p in s.samples.inputs} for s in (data.train, data.validation)]
    assert len(parts[0] | parts[1]) == 12 and not parts[0] & parts[1]
    assert data.test.samples.inputs.shape[0] == 3 and "validation is a fixed part of train" in data.note


def test_nyuv2_can_be_trained(nyu):
    data = nyuv2()
    check_inputs(data.train.samples, "nyuv2")
    check_labels(data.tasks, data.train.samples, "nyuv2")
    batch = next(data.train.train_batches(4, 0, 0))
    for task in data.tasks:
        assert task.mean_loss(torch.full((4, task.outputs, HEIGHT, WIDTH), 0.1), task.target_of(batch)).isfinite()
    known = data.train.samples.target("depth")
    assert data.task("depth").decode(torch.zeros(1)).item() == pytest.approx(known.nanmean().item(), rel=1e-5)
    mirrored = data.train.augment(batch, torch.zeros(4, 1)).target("normals")
    wanted = batch.target("normals").flip(-1) * torch.tensor([-1, 1, 1])[:, None, None]
    torch.testing.assert_close(mirrored, wanted, equal_nan=True)


def test_nyuv2_resolution_size_and_tasks(nyu):
    data = nyuv2(resolution=16, size=4, names=("depth",))
    assert data.input_shape == (3, 16, 24) and len(data.train) == 4 and len(data.test) == 3
    assert set(data.train.samples.targets) == {"depth"}
    full = nyuv2(names=("depth",))
    assert torch.equal(
        data.test.samples.target("depth")[..., 4:, :], full.test.samples.target("depth")[..., 9::2, 1::2]
    )
    averaged = full.test.samples.inputs.float().view(3, 3, 16, 2, 24, 2).mean((3, 5))
    assert (data.test.samples.inputs - averaged).abs().max() <= 0.5 + 1e-4


def test_cityscapes(tmp_path):
    write_arrays(tmp_path / "cityscapes2", 7, ("image", "label", "depth"))
    data = cityscapes()
    assert [task.name for task in data.tasks] == ["segmentation", "depth"]
    assert data.task("segmentation").labels == CITYSCAPES_CLASSES and data.task("depth").unit == ""
    assert (len(data.train), len(data.validation), len(data.test)) == (11, 1, 3)
    with pytest.raises(UmbelError, match="unknown task 'normals'"):
        cityscapes(names=("normals",))


def drop_depth(root):
    (root / "train/depth/3.npy").unlink()


def other_size(root):
    np.save(root / "train/image/7.npy", np.zeros((HEIGHT, WIDTH + 8, 3), np.float32))


def other_map_size(root):
    np.save(root / "val/normal/1.npy", np.zeros((HEIGHT - 2, WIDTH, 3), np.float32))


def label_too_high(root):
    np.save(root / "val/label/0.npy", np.full((HEIGHT, WIDTH), 13.0))


def label_fraction(root):
    np.save(root / "val/label/0.npy", np.full((HEIGHT, WIDTH), 0.5))


def bytes_as_floats(root):
    np.save(root / "train/image/0.npy", np.full((HEIGHT, WIDTH, 3), 200.0))


def not_a_number(root):
    np.save(root / "train/image/0.npy", np.full((HEIGHT, WIDTH, 3), np.nan))


def channels_first(root):
    np.save(root / "train/image/0.npy", np.zeros((3, HEIGHT, WIDTH), np.float32))


def pickled(root):
    np.save(root / "train/image/0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def truncated(root):
    path = root / "train/depth/0.npy"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (drop_depth, r"holds 12 files, .*depth 11; 3\.npy is in one only"),
        (other_size, r"7\.npy: 32×56 pixels, .* 32×48"),
        (other_map_size, r"1\.npy: 30×48 pixels, .* 32×48"),
        (label_too_high, r"0\.npy: label 13; labels are 0 to 12"),
        (label_fraction, r"0\.npy: labels that are not whole numbers"),
        (bytes_as_floats, r"0\.npy: values outside 0 to 1"),
        (not_a_number, r"0\.npy: values outside 0 to 1 \(or NaN\)"),
        (channels_first, r"0\.npy: float32 of shape \(3, 32, 48\)"),
        (pickled, r"0\.npy: not a readable NumPy array"),
        (truncated, r"0\.npy: not a readable NumPy array"),
    ],
)
def test_harmed_arrays_name_the_file(nyu, harm, message):
    harm(nyu[0])
    with pytest.raises(UmbelError, match=message) as caught:
        nyuv2(validation=0.1)
    assert "\n" not in str(caught.value)


SIZES = {"2008_000001": (40, 60), "2008_000002": (60, 40), "2008_000003": (50, 50), "2008_000004": (30, 60)}


@pytest.fixture
def pascal(tmp_path):
    root = tmp_path / "PASCAL_MT"
    for folder in ("JPEGImages", "semseg/VOC12", "semseg/pascal-context", "pascal-context/trainval", "sal_distill"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets/Context").mkdir(parents=True)
    names = list(SIZES)
    (root / "ImageSets/Context/train.txt").write_text("\n".join(names[:3]) + "\n")
    (root / "ImageSets/Context/val.txt").write_text(names[3] + "\n")
    for k, (name, (height, width)) in enumerate(SIZES.items()):
        Image.fromarray(np.full((height, width, 3), 255, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        labels = np.full((height, width), k, np.uint8)
        labels[:, : width // 2], labels[0] = 15, 255
        part = "VOC12" if k % 2 else "pascal-context"
        Image.fromarray(labels).save(root / f"semseg/{part}/{name}.png")
        context = np.full((height, width), 459, np.uint16)
        context[: height // 2] = 284
        savemat(root / f"pascal-context/trainval/{name}.mat", {"LabelMap": context})
        Image.fromarray(np.where(labels == 15, 255, 0).astype(np.uint8)).save(root / f"sal_distill/{name}.png")
    return root


def test_pascal_context_keeps_the_aspect_and_pads_with_void(pascal):
    data = pascal_context(resolution=20, names=("segmentation", "boundaries", "saliency"), validation=0.34)
    assert (len(data.train), len(data.validation), len(data.test)) == (2, 1, 1)
    batch = data.test.samples
    assert batch.inputs.shape == (1, 3, 20, 20)
    assert (batch.inputs[0, :, :10] == 255).all() and (batch.inputs[0, :, 10:] == 0).all()
    labels = batch.target("segmentation")[0]
    assert (labels[1:10, :10] == 15).all() and (labels[1:10, 10:] == 3).all() and (labels[10:] == -1).all()
    edges = batch.target("boundaries")[0, 0]
    assert (edges[4:6] == 1).all() and (edges[:4] == 0).all() and edges[9:].isnan().all()
    every = torch.cat([data.train.samples.target("segmentation"), data.validation.samples.target("segmentation")])
    corners = every[:, 18, 0] >= 0, every[:, 1, 18] >= 0  # lower left, upper right: tall, wide and square pictures
    assert sorted(zip(*(c.tolist() for c in corners), strict=True)) == [(False, True), (True, False), (True, True)]
    salient = batch.target("saliency")[0]
    assert (salient[1:10, :10] == 1).all() and (salient[1:10, 10:] == 0).all() and (salient[10:] == -1).all()
    for task in data.tasks:
        assert task.mean_loss(torch.zeros(1, task.outputs, 20, 20), task.target_of(batch)).isfinite()


def test_pascal_context_bad_input(pascal):
    savemat(pascal / "pascal-context/trainval/2008_000004.mat", {"LabelMap": np.ones((9, 9), np.uint16)})
    with pytest.raises(UmbelError, match=r"000004\.mat: 9×9 pixels, its picture has 30×60"):
        pascal_context(validation=0.34)
    savemat(pascal / "pascal-context/trainval/2008_000004.mat", {"Other": np.ones((9, 9), np.uint16)})
    with pytest.raises(UmbelError, match=r"000004\.mat: not a label map"):
        pascal_context(validation=0.34)
    (pascal / "semseg/VOC12/2008_000002.png").unlink()
    with pytest.raises(UmbelError, match=r"000002\.png: no such file, though the split lists it"):
        pascal_context(validation=0.34, names=("segmentation",))
    (pascal / "ImageSets/Context/val.txt").unlink()
    with pytest.raises(UmbelError, match=r"val\.txt: no such file"):
        pascal_context()


ATTRIBUTES = ("Bald", "Smiling", "Young")


@pytest.fixture
def faces(tmp_path):
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    rows, names = [], [f"{k:06d}.jpg" for k in range(1, 13)]
    for k, name in enumerate(names):
        picture = np.full((44, 36, 3), 20 * k, np.uint8)
        picture[:4], picture[-4:] = 255, 255
        Image.fromarray(picture).save(root / "img_align_celeba" / name, quality=95)
        rows.append([1 if k >> bit & 1 else -1 for bit in range(3)])
    table = "\n".join(f"{name} {' '.join(f'{v:2d}' for v in row)}" for name, row in zip(names, rows, strict=True))
    (root / "list_attr_celeba.txt").write_text(f"12\n{' '.join(ATTRIBUTES)} \n{table}\n")
    splits = "\n".join(f"{name} {0 if k < 8 else 1 if k < 10 else 2}" for k, name in enumerate(names))
    (root / "list_eval_partition.txt").write_text(splits + "\n")
    (root / "identity_CelebA.txt").write_text("\n".join(f"{name} 1" for name in names) + "\n")
    box = "\n".join(f"{name} 1 1 9 9" for name in names)
    (root / "list_bbox_celeba.txt").write_text(f"12\nimage_id x_1 y_1 width height\n{box}\n")
    points = "\n".join(f"{name} {' '.join('1' * 10)}" for name in names)
    (root / "list_landmarks_align_celeba.txt").write_text(f"12\n{' '.join('abcdefghij')}\n{points}\n")
    return root


def test_celeba_one_task_with_many_answers(faces):
    data = celeba(resolution=18)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 2)
    assert data.task("attributes").labels == ATTRIBUTES and data.input_shape == (3, 18, 18)
    batch = data.train.samples
    bits = [[float(k >> bit & 1) for bit in range(3)] for k in range(8)]
    assert batch.target("attributes").tolist() == bits
    grey = batch.inputs.float().mean((1, 2, 3))
    assert (grey - 20 * torch.arange(8)).abs().max() < 6, "the central square, without the white bars"
    assert data.tasks[0].mean_loss(torch.zeros(8, 3), data.tasks[0].target_of(batch)).isfinite()


def test_celeba_a_task_each(faces):
    data = celeba(resolution=16, together=False, attributes=("Young", "Bald"), size=5, evaluation_size=1)
    assert [task.name for task in data.tasks] == ["Young", "Bald"]
    assert (len(data.train), len(data.validation), len(data.test)) == (5, 1, 1)
    assert len(data.test) == 1 and data.train.samples.target("Young").dtype == torch.int64
    number = (data.train.samples.inputs.float().mean((1, 2, 3)) / 20).round().long()
    assert torch.equal(data.train.samples.target("Bald"), number & 1)
    assert torch.equal(data.train.samples.target("Young"), number >> 2 & 1)


def test_celeba_bad_input(faces):
    with pytest.raises(UmbelError, match="did you mean 'Smiling'"):
        celeba(attributes=("Smilling",))
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(faces / "img_align_celeba/000003.jpg")
    with pytest.raises(UmbelError, match=r"000003\.jpg: 40×40 pixels, .* 44×36"):
        celeba()
    (faces / "identity_CelebA.txt").unlink()
    with pytest.raises(UmbelError, match="cannot be read"):
        celeba()


@pytest.mark.parametrize(
    ("load", "name"),
    [(nyuv2, "nyuv2"), (cityscapes, "cityscapes"), (pascal_context, "pascal-context"), (celeba, "celeba")],
)
def test_missing_sets(load, name):
    with pytest.raises(UmbelError, match=f"data set '{name}' is not here"):
        load()


@pytest.mark.parametrize("load", [nyuv2, cityscapes])
def test_folder_without_the_layout(load, tmp_path):
    (tmp_path / {nyuv2: "nyuv2", cityscapes: "cityscapes2"}[load]).mkdir()
    with pytest.raises(UmbelError, match=r"image: no such folder"):
        load()
