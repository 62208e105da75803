import gzip
import struct

import numpy as np
import pytest
import torch

from umbel.core import UmbelError
from umbel.data.mnist import FASHION, GROUPS, fashion_mnist, garment_pairs, mnist, read_idx


def idx(array):
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small Fashion-MNIST in the publisher's four files, gzipped as they come."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        pictures = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UMBEL_DOWNLOAD", raising=False)
    return folder


def test_fashion_reads_gzipped_files_and_groups_the_classes(tree):
    data = fashion_mnist()
    assert (len(data.train), len(data.validation), len(data.test)) == (51, 9, 20)
    assert data.test.samples.targets["class"].tolist() == list(range(10)) * 2
    group_of = {
        FASHION[c]: GROUPS[g]
        for c, g in zip(*map(torch.Tensor.tolist, data.test.samples.targets.values()), strict=True)
    }
    assert [name for name, group in group_of.items() if group == "footwear"] == ["sandal", "sneaker", "ankle boot"]
    assert [name for name, group in group_of.items() if group == "upper body"] == [
        "t-shirt",
        "pullover",
        "coat",
        "shirt",
    ]
    assert group_of["bag"] == "bag"
    assert group_of["dress"] == "dress"
    assert group_of["trousers"] == "trousers"


def test_files_as_they_are_and_gzipped_are_the_same(tree):
    before = fashion_mnist()
    for file in tree.glob("*.gz"):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    after = fashion_mnist()
    assert torch.equal(before.train.samples.inputs, after.train.samples.inputs)
    assert torch.equal(before.test.samples.inputs, after.test.samples.inputs)


def test_a_file_of_four_that_is_missing_is_named(tree):
    (tree / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UmbelError, match="looked for FashionMNIST/raw/t10k-labels-idx1-ubyte"):
        fashion_mnist()
    with pytest.raises(UmbelError, match=r"'mnist' is not here: .*download=True"):
        mnist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"hello world", "not an IDX file"),
        (idx(np.zeros((3, 4), np.uint8))[:-1], "11 bytes of data instead of 12"),
        (idx(np.zeros((3, 4), np.uint8)) + b"\x00", "13 bytes of data instead of 12"),
        (b"\x00\x00\x08\x03\x00\x00", "not an IDX file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UmbelError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((300, 4), np.uint8)))[:-12])
    with pytest.raises(UmbelError, match=r"cannot be read .*get it again"):
        read_idx(path)


def test_garments_side_by_side(tree):
    data = garment_pairs(size=40, resolution=14, background=True)
    assert data.input_shape == (1, 14, 28) and len(data.train) == 40
    assert [(task.name, task.outputs) for task in data.tasks] == [("left", 10), ("right", 10), ("background", 4)]
    assert data.tasks[0].labels == FASHION
    assert "group" not in data.note
