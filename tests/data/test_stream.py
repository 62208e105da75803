"""Data sets of the user's own in Python: streamed equals held in memory, and any run can resume."""

import random
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import IterableDataset

from umbel import tasks
from umbel.core import Batch, Task, sizes_of
from umbel.data.items import Form, read_item
from umbel.data.stream import StreamSource, data_from_datasets, from_dataset, in_memory
from umbel.errors import UmbelError

TASKS = (tasks.classification("colour", ["red", "green", "blue"]), tasks.regression("age"))


class Pairs:
    """(inputs, targets) with labels missing: every third has no colour, every second no age."""

    def __init__(self, count=23, noise=False):
        self.count, self.noise = count, noise

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        picture = torch.full((3, 4, 4), index, dtype=torch.uint8)
        if self.noise:
            picture = picture + torch.rand(3, 4, 4) + random.random() + np.random.rand()
        targets = {"colour": None if index % 3 == 0 else index % 3}
        if index % 2:
            targets["age"] = float(index)
        return picture, targets


class Listed:
    """Items from a list."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def assert_same(left: Batch, right: Batch):
    assert torch.equal(left.inputs, right.inputs)
    assert left.inputs.dtype == right.inputs.dtype
    assert torch.equal(left.domain, right.domain)
    assert left.targets.keys() == right.targets.keys()
    for name in left.targets:
        torch.testing.assert_close(left.targets[name], right.targets[name], rtol=0, atol=0, equal_nan=True)


def assert_all_same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("workers", [0, 2])
def test_stream_gives_the_batches_of_the_same_set_in_memory(workers):
    stream, held = from_dataset(Pairs(), TASKS, workers), in_memory(Pairs(), TASKS)
    assert len(stream) == len(held)
    assert stream.steps(4) == held.steps(4)
    assert_all_same(stream.train_batches(4, 5, 1), held.train_batches(4, 5, 1))
    assert_all_same(stream.batches(5), held.batches(5))


def test_a_batch_larger_than_the_set_is_one_batch_like_in_memory():
    stream, held = from_dataset(Pairs(7), TASKS), in_memory(Pairs(7), TASKS)
    assert_all_same(stream.train_batches(64, 0, 0), held.train_batches(64, 0, 0))


def test_missing_labels_are_nan_and_negative_with_the_type_of_the_labelled_ones():
    batch = next(in_memory(Pairs(6), TASKS).batches(6))
    assert batch.targets["colour"].tolist() == [-1, 1, 2, -1, 1, 2]
    assert batch.targets["age"].shape == (6, 1)
    assert batch.targets["age"].isnan()[:, 0].tolist() == [True, False, True, False, True, False]
    assert TASKS[1].count(TASKS[1].target_of(batch)) == 3


def test_bytes_become_floats_in_zero_to_one():
    batch = next(from_dataset(Pairs(6), TASKS).batches(6))
    assert batch.inputs.dtype == torch.float32
    assert torch.allclose(batch.inputs[:, 0, 0, 0], torch.arange(6) / 255)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_resume_within_an_epoch_continues_it_with_random_transforms(start):
    source = from_dataset(Pairs(noise=True), TASKS)
    whole = list(source.train_batches(4, 3, 2))
    assert_all_same(islice(whole, start, None), source.train_batches(4, 3, 2, start))


def test_random_transforms_do_not_depend_on_workers_and_leave_the_global_generators_alone():
    alone, helped = from_dataset(Pairs(noise=True), TASKS), from_dataset(Pairs(noise=True), TASKS, workers=2)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert_all_same(alone.train_batches(4, 3, 2), helped.train_batches(4, 3, 2))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected


def test_epochs_and_seeds_differ_in_order_and_noise():
    source = from_dataset(Pairs(noise=True), TASKS)
    first = torch.cat([b.inputs for b in source.train_batches(23, 0, 0)])
    for seed, epoch in ((0, 1), (1, 0)):
        other = torch.cat([b.inputs for b in source.train_batches(23, seed, epoch)])
        assert not torch.isin(first, other).any()


def test_every_item_has_noise_of_its_own():
    items = from_dataset(Pairs(noise=True), TASKS)
    fractions = torch.cat([b.inputs for b in items.train_batches(23, 0, 0)])[:, 0, 0, 0].remainder(1)
    assert len(fractions.mul(1000).round().unique()) > 12


def test_two_ranks_share_each_batch_of_one():
    source = from_dataset(Pairs(noise=True), TASKS)
    shares = [source.train_batches(6, 1, 1, rank=rank, world_size=2) for rank in (0, 1)]
    for whole, *parts in zip(source.train_batches(6, 1, 1), *shares, strict=True):
        assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))


def test_evaluation_deals_every_sample_to_one_rank():
    source = from_dataset(Pairs(), TASKS)
    dealt = [b.inputs for rank in (0, 1, 2) for b in source.batches(4, rank, 3)]
    assert sorted((torch.cat(dealt)[:, 0, 0, 0] * 255).round().tolist()) == list(range(23))


@pytest.mark.parametrize(
    "item",
    [
        (np.zeros((2, 3)), {"age": 4}),
        (np.zeros((2, 3)), 4),
        {"x": np.zeros((2, 3)), "age": np.float64(4.0)},
        {"x": torch.zeros(2, 3), "age": torch.tensor([4.0])},
    ],
)
def test_forms_of_items_mean_the_same(item):
    read = read_item([item], [TASKS[1]], 0)
    assert read.inputs.dtype == torch.float32
    assert read.inputs.shape == (2, 3)
    assert torch.equal(read.targets["age"], torch.tensor([4.0]))


def test_a_negative_whole_number_is_a_value_of_a_regression_and_a_gap_of_a_class():
    items = Listed(({"a": 1, "b": 2}, {"age": -4, "colour": 1}), ({"a": 3, "b": 4}, {"age": 5, "colour": -1}))
    batch = next(in_memory(items, TASKS).batches(2))
    assert batch.targets["age"][:, 0].tolist() == [-4.0, 5.0]
    assert TASKS[0].count(TASKS[0].target_of(batch)) == 1
    assert batch.inputs["b"].tolist() == [2, 4]


def test_pictures_of_pillow_and_domains():
    grey, coloured = Image.new("L", (5, 4), 255), Image.new("RGBA", (5, 4), (255, 0, 0, 9))
    assert read_item([{"image": grey, "age": 1}], TASKS, 0).inputs.shape == (1, 4, 5)
    item = read_item([{"image": coloured, "age": 1, "domain": 3}], TASKS, 0)
    assert item.inputs[:, 0, 0].tolist() == [255, 0, 0]
    assert item.domain == 3


def test_a_reconstruction_needs_no_target():
    source = in_memory(
        Listed((torch.zeros(1, 4, 4), {}), (torch.ones(1, 4, 4), {})), [tasks.reconstruction("itself", 1)]
    )
    assert not source.samples.targets


def test_segmentation_maps_come_from_pictures():
    mask = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8))
    read = read_item([(torch.zeros(3, 2, 2), mask)], [tasks.segmentation("map", ["a", "b", "c"])], 0)
    assert read.targets["map"].dtype == torch.int64
    assert read.targets["map"].tolist() == [[0, 1], [2, 1]]


def test_missing_answers_of_a_multilabel_are_nan():
    read = read_item([(torch.zeros(3), torch.tensor([1, -1, 0]))], [tasks.multilabel("tags", ["a", "b", "c"])], 0)
    assert read.targets["tags"].isnan().tolist() == [False, True, False]


def test_data_from_datasets_streamed_and_held_agree_and_share_their_form():
    no_colour = Listed(*[(torch.zeros(3, 4, 4, dtype=torch.uint8), {"age": 1.0})] * 3)
    held, stream = (data_from_datasets("x", TASKS, Pairs(), no_colour, Pairs(5), in_memory=m) for m in (True, False))
    assert isinstance(stream.train, StreamSource)
    assert held.input_shape == stream.input_shape == (3, 4, 4)
    assert next(stream.validation.batches(3)).targets["colour"].tolist() == [-1, -1, -1]
    for split in ("train", "validation", "test"):
        assert_all_same(getattr(held, split).batches(4), getattr(stream, split).batches(4))


class Endless(IterableDataset):
    """No random access."""

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 3


PICTURE = torch.zeros(3, 4, 4)
GOOD = (PICTURE, {"colour": 1, "age": 2.0})


@pytest.mark.parametrize("workers", [0, 1])
def test_mixed_sizes_name_the_two_items(workers):
    items = Listed(GOOD, GOOD, (torch.zeros(3, 4, 5), {}))
    with pytest.raises(UmbelError, match=r"^input of item 0 is \(3, 4, 4\).* item 2 is \(3, 4, 5\)[^\n]*$"):
        list(from_dataset(items, TASKS, workers).batches(3))


def test_mixed_sizes_are_found_between_pieces_in_memory():
    items = Listed(*[GOOD] * 256, (torch.zeros(3, 4, 5), {}))
    with pytest.raises(UmbelError, match=r"input of item 0 .* item 256"):
        in_memory(items, TASKS)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (Listed(), "without samples"),
        (Endless(), "map-style"),
        (Listed((PICTURE, {"colour": 1})), "'age' has no label in any of 1 items"),
        (Listed((PICTURE, {"hue": 1})), "target 'hue', but the tasks are colour, age"),
        (Listed((PICTURE, 1)), "one target for 2 tasks"),
        (Listed(PICTURE), "a Tensor"),
        (Listed({"colour": 1, "age": 1.0}), "no input"),
        (Listed(("text", {"colour": 1})), "a str"),
        (Listed((PICTURE, {"colour": 0.5})), "not a whole number"),
        (Listed(GOOD, (PICTURE, {"colour": torch.tensor([1, 2])})), "target 'colour' of item 0 .* item 1"),
        (Listed(GOOD, ({"a": PICTURE}, {})), "item 0 has the inputs"),
    ],
)
def test_bad_items_are_one_clear_line(items, message):
    with pytest.raises(UmbelError, match=message) as caught:
        in_memory(items, TASKS)
    assert "\n" not in str(caught.value)


def test_the_form_is_found_from_later_items():
    form = Form.of(Pairs(), TASKS)
    assert form.blanks["colour"].item() == -1
    assert form.blanks["age"].isnan().all()


class Sized:
    """Pictures of different size with lists of different length; every fourth has no list, every fifth an empty one."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        picture = torch.full((1, 2 + index % 3, 4 - index % 2), index, dtype=torch.uint8)
        boxes = None if index % 4 == 0 else torch.full((0 if index % 5 == 0 else index % 3 + 1, 2), float(index))
        return picture, {"boxes": boxes, "age": float(index)}


BOXES = Task("boxes", 2, torch.nn.functional.mse_loss, {"m": None}, False, padding=-1.0)


def unpadded(batch):
    """Each sample's picture and list as they were."""
    sizes = sizes_of(batch.inputs, "input")
    pictures = [x[:c, :h, :w] for x, (c, h, w) in zip(batch.inputs["input"], sizes.tolist(), strict=True)]
    return [
        (x.shape, round(float(x.max()) * 255), t[(t[:, 0] != -1) & ~t[:, 0].isnan()].tolist(), bool(t.isnan().all()))
        for x, t in zip(pictures, batch.target("boxes"), strict=True)
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_different_size_are_padded_and_come_back_as_they_were(workers):
    kinds = (BOXES, TASKS[1])
    stream = from_dataset(Sized(), kinds, workers, ragged=["input", "boxes"])
    held = in_memory(Sized(), kinds, ragged=["input", "boxes"])
    for batches in (lambda s: s.batches(4), lambda s: s.train_batches(4, 1, 2), lambda s: s.train_batches(4, 1, 2, 3)):
        one, other = [[row for batch in batches(source) for row in unpadded(batch)] for source in (stream, held)]
        assert one == other
    rows = [row for batch in stream.batches(4) for row in unpadded(batch)]
    for index, (shape, value, boxes, absent) in enumerate(rows):
        picture, targets = Sized()[index]
        assert (shape, value) == (picture.shape, index)
        assert absent is (targets["boxes"] is None)
        assert boxes == (targets["boxes"].tolist() if targets["boxes"] is not None else [])


def test_two_ranks_share_each_padded_batch_of_one():
    source = from_dataset(Sized(), (BOXES, TASKS[1]), ragged=["input", "boxes"])
    whole = [unpadded(batch) for batch in source.train_batches(6, 3, 1)]
    parts = [[unpadded(batch) for batch in source.train_batches(6, 3, 1, 0, rank, 2)] for rank in (0, 1)]
    assert [one + other for one, other in zip(*parts, strict=True)] == whole


def test_only_what_is_named_may_differ_in_size():
    kinds = (BOXES, TASKS[1])
    with pytest.raises(UmbelError, match="name it in `ragged`"):
        list(from_dataset(Sized(), kinds, ragged=["boxes"]).batches(4))
    with pytest.raises(UmbelError, match="unknown ragged input or task 'inputs'; did you mean 'input'"):
        from_dataset(Sized(), kinds, ragged=["inputs"])
    flat = Listed(*[({"x": torch.ones(2 + n), "y": torch.ones(1)}, {"age": n}) for n in range(3)])
    batch = next(in_memory(flat, (TASKS[1],), ragged=["x"]).batches(3))
    assert set(batch.inputs) == {"x", "x/size", "y"} and batch.inputs["x"].shape == (3, 4)
