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
