"""Attention with a Gaussian behind it: its divergence, its gradients, what one task's weights depend on."""

from typing import get_args

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from umbel.core import UmbelError
from umbel.nn import AttentionKind, Fused, GaussianAttention, GaussianWeights, TaskFusion, kl_to_standard_normal

TASKS = {"m": 6, "d": 6, "r": 6}


def maps(count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, channels, 3, 2, generator=generator) for name, channels in TASKS.items()}


def test_the_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(4, 7), torch.randn(4, 7)
    gaussian = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(gaussian, Normal(torch.zeros(4, 7), torch.ones(4, 7))).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert torch.equal(kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2))


def test_weights_are_drawn_in_training_and_certain_at_test():
    attention, pooled = GaussianAttention(6), torch.randn(5, 6)
    torch.manual_seed(3)
    one = attention(pooled)
    torch.manual_seed(3)
    eps = torch.randn(5, 6)
    torch.testing.assert_close(one.weights, torch.sigmoid(one.mean + eps * (0.5 * one.log_variance).exp()))
    assert not torch.equal(one.weights, attention(pooled).weights)
    attention.eval()
    assert torch.equal(attention(pooled).weights, one.mean.sigmoid())


def test_sigma_learns_through_the_draw():
    """d z / d log sigma² is eps sigma / 2: the gradient of a sum of z over draws says so."""
    attention = GaussianAttention(6)
    torch.manual_seed(3)
    given = attention(torch.randn(5, 6))
    given.log_variance.retain_grad()
    given.weights.logit().sum().backward()
    torch.manual_seed(3)
    torch.randn(5, 6)
    eps = torch.randn(5, 6)
    expected = eps * (0.5 * given.log_variance.detach()).exp() / 2
    torch.testing.assert_close(given.log_variance.grad, expected, atol=1e-5, rtol=1e-4)
    assert attention.log_variance.weight.grad.abs().sum() > 0


def test_a_variance_that_runs_away_stays_finite():
    attention = GaussianAttention(6)
    torch.nn.init.constant_(attention.log_variance.bias, 1e4)
    given = attention(torch.randn(5, 6))
    assert given.weights.isfinite().all()
    assert kl_to_standard_normal(given.mean, given.log_variance).isfinite().all()


@pytest.mark.parametrize(("kind", "independent"), [("gaussian", True), ("sigmoid", True), ("softmax", False)])
def test_what_another_task_sees_leaves_a_tasks_weights_alone(kind, independent):
    fusion, before = TaskFusion(TASKS, kind).eval(), maps()
    after = before | {"d": 3 * before["d"] + 1}
    one, other = fusion(before), fusion(after)
    assert not torch.equal(one.weights["d"], other.weights["d"])
    for name in ("m", "r"):
        assert torch.equal(one.weights[name], other.weights[name]) == independent
    if kind == "softmax":
        torch.testing.assert_close(sum(one.weights.values()), torch.ones(5, 6))


@pytest.mark.parametrize("kind", get_args(AttentionKind))
def test_the_joined_vector_is_each_tasks_weighed_mean_in_order(kind):
    given = maps()
    fused = TaskFusion(TASKS, kind)(dict(reversed(given.items())))
    expected = torch.cat([fused.weights[name] * given[name].mean((2, 3)) for name in TASKS], 1)
    torch.testing.assert_close(fused.vector, expected)
    assert list(fused.gaussians) == (list(TASKS) if kind == "gaussian" else [])
    assert isinstance(fused, Fused)
    assert all(isinstance(one, GaussianWeights) for one in fused.gaussians.values())
    if kind == "none":
        assert all(bool((x == 1).all()) for x in fused.weights.values())


def test_vectors_are_joined_as_maps_are():
    fusion = TaskFusion(TASKS).eval()
    pooled = {name: x.mean((2, 3)) for name, x in maps().items()}
    torch.testing.assert_close(fusion(maps()).vector, fusion(pooled).vector)


def test_what_cannot_be_is_refused():
    for call, message in (
        (lambda: GaussianAttention(0), "channels of the attention is 0"),
        (lambda: TaskFusion({}), "features of no task cannot be joined"),
        (lambda: TaskFusion(TASKS, "hard"), "unknown kind of attention 'hard'"),
        (lambda: TaskFusion({"m": 2, "d": 3}, "softmax"), "softmax over tasks needs as many channels in each"),
        (lambda: TaskFusion(TASKS)({"m": maps()["m"]}), "unknown task of the joined features 'd'"),
        (lambda: kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 4)), "two tensors of one shape"),
    ):
        with pytest.raises(UmbelError, match=message):
            call()
