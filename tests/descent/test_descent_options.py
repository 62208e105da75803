"""Options of descents, as the command gives them: refused in one line before anything is trained, or used."""

import math

import pytest
import torch
from own_process import OwnProcess

from umbel.core import Learner, UmbelError
from umbel.descent import Fixed, WeightedSum, make_descent
from umbel.descent.jacobian import MOST_DIRECTIONS
from umbel.engine import fit
from umbel.engine.settings import FitSettings
from umbel.nn import build_model

RANGES = [
    ("cagrad", {"c": math.nan}, "c is nan; give a finite number"),
    ("dwa", {"temperature": math.inf}, "temperature is inf"),
    ("famo", {"learning_rate": math.inf}, "learning_rate is inf"),
    ("random-weights", {"seed": -1}, "seed is -1; give a whole number, at least 0"),
    ("pcgrad", {"seed": 2**64}, "at most 9,223"),
    ("upgrad", {"directions": MOST_DIRECTIONS + 1}, "at most 65,536"),
    ("upgrad", {"directions": 8, "engine": "rows"}, "directions are of the engine sketched"),
    ("config", {"pref_vector": (0.0, 0.0)}, "at least one above 0"),
    ("config", {"pref_vector": (-1.0, -1.0)}, "at least one above 0"),
    ("aligned-mtl", {"pref_vector": (1.0, -1.0)}, "give numbers of 0 or more"),
    ("equal", {"weights": (1.0, -1.0)}, "the weight number 2 is -1"),
    ("graddrop", {"leak": 1}, "leak is 1; give a tensor or None"),
    ("graddrop", {"f": 1}, "f is 1; give a function"),
]
KINDS = [
    ("cagrad", {"c": "nan"}, "cagrad: c is 'nan'; give a number"),
    ("random-weights", {"seed": "abc"}, "random weights: the seed is 'abc'; give a whole number"),
    ("upgrad", {"directions": 1.5}, "directions is 1.5; give a whole number"),
    ("equal", {"weights": ("a", 1)}, "the weight number 1 is 'a'; give a number"),
    ("equal", {"weights": "a"}, "the weight of a sum of losses is 'a'; give a number"),
]


def print_messages() -> None:
    """What is said of each of `KINDS`."""
    for name, options, _ in KINDS:
        try:
            make_descent(name, **options)
        except UmbelError as error:
            print(error)


@pytest.mark.parametrize(("name", "options", "message"), RANGES)
def test_options_out_of_range_are_one_line(name, options, message):
    with pytest.raises(UmbelError, match=message) as caught:
        make_descent(name, **options)
    assert "\n" not in str(caught.value)


def test_options_of_another_kind_are_one_line():
    """In a process of its own: while testing, beartype would refuse them first."""
    process = OwnProcess(print_messages)
    said, err = process.communicate()
    assert process.returncode == 0, err
    for line, (*_, message) in zip(said.splitlines(), KINDS, strict=True):
        assert line.startswith(message)


def learner_of(data, names):
    only = data.only(names)
    return Learner(build_model(only.input_shape, only.tasks, "conv", widths=(4, 8)), only.tasks), only


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "equal",
            {"weights": (1.0,)},
            r"are 1 for 2 tasks \(side, brightness\); give one for each in this order, as 1/1",
        ),
        ("equal", {"weights": 1.0}, "are 1 for 2 tasks"),
        ("equal", {"weights": (0.0, 0.0)}, "are 0 for every task"),
        ("config", {"pref_vector": (1.0, 2.0, 3.0)}, "pref_vector has 3 numbers for 2 tasks"),
        ("graddrop", {"leak": (0.1,)}, "leak has 1 numbers for 2 tasks"),
    ],
)
def test_another_number_than_of_tasks_is_refused_before_a_folder_is_taken(tiny_data, tmp_path, name, options, message):
    learner, data = learner_of(tiny_data, ["side", "brightness"])
    settings = FitSettings(steps=1, precision="float32", tensorboard=False)
    with pytest.raises(UmbelError, match=message):
        fit(learner, make_descent(name, **options), data.train, data.validation, settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_in_the_order_of_the_tasks(tiny_data):
    """`--descent-options weights=1/0.5` is what a mapping says."""
    learner, _ = learner_of(tiny_data, ["side", "brightness"])
    in_order, named = make_descent("equal", weights=(1.0, 0.5)), WeightedSum(Fixed({"side": 1.0, "brightness": 0.5}))
    weights = []
    for descent in (in_order, named):
        descent.prepare(learner)
        weights.append(descent.weighting(["side", "brightness", "added by the learner"], None, None))
    assert torch.equal(*weights)
    assert weights[0].tolist() == [1, 0.5, 1]
