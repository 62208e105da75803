"""Whatever is given to a public function, what comes back is a result or one line that says what is wrong."""

import inspect
import json
import math
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import wrong_calls

from umbel import arguments, descent, losses, privacy, search, tasks
from umbel.core import UmbelError
from umbel.errors import shown

NAMES = [function.__name__ for function in wrong_calls.CALLS]
HAVE_A_LEARNER = {"measure_gramian", "present_losses", "sample_gradients", "task_gradients"}


@cache
def outcomes() -> dict:
    done = subprocess.run([sys.executable, wrong_calls.__file__], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_argument_is_refused_in_one_line(name):
    assert outcomes()[name]["right"] == ""
    assert outcomes()[name]["strange"] == {}


@pytest.mark.parametrize("module", [tasks, losses, search, descent, privacy], ids=lambda module: module.__name__)
def test_no_public_function_is_left_out(module):
    listed = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    own = [getattr(module, n) for n in listed]
    functions = {f.__name__ for f in own if inspect.isfunction(f) and f.__module__.startswith(module.__name__)}
    assert functions and functions - HAVE_A_LEARNER <= set(NAMES)


def test_a_number_of_labels_does_as_well_as_their_names():
    task = tasks.classification("kind", 10)
    assert (task.outputs, task.labels) == (10, tuple("0123456789"))
    assert tasks.segmentation("pixel", np.int64(3)).labels == ("0", "1", "2")
    assert tasks.multilabel("answers", 2).labels == ("0", "1")
    for labels in (1, -3, True, 2.0, "a", [1, 2], None):
        with pytest.raises(UmbelError, match=r"^task 'kind': "):
            tasks.classification("kind", labels)


def test_whole_numbers():
    assert arguments.whole_number(np.int64(3), "n") == 3
    assert arguments.whole_number(torch.tensor(3), "n", least=3) == 3
    for wrong in (True, 3.0, "3", torch.ones(2), None):
        with pytest.raises(UmbelError, match=r"n is .*; give a whole number$"):
            arguments.whole_number(wrong, "n")
    assert arguments.seed_number(np.int64(0), "seed") == 0
    for wrong in (-1, arguments.LARGEST_SEED + 1, 1.0):
        with pytest.raises(UmbelError, match=r"seed is .*; give a whole number, at least 0 and at most"):
            arguments.seed_number(wrong, "seed")
    with pytest.raises(UmbelError, match="n is 2; give a whole number, at least 3"):
        arguments.whole_number(2, "n", least=3)


def test_real_numbers():
    assert arguments.real_number(np.float32(0.5), "x") == 0.5
    assert arguments.real_number(torch.tensor(2), "x") == 2.0
    for wrong in (True, "1", None, torch.ones(2), [1]):
        with pytest.raises(UmbelError, match=r"x is .*; give (a|one) number"):
            arguments.real_number(wrong, "x")


def test_texts_and_names():
    assert arguments.text("a", "t") == "a"
    assert arguments.names(("a", "b"), "t") == ("a", "b")
    assert arguments.one_of("rows", "engine", ("rows", "ghost")) == "rows"
    for function, wrong in ((arguments.text, ""), (arguments.names, "ab"), (arguments.names, ["a", 1])):
        with pytest.raises(UmbelError, match=r"^t "):
            function(wrong, "t")
    with pytest.raises(UmbelError, match="unknown engine 'row'; did you mean 'rows'"):
        arguments.one_of("row", "engine", ("rows", "ghost"))
    with pytest.raises(UmbelError, match=r"unknown engine \['rows'\]; known: ghost, rows"):
        arguments.one_of(["rows"], "engine", ("rows", "ghost"))


def test_instances_and_tensors():
    arguments.instance(1, (int, str), "it", "a number")
    arguments.tensors("there", it=torch.ones(1))
    with pytest.raises(UmbelError, match="it is 1; give a text"):
        arguments.instance(1, str, "it", "a text")
    with pytest.raises(UmbelError, match="there: it is None; give a tensor"):
        arguments.tensors("there", it=None)


def test_options_are_checked_by_their_annotations():
    def loader(size: int | None = None, names: "list[str]" = (), share: float = 0.1, quick: bool = False) -> None: ...

    arguments.check_options(loader, {"size": np.int64(3), "share": 1, "quick": True, "names": object()}, "set")
    for wrong in ({"size": "3"}, {"size": True}, {"share": None}, {"quick": 1}):
        (name,) = wrong
        with pytest.raises(UmbelError, match=f"^set: option {name} is .*; give "):
            arguments.check_options(loader, wrong, "set")


def test_values_are_shown_in_one_line():
    assert shown("a") == "'a'"
    assert shown(torch.zeros(2, 3)) == "a Tensor"
    assert shown("x" * 100) == "a str"


def test_the_table_would_see_a_type_error():
    assert "TypeError" in wrong_calls.strange(lambda text: text + 1, {"text": "a"})
    assert Path(wrong_calls.__file__).parent == Path(__file__).parent


def test_what_was_measured_may_be_no_number():
    assert math.isnan(arguments.any_number(math.nan, "a metric"))
    assert arguments.any_number(np.float32(-math.inf), "a metric") == -math.inf
    for wrong in (None, "3", True, [1.0]):
        with pytest.raises(UmbelError, match="a metric is"):
            arguments.any_number(wrong, "a metric")
