"""delta-m of every repeat, against the reference of the same repeat."""

import math

import pytest

from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo
from umbel.study import improvement

TASKS = (
    TaskInfo("kind", "classification", "accuracy", True, metrics=("accuracy",)),
    TaskInfo("size", "regression", "RMSE", False, metrics=("RMSE",)),
)


def run(arm, repeat, accuracy, error, point=None, validation=(1.0, 1.0)):
    both = [{"kind": {"accuracy": a}, "size": {"RMSE": e}} for a, e in ((accuracy, error), validation)]
    return Run(arm, repeat, both[0], point or {}, both[1])


def results(*runs, reference="alone"):
    methods = [MethodInfo(key, key) for key in dict.fromkeys(one.method for one in runs)]
    return Results("study", "By hand", "", DataInfo("toy"), TASKS, methods, runs, reference)


def test_each_repeat_has_its_own_reference_and_directions_count():
    made = results(
        run("alone", 0, 0.5, 2.0), run("alone", 1, 0.8, 1.0), run("joint", 0, 0.6, 1.0), run("joint", 1, 0.4, 1.5)
    )
    assert dict(improvement(made, "joint")) == pytest.approx({0: (20 + 50) / 2, 1: (-50 - 50) / 2})
    assert dict(improvement(made, "alone")) == {0: 0.0, 1: 0.0}


def test_validation_is_read_where_it_is_asked_for():
    made = results(run("alone", 0, 0.5, 2.0, validation=(0.5, 1.0)), run("joint", 0, 0.5, 2.0, validation=(1.0, 1.0)))
    assert improvement(made, "joint")[0] == 0
    assert improvement(made, "joint", "validation")[0] == pytest.approx(50)


def test_repeats_without_a_reference_are_left_out_and_what_is_undefined_is_not_a_number():
    made = results(run("alone", 0, 0.0, 2.0), run("joint", 0, 0.5, 2.0), run("joint", 1, 0.5, 2.0))
    values = improvement(made, "joint")
    assert list(values) == [0]
    assert math.isnan(values[0])
    assert dict(improvement(made, "never run")) == {}
    assert dict(improvement(results(run("joint", 0, 0.5, 2.0), reference=None), "joint")) == {}


def test_an_arm_of_several_points_is_looked_at_at_one():
    made = results(
        run("alone", 0, 0.5, 1.0), run("wide", 0, 0.6, 1.0, {"width": 1.0}), run("wide", 0, 0.4, 1.0, {"width": 0.5})
    )
    assert improvement(made, "wide", width=0.5)[0] == pytest.approx(-10)
