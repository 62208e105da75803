"""The task whose elements are whole pictures."""

import math

import pytest
import torch

from umbel import losses, tasks
from umbel.core import Batch, UmbelError


def pictures(count=6, channels=3, side=8, seed=0):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_the_loss_of_a_picture_is_the_mean_of_its_squared_errors():
    prediction, target = pictures(), pictures(seed=1)
    found = losses.mean_squared_error_of_each(prediction, target, scale=10.0)
    assert found.shape == (6,)
    by_hand = [10 * sum((a - b) ** 2 for a, b in zip(p.flatten().tolist(), t.flatten().tolist(), strict=True)) / 192
               for p, t in zip(prediction, target, strict=True)]  # fmt: skip
    assert found.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_half_precision_is_raised_and_gradients_are_right():
    prediction, target = pictures(2, 1, 3).double(), pictures(2, 1, 3, 1).double()
    assert losses.mean_squared_error_of_each(prediction.bfloat16(), target.float()).dtype == torch.float32
    function = losses.mean_squared_error_of_each
    assert torch.autograd.gradcheck(lambda p: function(p, target, 3.0), prediction.requires_grad_())


def test_the_scale_reaches_loss_and_gradient_and_no_metric():
    target, prediction = pictures(), pictures(seed=1).requires_grad_()
    plain, scaled = tasks.picture("p", 3), tasks.picture("p", 3, scale=30.0)
    gradients = [torch.autograd.grad(task.mean_loss(prediction, target), prediction)[0] for task in (plain, scaled)]
    torch.testing.assert_close(gradients[1], 30 * gradients[0])
    values = []
    for task in (plain, scaled):
        metric = task.metrics["PSNR"]()
        task.update(metric, prediction.detach(), target)
        values.append(metric.compute())
    assert values[0] == values[1]


def test_a_picture_with_a_missing_pixel_counts_nowhere():
    inputs = pictures()
    inputs[1, 2, 3, 3] = math.nan
    inputs[4] = math.nan
    task = tasks.picture("p", 3)
    assert task.target_of(Batch(inputs)) is inputs
    assert task.count(inputs) == 4
    prediction = pictures(seed=1).requires_grad_()
    loss = task.mean_loss(prediction, inputs)
    loss.backward()
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad[[1, 4]].abs().sum() == 0
    kept = [0, 2, 3, 5]
    assert loss.item() == pytest.approx((prediction - inputs)[kept].square().mean().item(), rel=1e-5)
    for name in task.metrics:
        whole, part = task.metrics[name](), task.metrics[name]()
        task.update(whole, prediction.detach(), inputs)
        task.update(part, prediction.detach()[kept], inputs[kept])
        assert whole.compute() == part.compute()


def test_metrics_see_values_within_the_range_only():
    task = tasks.picture("p", 1)
    metric = task.metrics["PSNR"]()
    task.update(metric, torch.full((2, 1, 8, 8), 5.0), torch.ones(2, 1, 8, 8))
    assert metric.compute() == 100


def test_it_says_what_it_is():
    task = tasks.picture("p", 3)
    assert (task.output, task.kind, task.main_metric, task.unit) == ("picture", "picture", "PSNR", "dB")
    assert task.higher_is_better
    assert all(make().higher_is_better for make in task.metrics.values())


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_a_scale_that_cannot_be_is_refused(scale):
    with pytest.raises(UmbelError, match="scale"):
        tasks.picture("p", 1, scale)
