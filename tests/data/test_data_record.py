"""What a run keeps of its data: tasks that predict the same, splits that are told apart, damage that is one line."""

import copy
import json

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, Task, UmbelError
from umbel.data import MultiTaskData, TensorSource, load_data
from umbel.data.data_record import DataRecord, changed_split
from umbel.data.fingerprint import fingerprint, same_content
from umbel.data.plain_inputs import PlainInputs
from umbel.data.task_records import TaskRecord
from umbel.losses import squared_error
from umbel.metrics import MeanAngularError

CENTRES = torch.tensor([1.7e9, -3.0, 0.1], dtype=torch.float64)
SCALES = torch.tensor([7.0, 1e-3, 0.3], dtype=torch.float64)
KINDS = {
    "classes": tasks.classification("t", ["no", "yes", "007"]),
    "weighted classes": tasks.classification("t", 2, class_weights=torch.tensor([1.0, 3.0])),
    "answers": tasks.multilabel("t", ["a", "b"]),
    "values": tasks.regression("t", 3, CENTRES, SCALES, labels=("x", "y", "z"), unit="mm"),
    "one value": tasks.regression("t", centre=5.0, scale=2.0),
    "depth": tasks.dense_regression("t", 2.5, 0.7, unit="m"),
    "segmentation": tasks.segmentation("t", ["sky", "road"]),
    "boundaries": tasks.boundaries("t"),
    "normals": tasks.surface_normals("t"),
    "reconstruction": tasks.reconstruction("t", 3),
    "picture": tasks.picture("t", 3, scale=10.0),
}


@pytest.mark.parametrize("task", KINDS.values(), ids=KINDS)
def test_a_task_predicts_the_same_when_it_comes_back_from_a_file(task):
    record = TaskRecord.of(task)
    again = TaskRecord.read(json.loads(json.dumps(record.__dict__)), "file").task()
    shape = (4, task.outputs) if task.output == "vector" else (4, task.outputs, 5, 5)
    raw = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.decode(raw), task.decode(raw))
    for part in ("name", "outputs", "output", "labels", "unit", "kind", "higher_is_better"):
        assert getattr(again, part) == getattr(task, part), part


def test_every_task_of_the_embedded_sets_has_a_record():
    names = ("digits", "overlay-digits", "scenes")
    for name in names:
        options = {"size": 8, "evaluation_size": 4} if name == "scenes" else {}
        for task in load_data(name, **options).tasks:
            assert TaskRecord.of(task).answers != "code", (name, task.name)


def test_a_task_made_by_hand_keeps_its_name_only():
    metrics = {"angle": MeanAngularError}
    by_hand = Task("angle", 3, squared_error, metrics, False, decode=lambda raw: raw / 2, kind="normals")
    record = TaskRecord.of(by_hand)
    assert (record.name, record.answers) == ("angle", "code")
    with pytest.raises(UmbelError, match="task 'angle' was made by hand"):
        record.task()


def split(count=40, seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    targets = {"side": torch.randint(-1, 3, (count,), generator=generator)}
    targets["value"] = torch.randn(count, 1, generator=generator)
    targets["value"][3] = torch.nan
    return TensorSource(Batch(torch.rand(count, 4, generator=generator), targets | changes))


def test_a_split_is_told_from_every_other():
    one = fingerprint(split())
    assert same_content(one, json.loads(json.dumps(fingerprint(split()))))
    swapped, moved, gap, label = (copy.deepcopy(split().samples) for _ in range(4))
    swapped.inputs[[0, 1]] = swapped.inputs[[1, 0]]
    moved.inputs[7, 2] += 0.01
    gap.targets["value"][5] = torch.nan
    label.targets["side"][0] = (label.targets["side"][0] + 1).clamp(min=0)
    others = [fingerprint(TensorSource(samples)) for samples in (swapped, moved, gap, label)]
    others += [fingerprint(split(41)), fingerprint(split(seed=1)), fingerprint(split(more=torch.zeros(40)))]
    assert [same_content(one, other) for other in others] == [False] * 7


def test_rounding_of_another_machine_does_not_make_another_split():
    samples = split().samples
    nudged = Batch(torch.nextafter(samples.inputs, torch.tensor(2.0)), samples.targets)
    assert same_content(fingerprint(TensorSource(samples)), fingerprint(TensorSource(nudged)))


def data(**changes):
    kinds = (tasks.classification("side", 3), tasks.regression("value"))
    parts = {"train": split(), "validation": split(8, 1), "test": split(8, 2)} | changes
    return MultiTaskData("mine", "Mine", kinds, **parts, input_shape=(4,))


def test_a_record_comes_back_and_tells_other_data():
    record = DataRecord.read(json.loads(json.dumps(DataRecord.of(data()).plain())), "file")
    assert record == DataRecord.of(data())
    assert record.inputs == PlainInputs((4,), False)
    record.check_split("test", data(), "run")
    with pytest.raises(UmbelError, match=r"run learnt from other data: its test split \(8 samples then, 9 now\)"):
        record.check_split("test", data(test=split(9)), "run")
    assert (
        changed_split("train", record.splits, {"train": fingerprint(split(seed=5))}) == "its train split (other values)"
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 6)])
def test_pictures_are_known_by_their_channels(shape):
    assert PlainInputs.of(shape).pictures
    assert not PlainInputs.of((shape[0] + 1, *shape[1:])).pictures
    assert not PlainInputs.of(shape[:2]).pictures


def test_a_damaged_record_is_one_line():
    good = DataRecord.of(data()).plain()
    damaged = [None, [], {}, "x", {**good, "inputs": None}, {**good, "outputs": [{}]}, {**good, "outputs": 3}]
    damaged += [{**good, "splits": 3}, {**good, "inputs": {"format": "other"}}]
    for part, value in {
        "outputs": -1,
        "kind": 3,
        "centre": ["x"],
        "scale": [0.0],
        "labels": 5,
        "answers": "words",
    }.items():
        damaged.append({**good, "outputs": [good["outputs"][0], {**good["outputs"][1], part: value}]})
    for given in damaged:
        with pytest.raises(UmbelError) as caught:
            DataRecord.read(given, "file")
        assert "\n" not in str(caught.value)
