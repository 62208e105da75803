import math

import pytest
import torch
from torch.nn import functional as F

from umbel import tasks
from umbel.core import Batch, UmbelError
from umbel.transmission import Goal, Stage

DIGIT = tasks.classification("digit", "0123456789")
PICTURE = tasks.picture("picture", 1)


def batch(count=6, side=8):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(10, (count,), generator=generator)
    label[1] = -1
    return Batch(torch.rand(count, 1, side, side, generator=generator), {"digit": label})


def test_names_say_who_what_and_when():
    assert Goal(DIGIT).name == "digit@1"
    assert Goal(DIGIT, 2, "alice").name == Goal(DIGIT, 2, "alice").as_task().name == "alice/digit@2"


def test_a_goal_takes_the_label_of_its_task_and_not_of_its_own_name():
    data = batch()
    task = Goal(DIGIT, 2, "alice").as_task()
    assert torch.equal(task.target_of(data), data.targets["digit"])
    assert task.count(task.target_of(data)) == 5


def test_the_weight_scales_the_loss_and_its_gradient_and_no_metric():
    data = batch()
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(1), requires_grad=True)
    plain, heavy = Goal(DIGIT).as_task(), Goal(DIGIT, weight=2.5).as_task()
    (gradient,) = torch.autograd.grad(plain.mean_loss(logits, plain.target_of(data)), logits)
    (scaled,) = torch.autograd.grad(heavy.mean_loss(logits, heavy.target_of(data)), logits)
    torch.testing.assert_close(scaled, 2.5 * gradient)
    found = []
    for task in (plain, heavy):
        metric = task.metrics["accuracy"]()
        task.update(metric, logits.detach(), task.target_of(data))
        found.append(metric.compute())
    assert found[0] == found[1]


def test_a_shrunk_goal_is_the_mean_over_squares():
    data = batch()
    target = Goal(PICTURE, shrink=4).as_task().target_of(data)
    assert target.shape == (6, 1, 2, 2)
    assert target[3, 0, 1, 0] == pytest.approx(data.inputs[3, 0, 4:, :4].mean().item())


def test_a_picture_with_a_missing_pixel_is_missing_at_every_resolution():
    data = batch()
    data.inputs[2, 0, 7, 7] = math.nan
    for shrink in (1, 2, 8):
        task = Goal(PICTURE, shrink=shrink).as_task()
        assert task.labelled(task.target_of(data)).tolist() == [True, True, False, True, True, True]
        prediction = torch.zeros_like(F.avg_pool2d(data.inputs, shrink), requires_grad=True)
        loss = task.mean_loss(prediction, task.target_of(data))
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("uses", [0, -3, 2.5, 8.0, True, math.nan])
def test_a_stage_has_whole_uses(uses):
    with pytest.raises(UmbelError, match="at least 1 whole use"):
        Stage(uses)


@pytest.mark.parametrize("power", [0.0, -1.0, math.inf, math.nan])
def test_a_stage_has_power(power):
    with pytest.raises(UmbelError, match="power"):
        Stage(4, power)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage": 0}, "stage 0"),
        ({"shrink": 0}, "shrink 0"),
        ({"weight": -1.0}, "weight is -1"),
        ({"weight": math.nan}, "weight is nan"),
        ({"weight": math.inf}, "weight is inf"),
        ({"shrink": 2}, "only a picture can be shrunk"),
    ],
)
def test_goals_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UmbelError, match=words):
        Goal(DIGIT, **changes)
