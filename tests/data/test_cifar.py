import os
import pickle

import numpy as np
import pytest
import torch
from conftest import requires_set

from umbel.core import UmbelError
from umbel.data import CropAndFlip, find, load_data
from umbel.data.cifar import cifar10, five_of_each, read_pickle

SPLITS = ("train", "validation", "test")


def samples(data):
    return [getattr(data, split).samples for split in SPLITS]


def rows(pictures):
    return [picture.numpy().tobytes() for picture in pictures]


@pytest.fixture(scope="module")
def hundred():
    requires_set("cifar100", "cifar-100-python")
    return load_data("cifar100")


def test_cifar100_is_what_torchvision_reads(hundred):
    from torchvision.datasets import CIFAR100

    theirs = CIFAR100(str(find("cifar-100-python").parent), train=False)
    test = hundred.test.samples
    assert torch.equal(test.inputs, torch.from_numpy(theirs.data).permute(0, 3, 1, 2))
    assert test.targets["fine"].tolist() == theirs.targets
    assert list(hundred.task("fine").labels) == theirs.classes
    coarse = hundred.task("coarse").labels
    where = {
        theirs.classes[f]: coarse[c] for f, c in zip(*map(torch.Tensor.tolist, test.targets.values()), strict=True)
    }
    assert (where["apple"], where["bicycle"], where["whale"]) == (
        "fruit_and_vegetables",
        "vehicles_1",
        "aquatic_mammals",
    )


def test_the_splits_of_cifar100_are_disjoint_and_complete(hundred):
    train, validation, test = samples(hundred)
    assert [len(train), len(validation), len(test)] == [42_500, 7_500, 10_000]
    assert torch.bincount(torch.cat([train.targets["fine"], validation.targets["fine"]])).tolist() == [500] * 100
    again = load_data("cifar100", size=100)
    assert torch.equal(again.validation.samples.inputs, validation.inputs)  # fixed, whatever else is asked for


def test_each_picture_of_cifar100_mtl_is_labelled_for_exactly_the_task_of_its_superclass(hundred):
    data = load_data("cifar100-mtl")
    coarse, fine = hundred.task("coarse").labels, hundred.task("fine").labels
    assert [task.name for task in data.tasks] == list(coarse)
    assert all(task.outputs == 5 == len(set(task.labels)) for task in data.tasks)
    for ours, theirs in zip(samples(data), samples(hundred), strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
        table = torch.stack([ours.targets[name] for name in coarse], 1)  # [n, 20]
        assert set(table.unique().tolist()) == {-1, 0, 1, 2, 3, 4}
        assert ((table >= 0).sum(1) == 1).all()
        assert torch.equal(table.argmax(1), theirs.targets["coarse"])
        names = [
            data.tasks[c].labels[label]
            for c, label in zip(table.argmax(1).tolist(), table.amax(1).tolist(), strict=True)
        ]
        assert names == [fine[f] for f in theirs.targets["fine"].tolist()]
    people = data.only(["people"])
    assert len(people.test) == 500
    assert people.task("people").labels == ("baby", "boy", "girl", "man", "woman")


def write(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small CIFAR-10 in the publisher's files: picture k of class k % 10, all its bytes in order."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    write(folder / "batches.meta", {"label_names": names})
    random = np.random.default_rng(0)
    for file in ("data_batch_1", "data_batch_2", "test_batch"):
        data = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        write(folder / file, {"data": data, "labels": [k % 10 for k in range(20)]})
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_cifar10_reads_the_batches_that_are_there(tree):
    data = cifar10()
    assert [len(part) for part in samples(data)] == [34, 6, 20]
    assert "part of it: 40 + 20" in data.note
    raw = read_pickle(tree / "test_batch")["data"]
    assert torch.equal(data.test.samples.inputs.flatten(1), torch.from_numpy(raw))  # red, green, blue planes
    kinds = data.test.samples.targets["kind"][:10].tolist()
    assert [data.task("kind").labels[kind] for kind in kinds] == [
        *("vehicle", "vehicle", "animal", "animal", "animal"),
        *("animal", "animal", "animal", "vehicle", "vehicle"),
    ]
    assert [task.name for task in cifar10(reconstruction=True).tasks] == ["class", "kind", "reconstruction"]


def test_training_pictures_only_are_augmented(tree):
    data = cifar10()
    assert isinstance(data.train.augment, CropAndFlip)
    assert data.train.augment.parts[0].pixels == 4
    assert data.validation.augment is data.test.augment is None
    assert cifar10(augment=False).train.augment is None
    assert cifar10(resolution=64).train.augment.parts[0].pixels == 8


def test_the_real_cifar10_splits_share_no_picture():
    requires_set("cifar10", "cifar-10-batches-py")
    data = load_data("cifar10")
    train, validation, test = (set(rows(part.inputs)) for part in samples(data))
    assert not train & validation
    assert not (train | validation) & test
    assert torch.bincount(data.test.samples.targets["class"]).unique().numel() == 1


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_with_code_in_it_is_refused_and_not_run(tree, tmp_path):
    victim = tmp_path / "made by the file"
    write(tree / "data_batch_2", {"data": Harmful(str(victim)), "labels": []})
    with pytest.raises(UmbelError, match=r"data_batch_2 is not a file of CIFAR \(it asks for .*mkdir\)"):
        cifar10()
    assert not victim.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": [1]}, "no pictures"),
        ({"data": np.zeros((2, 3000), np.uint8), "labels": [1, 2]}, "no pictures of 32x32"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "2 pictures but 1 labels"),
        ([1, 2], "no dictionary"),
    ],
)
def test_other_content_is_named(tree, content, message):
    write(tree / "data_batch_2", content)
    with pytest.raises(UmbelError, match=f"data_batch_2 .*{message}"):
        cifar10()


def test_damaged_and_missing_files_are_named(tree):
    whole = (tree / "data_batch_2").read_bytes()
    (tree / "data_batch_2").write_bytes(whole[:-100])
    with pytest.raises(UmbelError, match=r"data_batch_2 is not a file of CIFAR .*get it again"):
        cifar10()
    (tree / "test_batch").unlink()
    with pytest.raises(UmbelError, match="lacks data_batch_1 or test_batch"):
        cifar10()
    (tree / "batches.meta").unlink()
    with pytest.raises(UmbelError, match=r"batches\.meta"):
        cifar10()


def test_superclasses_must_have_five_classes():
    fine = torch.arange(100)
    assert torch.equal(five_of_each(fine, fine % 20)[3], torch.tensor([3, 23, 43, 63, 83]))
    with pytest.raises(UmbelError, match="20 superclasses of 5"):
        five_of_each(fine, (fine % 20).clamp(max=18))
