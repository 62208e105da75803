import math

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from umbel import losses


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("space", [(), (4,), (2, 3)])
def test_cross_entropy_is_minus_log_probability(space):
    logits = random(5, 3, *space)
    classes = torch.randint(0, 3, (5, *space), generator=torch.Generator().manual_seed(1))
    probability = (logits.exp() / logits.exp().sum(1, keepdim=True)).gather(1, classes.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(losses.cross_entropy(logits, classes), -probability.log())
    weight = torch.tensor([1.0, 2.0, 0.5])
    weighted = losses.cross_entropy(logits, classes, weight)
    torch.testing.assert_close(weighted, -probability.log() * weight.double()[classes])


@given(st.floats(-200, 200), st.sampled_from([0.0, 1.0]))
def test_bernoulli_is_right_and_finite_far_out(logit, target):
    found = losses.bernoulli(torch.tensor([logit], dtype=torch.float64), torch.tensor([target])).item()
    signed = logit if target == 0 else -logit
    wanted = max(signed, 0) + math.log1p(math.exp(-abs(signed)))
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_standardised_squared_error_is_zero_at_the_natural_value_and_scales():
    target = random(6, 2)
    centre, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0])
    exact = (target - centre) / scale
    assert losses.standardised_squared_error(exact, target, centre, scale).abs().max() == 0
    off = losses.standardised_squared_error(exact + 3, target, centre, scale)
    torch.testing.assert_close(off, torch.full_like(off, 9.0))
    zero, one = torch.zeros(()), torch.ones(())
    plain = losses.standardised_squared_error(exact, target, zero, one)
    torch.testing.assert_close(plain, losses.squared_error(exact, target))
    torch.testing.assert_close(plain, (exact - target) ** 2)


def test_angular_is_one_minus_cosine_whatever_the_length():
    angles = torch.tensor([0.0, 30.0, 90.0, 180.0]).deg2rad().double()
    prediction = torch.stack([angles.cos(), angles.sin(), torch.zeros(4)]).reshape(1, 3, 2, 2) * 7
    normals = torch.tensor([2.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(losses.angular(prediction, normals).reshape(-1), 1 - angles.cos())
    nothing = torch.zeros(1, 3, 1, 1, requires_grad=True)
    losses.angular(nothing, normals[..., :1, :1]).sum().backward()
    assert torch.isfinite(nothing.grad).all()


CALLS = {
    "cross_entropy": (losses.cross_entropy, (3, 4), torch.tensor([0, 3, 1])),
    "bernoulli": (losses.bernoulli, (3, 4), torch.ones(3, 4)),
    "squared_error": (losses.squared_error, (3, 4), torch.ones(3, 4)),
    "standardised": (
        lambda p, t: losses.standardised_squared_error(p, t, torch.ones(4), torch.ones(4)),
        (3, 4),
        torch.ones(3, 4),
    ),
    "angular": (losses.angular, (2, 3, 1, 2), torch.ones(2, 3, 1, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_half_precision_is_raised_and_double_is_kept(name):
    function, shape, target = CALLS[name]
    prediction = random(*shape)
    exact = function(prediction, target)
    assert exact.dtype == torch.float64
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        rounded = prediction.to(dtype)
        found = function(rounded, target)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), function(rounded.double(), target), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_right_in_double_precision(name):
    function, shape, target = CALLS[name]
    target = target if target.dtype == torch.int64 else target.double()
    assert torch.autograd.gradcheck(lambda p: function(p, target), random(*shape).requires_grad_())


def test_shapes_that_would_broadcast_silently_are_refused():
    # [B] against [B, 1] broadcasts to [B, B] and trains on nonsense; the shape check catches it under pytest.
    with pytest.raises(jaxtyping.TypeCheckError):
        losses.squared_error(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(jaxtyping.TypeCheckError):
        losses.cross_entropy(torch.zeros(4, 3), torch.zeros(4))
