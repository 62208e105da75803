"""Every kind of task, as a client and the page get it."""

import math

import pytest

from umbel import tasks
from umbel.data.table_description import InputColumn
from umbel.data.task_records import TaskRecord
from umbel.inference.answers import answer_columns
from umbel.recipes.liveness import KeptLiveness
from umbel.serving.description import describe_output, example_row, prediction

KINDS = {
    "class": (tasks.classification("t", ["a", "b"]), {"t": "b", "t: a": 0.25, "t: b": 0.75}),
    "probabilities": (tasks.multilabel("t", ["a", "b"]), {"t: a": 0.25, "t: b": 0.5}),
    "value": (tasks.regression("t", centre=2.0, scale=3.0), {"t": 1.5}),
    "values": (tasks.regression("t", 2), {"t: 0": 1.5, "t: 1": math.nan}),
}
ANSWERS = {
    "class": {"class": "b", "probabilities": {"a": 0.25, "b": 0.75}},
    "probabilities": {"probabilities": {"a": 0.25, "b": 0.5}},
    "value": {"value": 1.5},
    "values": {"values": {"0": 1.5, "1": None}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_described_and_answered_under_the_name_of_its_kind(kind):
    task, row = KINDS[kind]
    record = TaskRecord.of(task)
    output = describe_output(record)
    assert (output["name"], output["kind"]) == ("t", kind)
    assert ("standard_deviation" in output) == (kind == "value")
    assert prediction([output], answer_columns([record]), row) == {"t": ANSWERS[kind]}


@pytest.mark.parametrize("task", [tasks.segmentation("t", 3), tasks.reconstruction("t", 1), tasks.surface_normals("t")])
def test_maps_and_pictures_are_not_served(task):
    assert describe_output(TaskRecord.of(task))["kind"] == ""
    assert prediction([describe_output(TaskRecord.of(task))], {}, {}) == {}


@pytest.mark.parametrize(
    ("centre", "scale", "value"),
    [
        (3.015463, 1.466, 3.02),
        (1_700_000_123.4567, 5.0, 1_700_000_123.46),
        (0.000123456, 0.00001, 0.0001235),
        (0.5, 0.0, 0.5),
        (12_345.678, 9_000.0, 12_346),
    ],
)
def test_an_example_is_as_exact_as_the_values_differ(centre, scale, value):
    known = type("Known", (), {"inputs": (InputColumn("x", "number", False, centre, scale),)})
    row = example_row(known)
    assert row["x"] == pytest.approx(value, rel=1e-12)
    assert isinstance(row["x"], int) == float(value).is_integer()


@pytest.mark.parametrize(("probability", "decided"), [(0.7, "live"), (0.69, "attack")])
def test_liveness_is_decided_where_its_threshold_is_known(probability, decided):
    record = TaskRecord.of(tasks.liveness("face"))
    columns, row = answer_columns([record]), {"face: live": probability}
    output = describe_output(record, KeptLiveness("face", threshold=0.7, eer=0.1, scale=1.0, shift=0.0, samples=9))
    assert output["threshold"] == 0.7
    answer = {"probabilities": {"live": probability}}
    assert prediction([output], columns, row) == {"face": {**answer, "decision": decided}}
    for kept in (None, KeptLiveness("other", threshold=0.7, eer=0.1, scale=1.0, shift=0.0, samples=9)):
        assert prediction([describe_output(record, kept)], columns, row) == {"face": answer}
