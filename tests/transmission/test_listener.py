"""A receiver with several tasks: it leaves when it is sure of all of them, at thresholds from validation."""

import pytest
import torch

from umbel.transmission import Listener, RoundPredictions


def rounds(first_sure, labels, wrong=()):
    """Two stages, two classes: right, and after the first stage sure of some samples only."""
    right = torch.nn.functional.one_hot(labels, 2).float() * 2 - 1
    right[list(wrong)] *= -1
    sure = torch.tensor(first_sure).unsqueeze(1)
    return RoundPredictions(torch.stack([right * torch.where(sure, 5.0, 0.1), right * 5]), labels)


LABELS = torch.tensor([0, 1, 0, 1])
TWO = Listener(
    {
        "one": rounds([True, True, False, False], LABELS),
        "two": rounds([True, False, True, False], LABELS, wrong=[0]),
    }
)


def test_it_is_as_sure_as_of_its_least_sure_task():
    assert TWO.leaves([0.9]).tolist() == [1, 2, 2, 2], "of both tasks it is sure at once for the first sample alone"
    assert TWO.confidence.shape == (2, 4) and float(TWO.confidence[0, 1]) < 0.6


def test_accuracy_is_that_of_each_task_where_it_leaves():
    assert TWO.accuracies(TWO.leaves([0.9])) == {"one": 1.0, "two": 0.75}
    assert TWO.correct.tolist() == [[0.5, 1.0, 1.0, 1.0]] * 2


@pytest.mark.parametrize("spare", [0.0, 0.6])
def test_thresholds_keep_the_accuracy_up_to_what_is_spared(spare):
    """After the first stage it is wrong where it is unsure: without anything to spare it stays for those samples."""
    labels = torch.tensor([0, 1, 0, 1])
    right = torch.nn.functional.one_hot(labels, 2).float() * 2 - 1
    unsure = torch.tensor([1.0, 1.0, -0.1, -0.1]).unsqueeze(1)
    listener = Listener({"one": RoundPredictions(torch.stack([5 * right * unsure, 5 * right]), labels)})
    stop = listener.leaves(listener.thresholds([4, 8], spare))
    assert stop.tolist() == ([1, 1, 2, 2] if spare == 0 else [1, 1, 1, 1])
