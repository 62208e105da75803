from dataclasses import replace

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.data import Flip, FlipMaps, MultiTaskData, TensorSource
from umbel.data.several import ByDomain, several


def made(name, kinds, targets, count=6, fill=0, augment=None, shape=(1, 4, 4)):
    pictures = torch.full((count, *shape), fill, dtype=torch.uint8)
    pictures[..., 0] += 1  # the left column differs, so that a flip shows
    part = TensorSource(Batch(pictures, {key: target[:count] for key, target in targets.items()}))
    train = TensorSource(part.samples, augment)
    return MultiTaskData(name, name.title(), tuple(kinds), train, part, part, shape, f"Note of {name}.")


CLASS = tasks.classification("class", "ab")
SIZE = tasks.regression("size", 2)
MAP = tasks.segmentation("map", "abc")


def one(**options):
    return made("one", [CLASS], {"class": torch.tensor([0, 1, 0, 1, 0, -1])}, **options)


def two(**options):
    return made("two", [SIZE], {"size": torch.arange(12.0).view(6, 2)}, fill=100, **options)


def test_labels_that_a_set_lacks_are_missing():
    data = several([one(), two()], "both", "Both")
    for source in (data.train, data.validation, data.test):
        samples = source.samples
        assert samples.domain.tolist() == [0] * 6 + [1] * 6
        assert samples.targets["class"].tolist() == [0, 1, 0, 1, 0, -1] + [-1] * 6
        assert samples.targets["size"][:6].isnan().all()
        assert torch.equal(samples.targets["size"][6:], torch.arange(12.0).view(6, 2))
        assert samples.inputs[6:].min() == 100
    assert [task.name for task in data.tasks] == ["class", "size"]
    assert data.input_shape == (1, 4, 4)
    assert "0 = one" in data.note
    assert "Note of two." in data.note


def test_losses_of_the_joined_set_are_those_of_each_set():
    data = several([one(), two()], "both", "Both")
    prediction = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    samples = data.train.samples
    assert torch.allclose(
        CLASS.mean_loss(prediction, samples.target("class")),
        CLASS.mean_loss(prediction[:6], one().train.samples.target("class")),
    )
    assert torch.allclose(
        SIZE.mean_loss(prediction, samples.target("size")),
        SIZE.mean_loss(prediction[6:], two().train.samples.target("size")),
    )


def test_a_task_of_the_same_name_is_one_task():
    both = made("three", [CLASS], {"class": torch.ones(6, dtype=torch.int64)})
    data = several([one(), both], "both", "Both")
    assert [task.name for task in data.tasks] == ["class"]
    assert data.train.samples.targets["class"].tolist() == [0, 1, 0, 1, 0, -1] + [1] * 6


def test_a_task_that_was_left_out_of_one_set_is_not_taught_by_it():
    rich = made("rich", [CLASS, SIZE], {"class": torch.zeros(6).long(), "size": torch.zeros(6, 2)})
    data = several([rich.only(["size"]), one()], "both", "Both")
    assert (data.train.samples.targets["class"][:6] == -1).all()


def test_each_set_is_augmented_in_its_own_way():
    maps = {"map": torch.arange(16).remainder(3).view(1, 4, 4).repeat(6, 1, 1)}
    mapped = made("maps", [MAP], maps, augment=FlipMaps(["map"]))
    plain, flipped = one(augment=None), two(augment=Flip())
    data = several([plain, mapped, flipped], "all", "All")
    samples, zeros = data.train.samples, torch.zeros(18, data.train.augment.draws)
    out = data.train.augment(samples, zeros)
    assert torch.equal(out.inputs[:6], samples.inputs[:6])
    assert torch.equal(out.inputs[6:], samples.inputs[6:].flip(-1))
    assert torch.equal(out.targets["map"][6:12], maps["map"].flip(-1))
    assert (out.targets["map"][:6] == -1).all()
    assert torch.equal(samples.targets["map"][6:12], maps["map"])  # the stored ones stay
    assert torch.equal(out.domain, samples.domain)
    assert several([plain, two()], "n", "N").train.augment is None
    assert data.test.augment is None


def test_shares_of_two_processes_make_up_the_batch():
    data = several([one(augment=Flip()), two()], "both", "Both").train
    for step, batch in enumerate(data.train_batches(4, seed=1, epoch=0)):
        parts = [list(data.train_batches(4, 1, 0, rank=rank, world_size=2))[step] for rank in range(2)]
        assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
        assert torch.equal(torch.cat([part.domain for part in parts]), batch.domain)


def test_a_domain_without_samples_in_the_batch_is_skipped():
    batch = Batch(torch.rand(2, 1, 4, 4), {}, torch.tensor([1, 1]))
    out = ByDomain([Flip(), None])(batch, torch.zeros(2, 1))
    assert torch.equal(out.inputs, batch.inputs)


def test_sets_that_do_not_fit():
    with pytest.raises(UmbelError, match="give at least two"):
        several([one()], "n", "N")
    with pytest.raises(UmbelError, match=r"'two' has inputs of shape .* same `resolution`"):
        several([one(), two(shape=(1, 8, 8))], "n", "N")
    other = made("other", [tasks.classification("class", "abc")], {"class": torch.zeros(6).long()})
    with pytest.raises(UmbelError, match="task 'class' of 'other' differs"):
        several([one(), other], "n", "N")
    with pytest.raises(UmbelError, match="itself joined"):
        several([several([one(augment=Flip()), two()], "n", "N"), one()], "m", "M")
    truth = made("truth", [tasks.regression("yes", 1)], {"yes": torch.ones(6, 1, dtype=torch.bool)})
    with pytest.raises(UmbelError, match="bool"):
        several([one(), truth], "n", "N")
    doubles = made("doubles", [SIZE], {"size": torch.zeros(6, 2, dtype=torch.float64)})
    with pytest.raises(UmbelError, match="target 'size' of part 0 is"):
        several([two(), doubles], "n", "N")
    streamed = replace(one(), train=object())
    with pytest.raises(UmbelError, match="not held in memory"):
        several([one(), streamed], "n", "N")
    floats = replace(two(), train=TensorSource(Batch(torch.zeros(6, 1, 4, 4), {"size": torch.zeros(6, 2)})))
    with pytest.raises(UmbelError, match="different types"):
        several([one(), floats], "n", "N")
