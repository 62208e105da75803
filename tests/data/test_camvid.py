"""CamVid, on small trees of both layouts, and on the real set where it is here."""

import numpy as np
import pytest
import torch
from conftest import requires_set
from PIL import Image

from umbel.core import UmbelError
from umbel.core.checks import check_labels
from umbel.data.camvid import CLASSES, camvid
from umbel.data.folders import carved, listed, nearest, partners, read_pictures, scaled

COUNTS = {"train": 5, "val": 3, "test": 4}


def frame(split, k):
    """A picture whose red is its number, and labels: left half 3, right half 5, a void corner."""
    picture = np.zeros((36, 48, 3), np.uint8)
    picture[..., 0] = 10 * k + {"train": 1, "val": 2, "test": 3}[split]
    labels = np.full((36, 48), 3, np.uint8)
    labels[:, 24:] = 5
    labels[30:, 40:] = 11
    return picture, labels


def write(root, segnet=False):
    for split, count in COUNTS.items():
        pictures = root / split if segnet else root / split / "images"
        labels = root / f"{split}annot" if segnet else root / split / "labels"
        pictures.mkdir(parents=True)
        labels.mkdir(parents=True)
        for k in range(count):
            picture, classes = frame(split, k)
            Image.fromarray(picture).save(pictures / f"{k:03d}.png")
            Image.fromarray(classes).save(labels / f"{k:03d}.png")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "camvid")
    return tmp_path / "camvid"


def test_splits_labels_and_boundaries(tree):
    data = camvid(resolution=None)
    assert {s: len(getattr(data, s)) for s in ("train", "validation", "test")} == {
        "train": 5,
        "validation": 3,
        "test": 4,
    }
    batch = data.train.samples
    assert batch.inputs.dtype == torch.uint8 and batch.inputs[:, 0, 0, 0].tolist() == [1, 11, 21, 31, 41]
    assert data.test.samples.inputs[:, 0, 0, 0].tolist() == [3, 13, 23, 33]
    labels, edges = batch.target("segmentation"), batch.target("boundaries")
    assert labels.unique().tolist() == [-1, 3, 5] and (labels[:, 30:, 40:] == -1).all()
    assert edges[0, 0, 0].nonzero().flatten().tolist() == [23, 24], "the two columns at the step"
    assert edges[0, 0, 29, 40:].isnan().all() and edges[0, 0, 30:, 39].isnan().all() and not edges[0, 0, 29, 39].isnan()
    check_labels(data.tasks, batch, "camvid")
    for task in data.tasks:
        assert task.mean_loss(torch.zeros(5, task.outputs, 36, 48), task.target_of(batch)).isfinite()


def test_resolution_is_the_height(tree):
    data = camvid(resolution=18, names=("segmentation", "reconstruction"))
    assert data.input_shape == (3, 18, 24)
    assert data.train.samples.inputs[:, 0].flatten(1).unique(dim=1).tolist() == [[1], [11], [21], [31], [41]]
    expected = torch.from_numpy(frame("train", 0)[1][1::2, 1::2].astype(np.int64))
    assert torch.equal(data.train.samples.target("segmentation")[0], expected.masked_fill(expected == 11, -1))


def test_flip_moves_labels_with_the_picture(tree):
    data = camvid(resolution=None)
    batch = next(data.train.batches(5))
    mirrored = data.train.augment(batch, torch.tensor([0.0, 0.9, 0.0, 0.9, 0.9])[:, None])
    assert torch.equal(mirrored.target("segmentation")[0], batch.target("segmentation")[0].flip(-1))
    assert torch.equal(mirrored.target("segmentation")[1], batch.target("segmentation")[1])
    assert camvid(augment=False).train.augment is None


def test_segnet_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    write(tmp_path / "CamVid", segnet=True)
    assert len(camvid(resolution=None).train) == 5


def test_size_is_a_nested_fixed_choice(tree):
    seen = [set(camvid(size=k).train.samples.inputs[:, 0, 0, 0].tolist()) for k in (2, 4)]
    assert seen[0] < seen[1] and len(seen[0]) == 2
    assert len(camvid(size=2).test) == 4
    assert len(camvid(size=6).train) == 5
    with pytest.raises(UmbelError, match="at least 1 training sample"):
        camvid(size=0)


def test_missing_set(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UmbelError, match="data set 'camvid' is not here"):
        camvid()
    (tmp_path / "camvid").mkdir()
    with pytest.raises(UmbelError, match="neither train/images with train/labels nor"):
        camvid()


def remove_label(tree):
    (tree / "train/labels/002.png").unlink()


def extra_label(tree):
    Image.fromarray(frame("val", 0)[1]).save(tree / "val/labels/077.png")


def other_picture_size(tree):
    Image.fromarray(frame("train", 0)[0][:30]).save(tree / "train/images/003.png")


def other_label_size(tree):
    Image.fromarray(frame("train", 0)[1][:, :40]).save(tree / "train/labels/001.png")


def label_out_of_range(tree):
    labels = frame("train", 0)[1]
    labels[2, 2] = 12
    Image.fromarray(labels).save(tree / "test/labels/003.png")


def damaged_picture(tree):
    (tree / "train/images/004.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")


def colour_labels(tree):
    Image.fromarray(frame("train", 0)[0]).save(tree / "train/labels/000.png")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove_label, r"holds 5 files, .*labels 4; 002\.png is in one only"),
        (extra_label, r"holds 3 files, .*labels 4; 077\.png is in one only"),
        (other_picture_size, r"003\.png: 30×48 pixels, .* 36×48"),
        (other_label_size, r"001\.png: 36×40 pixels, .* 36×48"),
        (label_out_of_range, r"003\.png: label 12; labels are 0 to 10, and 11 for void"),
        (damaged_picture, r"004\.png: cannot be read as a picture"),
        (colour_labels, r"000\.png: 3 channels; a label map has one"),
    ],
)
def test_harmed_trees_name_the_file(tree, harm, message):
    harm(tree)
    with pytest.raises(UmbelError, match=message) as caught:
        camvid()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"names": ("boundries",)}, "did you mean 'boundaries'"),
        ({"names": ()}, "no task"),
        ({"resolution": 4}, "resolution 4 is too low"),
    ],
)
def test_bad_arguments(tree, wrong, message):
    with pytest.raises(UmbelError, match=message):
        camvid(**wrong)


def test_nearest_takes_the_pixel_under_the_centre():
    values = torch.arange(12).view(3, 4)
    assert torch.equal(nearest(values, (3, 4)), values)
    assert nearest(values, (1, 2)).tolist() == [[5, 7]]
    assert nearest(values, (6, 8)).tolist()[0] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_pictures_are_averaged_when_smaller(tmp_path):
    board = np.indices((32, 32)).sum(0) % 2 * 255
    Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "0.png")
    assert set(read_pictures([tmp_path / "0.png"], 16, "board").unique().tolist()) <= {127, 128}


def test_numbered_files_come_by_number(tmp_path):
    for name in ("10.png", "9.png", "b.png", "a.png", ".hidden.png", "1.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in listed(tmp_path)] == ["a.png", "b.png", "9.png", "10.png"]
    with pytest.raises(UmbelError, match=r"no \.npy file in it"):
        listed(tmp_path, (".npy",))
    with pytest.raises(UmbelError, match="no such folder"):
        partners(listed(tmp_path), tmp_path / "missing")


def test_carved_partitions_the_samples():
    learnt, kept = carved(50, 0.1, "set")
    assert len(kept) == 5 and sorted([*learnt.tolist(), *kept.tolist()]) == list(range(50))
    assert torch.equal(carved(50, 0.1, "set")[1], kept)
    for share in (0, 1, 0.99):
        with pytest.raises(UmbelError, match="leaves one side empty"):
            carved(3, share, "set")
    assert scaled((180, 240), 90, "set") == (90, 120)


def test_the_real_set():
    requires_set("camvid", "camvid", "CamVid")
    data = camvid()
    assert (len(data.train), len(data.validation), len(data.test)) == (367, 101, 233)
    labels = data.train.samples.target("segmentation")
    assert set(range(len(CLASSES))) <= set(labels.unique().tolist())
    assert data.input_shape == (3, 90, 120) and labels.shape == (367, 90, 120)
    # Sky is bright, lies at the top, and road at the bottom: labels belong to their pictures, the right way up.
    brightness = data.train.samples.inputs.float().mean(1)
    assert brightness[labels == 0].mean() > brightness[labels == 3].mean() > 40
    rows = torch.arange(90)[None, :, None].expand_as(labels)
    assert rows[labels == 0].double().mean() < 30 and rows[labels == 3].double().mean() > 60
