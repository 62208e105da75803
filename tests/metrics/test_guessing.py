"""The best guess of one label from another, counted by hand."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.metrics import guess_accuracy


def test_a_label_that_determines_the_other_is_guessed_from_it_but_not_the_other_way_round():
    digit, parity = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 1, 0, 1, 1])
    assert guess_accuracy(digit, parity) == 1.0
    assert guess_accuracy(parity, digit) == pytest.approx(3 / 5), "0 or 2 for even, 3 for odd"


def test_a_constant_tells_nothing_but_how_often_the_commonest_class_is_right():
    assert guess_accuracy(torch.zeros(4, dtype=torch.int64), torch.tensor([2, 2, 0, 2])) == 0.75


@pytest.mark.parametrize(
    ("known", "wanted", "says"),
    [([0, 1], [0], "shapes"), ([], [], "shapes"), ([0, -1], [0, 1], "a label is missing")],
)
def test_what_cannot_be_counted_is_refused(known, wanted, says):
    with pytest.raises(UmbelError, match=says):
        guess_accuracy(torch.tensor(known, dtype=torch.int64), torch.tensor(wanted, dtype=torch.int64))
