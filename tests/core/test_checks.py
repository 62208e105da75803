import math

import pytest
import torch

from umbel import tasks
from umbel.core import Batch, Losses, UmbelError, check_finite, check_inputs, check_labels, unknown

KIND = tasks.classification("kind", ["a", "b"])
AGE = tasks.regression("age")


def labels(**targets: list) -> Batch:
    return Batch(torch.zeros(3, 1), {name: torch.tensor(values) for name, values in targets.items()})


def test_a_loss_that_is_not_finite_is_named():
    check_finite(Losses({"age": torch.tensor(1e30), "kind": torch.tensor(0.0)}))
    with pytest.raises(UmbelError, match="loss of age is inf; kind is nan") as caught:
        check_finite(Losses({"age": torch.tensor(math.inf), "fine": torch.tensor(1.0), "kind": torch.tensor(math.nan)}))
    assert "fine" not in str(caught.value)


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 1, 3, 3)])
def test_inputs_that_are_not_finite_are_named_with_set_and_sample(shape):
    inputs = torch.zeros(shape)
    check_inputs(Batch(inputs), "training set")
    inputs[2].view(-1)[-1] = math.inf
    with pytest.raises(UmbelError, match="training set: inputs of sample 2 hold NaN or infinity"):
        check_inputs(Batch(inputs), "training set")
    with pytest.raises(UmbelError, match="inputs 'weather' of sample 2"):
        check_inputs(Batch({"index": torch.arange(4), "weather": inputs}), "x")


def test_labels_that_can_be_learnt_pass():
    check_labels((KIND, AGE), labels(kind=[0, -1, 1], age=[[1.0], [math.nan], [1.0]]), "train")


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        ({"kind": [-1, -1, -5]}, "train: task 'kind' has no label at all"),
        ({"kind": [0, 2, 1]}, "'kind' has label 2; its classes are 0 to 1"),
        ({"kind": [1, -1, 1]}, r"'kind' has only one class \(1\)"),
        ({"age": [[math.nan]] * 3}, "'age' has no label at all"),
        ({}, "unknown target 'age'"),
    ],
)
def test_labels_that_cannot_be_learnt_are_named(targets, words):
    with pytest.raises(UmbelError, match=words):
        check_labels((KIND,) if "kind" in targets else (AGE,), labels(**targets), "train")


def test_an_unknown_name_gets_the_nearest_or_the_list():
    assert str(unknown("data set", "minst", ["mnist", "cifar10"])) == "unknown data set 'minst'; did you mean 'mnist'?"
    assert str(unknown("task", "zzz", ["b", "a"])) == "unknown task 'zzz'; known: a, b"
    assert str(unknown("task", "zzz", [])) == "unknown task 'zzz'; known: none"
