"""What a run says about losses and batches that it cannot train with, and that it trains what it can."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from toy_learners import PAIR, two_heads, two_tasks

from umbel.core import Learner, UmbelError
from umbel.data import TensorSource
from umbel.descent import WeightedSum
from umbel.engine import FitSettings, fit

SETTINGS = FitSettings(steps=4, batch_size=8, precision="float32", channels_last=False, tensorboard=False)


class Scaled(nn.Module):
    """A squared error with a learnt scale s: s e² - log s."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, prediction, target):
        return self.scale * (prediction - target).square() - self.scale.log()


class WithLoss(Learner):
    """Holds the loss, so that it is trained and saved."""

    def __init__(self, model, tasks):
        super().__init__(model, tasks)
        self.loss = tasks[0].loss


def pair_with(loss):
    return (replace(PAIR[0], loss=loss), PAIR[1])


def test_a_loss_with_parameters_is_trained_by_the_learner_that_holds_it_and_refused_otherwise(tmp_path):
    source, loss = TensorSource(two_tasks()), Scaled().double()
    encoder = nn.Linear(4, 8)
    learner = WithLoss(two_heads(encoder), pair_with(loss)).double()
    fit(learner, WeightedSum(), source, source, SETTINGS)
    assert loss.scale != 1
    forgetful = Learner(two_heads(encoder), pair_with(loss)).double()
    with pytest.raises(UmbelError, match=r"task 'value': its loss has a parameter .* not trained; make the loss a sub"):
        fit(forgetful, WeightedSum(), source, source, SETTINGS, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"batch_size": 2, "accumulate": 2}])
def test_one_sample_for_batch_normalisation_is_one_line(change):
    source = TensorSource(two_tasks())
    learner = Learner(two_heads(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))), PAIR).double()
    with pytest.raises(UmbelError, match=r"batch normalisation has one sample.*raise `batch_size`, lower `accumulate`"):
        fit(learner, WeightedSum(), source, source, SETTINGS.replace(**change))


def test_another_value_error_stays_what_it_is():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    source = TensorSource(two_tasks())
    with pytest.raises(ValueError, match=r"^mine$"):
        fit(Learner(two_heads(Broken()), PAIR).double(), WeightedSum(), source, source, SETTINGS)


def test_a_class_out_of_range_in_any_batch_names_the_task():
    samples = two_tasks()
    samples.targets["side"][-1] = 9
    source = TensorSource(samples)
    learner = Learner(two_heads(nn.Linear(4, 8)), PAIR).double()
    with pytest.raises(UmbelError, match=r"task 'side': its loss fails .*Target 9 .*classes are whole numbers"):
        fit(learner, WeightedSum(), source, source, SETTINGS.replace(steps=50))


def test_sparse_gradients_are_refused_by_name():
    source = TensorSource(two_tasks())
    learner = Learner(two_heads(nn.Sequential(nn.Linear(4, 8), nn.Embedding(3, 2, sparse=True))), PAIR)
    with pytest.raises(UmbelError, match=r"'model.encoder.1' gives sparse gradients.*sparse=False"):
        fit(learner, WeightedSum(), source, source, SETTINGS)
