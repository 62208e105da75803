import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from umbel import tasks
from umbel.core import (
    Batch,
    Losses,
    UmbelError,
    check_classes,
    check_dense,
    check_finite,
    check_inputs,
    check_labels,
    check_loss_parameters,
    unknown,
)

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
        ({"kind": [0.0, 1.0, 0.0]}, "'kind' has classes of type float32; give whole numbers"),
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


def test_a_batch_may_lack_labels_but_not_hold_wrong_ones():
    for fine in ([-1, -1, -1], [1, 1, 1]):
        check_classes((KIND, AGE), labels(kind=fine, age=[[math.nan]] * 3), "step 3")
    with pytest.raises(UmbelError, match="step 3: task 'kind' has label 2; its classes are 0 to 1"):
        check_classes((KIND, AGE), labels(kind=[0, -1, 2], age=[[1.0]] * 3), "step 3")


class Scaled(nn.Module):
    """A squared error whose scale is learnt."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, prediction, target):
        return self.scale * (prediction - target).square()


OWN = Scaled()


def closing_over(module):
    def loss(prediction, target):
        return module(prediction, target)

    return loss


@pytest.mark.parametrize(
    "loss",
    [OWN, OWN.forward, partial(OWN), partial(lambda p, t, m: m(p, t), m=OWN), closing_over(OWN)],
    ids=["module", "method", "partial", "keyword", "closure"],
)
def test_a_loss_with_parameters_is_trained_or_refused(loss):
    task = replace(AGE, loss=loss)
    check_loss_parameters((KIND, task), OWN.parameters())
    with pytest.raises(
        UmbelError, match=r"task 'age': its loss has a parameter of shape \[1\] that is not trained; make"
    ):
        check_loss_parameters((KIND, task), [nn.Parameter(torch.ones(1))])
    OWN.requires_grad_(False)
    check_loss_parameters((KIND, task), [])
    OWN.requires_grad_(True)


def test_layers_with_sparse_gradients_are_named():
    check_dense(nn.Sequential(nn.Embedding(3, 2)))
    for layer in (nn.Embedding(3, 2, sparse=True), nn.EmbeddingBag(3, 2, sparse=True)):
        with pytest.raises(UmbelError, match="layer '1' gives sparse gradients"):
            check_dense(nn.Sequential(nn.Linear(1, 1), layer))
