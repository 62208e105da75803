"""What a study has measured once is not measured again, and comes back as it was."""

import json
import math
from typing import Any

import pytest

from umbel.engine import open_runtime
from umbel.study import Study

VALUES = [{"digit@1": {"accuracy": 0.5, "age": math.inf}}, {"digit@1": {"accuracy": math.nan, "age": 2}}, "text", 3]


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "study", open_runtime(), "umbel run nothing")


def test_a_measurement_is_taken_once_and_comes_back_the_same(study):
    calls = []

    def measure():
        calls.append(1)
        return VALUES

    first = study.measured("net/seed-0", "test", Any, measure)
    again = Study(study.out, open_runtime(), "umbel run nothing", resume=True).measured(
        "net/seed-0", "test", Any, measure
    )
    assert len(calls) == 1
    for found in (first, again):
        assert found[0] == VALUES[0] and found[2:] == VALUES[2:]
        assert math.isnan(found[1]["digit@1"]["accuracy"]) and found[1]["digit@1"]["age"] == 2
    assert json.loads((study.folder("net/seed-0") / "test.json").read_text())[3] == 3


def test_networks_and_names_are_kept_apart(study):
    assert study.measured("a/seed-0", "test", Any, lambda: [1]) == [1]
    assert study.measured("a/seed-0", "validation", Any, lambda: [2]) == [2]
    assert study.measured("b/seed-0", "test", Any, lambda: [3]) == [3]
    assert study.measured("a/seed-0", "test", Any, lambda: [4]) == [1]


def test_a_measurement_that_fails_leaves_nothing_behind(study):
    with pytest.raises(ZeroDivisionError):
        study.measured("a", "test", Any, lambda: 1 / 0)
    assert study.measured("a", "test", Any, lambda: 5) == 5


def test_no_process_writes_before_the_others_have_looked(study, monkeypatch):
    """Else one would read the file and skip the barrier at which the other waits."""
    seen = []
    file = study.folder("a") / "test.json"
    monkeypatch.setattr(type(study.runtime), "barrier", lambda self: seen.append(file.exists()))
    study.measured("a", "test", Any, lambda: seen.append("measured"))
    assert seen == [False, "measured", True]


def test_a_process_that_is_not_the_first_writes_nothing(study, monkeypatch):
    monkeypatch.setattr("umbel.engine.runtime.FabricRuntime.is_main", False)
    assert study.measured("a", "test", Any, lambda: [1]) == [1]
    assert not study.out.exists()
