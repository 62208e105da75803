import copy
import itertools

import pytest
import torch
from torch import nn

from umbel.core import UmbelError
from umbel.nn import ExponentialMovingAverage


def make_student() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_teacher_is_the_weighted_sum_of_all_students():
    student = make_student()
    average = ExponentialMovingAverage(student, decay=0.75)
    wanted = student[0].weight.detach().clone()
    for step in range(4):
        with torch.no_grad():
            student[0].weight += step + 1
        student(torch.randn(5, 2, generator=torch.Generator().manual_seed(step)))
        average.update(student)
        wanted = 0.75 * wanted + 0.25 * student[0].weight.detach()
    torch.testing.assert_close(average.teacher[0].weight, wanted)
    assert not torch.equal(average.teacher[1].running_mean, torch.zeros(3))
    assert int(average.teacher[1].num_batches_tracked) == 4


def test_teacher_learns_nothing_and_keeps_evaluation_mode():
    student = make_student()
    average = ExponentialMovingAverage(student).train()
    assert not average.teacher.training
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in student.parameters())
    answer = average(torch.rand(4, 2))
    assert not answer.requires_grad
    assert torch.equal(average.teacher[1].running_mean, torch.zeros(3))


def test_teacher_is_saved_with_its_holder():
    average = ExponentialMovingAverage(make_student(), decay=0.5)
    other = ExponentialMovingAverage(make_student(), decay=0.5)
    other.load_state_dict(average.state_dict())
    x = torch.rand(3, 2)
    assert torch.equal(other(x), average(x))


def test_another_student_or_decay_is_refused():
    with pytest.raises(UmbelError, match="between 0 and 1"):
        ExponentialMovingAverage(make_student(), decay=1.5)
    with pytest.raises(UmbelError, match="not the module"):
        ExponentialMovingAverage(make_student()).update(nn.Linear(2, 3))


def moved_by(average: ExponentialMovingAverage, student: nn.Module, calls: int) -> list[torch.Tensor]:
    """The teacher's weight after each call; the student gains 1 before each."""
    seen = []
    for _ in range(calls):
        with torch.no_grad():
            student[0].weight += 1
        average.update(student)
        seen.append(average.teacher[0].weight.clone())
    return seen


def test_a_teacher_moves_at_every_so_many_calls():
    student = make_student()
    start = student[0].weight.detach().clone()
    average = ExponentialMovingAverage(student, decay=0.5, every=3)
    seen = moved_by(average, student, 7)
    for call, weight in enumerate(seen, start=1):
        moves = call // 3
        wanted = [start, start + 1.5, start + 3.75][moves]  # of 0 and 3, of 1.5 and 6
        torch.testing.assert_close(weight, wanted)
    assert int(average.calls) == 7


def test_the_number_of_calls_is_resumed():
    student = make_student()
    average = ExponentialMovingAverage(student, decay=0.5, every=3)
    moved_by(average, student, 2)
    resumed = ExponentialMovingAverage(make_student(), decay=0.5, every=3)
    resumed.load_state_dict(average.state_dict())
    one, other = (moved_by(a, s, 4) for a, s in ((average, student), (resumed, copy.deepcopy(student))))
    # the student of the second has moved four times more; what counts is when the teachers moved
    assert [bool((b != a).any()) for a, b in itertools.pairwise(one)] == [False, False, True]
    assert [bool((b != a).any()) for a, b in itertools.pairwise(other)] == [False, False, True]


@pytest.mark.parametrize(("buffers", "wanted"), [("average", 1.5), ("copy", 3.0), ("keep", 0.0)])
def test_what_becomes_of_buffers_is_said(buffers, wanted):
    student = make_student()
    average = ExponentialMovingAverage(student, decay=0.5, buffers=buffers)
    student[1].running_mean.fill_(3.0)
    student[1].num_batches_tracked.fill_(8)
    average.update(student)
    assert average.teacher[1].running_mean.tolist() == [wanted] * 3
    assert int(average.teacher[1].num_batches_tracked) == (0 if buffers == "keep" else 8)


def test_a_speed_that_is_none_is_refused():
    with pytest.raises(UmbelError, match="every"):
        ExponentialMovingAverage(make_student(), every=0)
    with pytest.raises(UmbelError, match="buffers"):
        ExponentialMovingAverage(make_student(), buffers="forget")
