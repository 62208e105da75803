"""Gradient reversal, and the discriminators that stand behind it."""

import pytest
import torch

from umbel.nn import reversed_gradient
from umbel.nn.detection import GlobalDiscriminator, LocalDiscriminator


@pytest.mark.parametrize("strength", [1.0, 0.3, 0.0])
def test_values_stay_and_gradients_come_back_with_the_opposite_sign(strength):
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reversed_gradient(x, strength), x)
    (plain,) = torch.autograd.grad((x**3).sum(), x)
    (turned,) = torch.autograd.grad((reversed_gradient(x, strength) ** 3).sum(), x)
    torch.testing.assert_close(turned, -strength * plain)


def test_two_reversals_are_none():
    x = torch.randn(4, requires_grad=True)
    (gradient,) = torch.autograd.grad(reversed_gradient(reversed_gradient(x)).sum(), x)
    assert torch.equal(gradient, torch.ones(4))


def test_a_local_discriminator_looks_at_one_place_at_a_time():
    part, maps = LocalDiscriminator(6), torch.randn(2, 6, 4, 5)
    plain = part(maps)
    assert plain.shape == (2, 1, 4, 5)
    changed = maps.clone()
    changed[0, :, 2, 3] += 1
    differs = (part(changed) != plain).nonzero()
    assert differs.tolist() == [[0, 0, 2, 3]]


def test_a_global_discriminator_judges_each_picture_by_itself():
    part = GlobalDiscriminator(5, width=8).train()
    for layer in part.layers:
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    maps = torch.randn(3, 5, 9, 7)
    together = part(maps)
    assert together.shape == (3, 2)
    torch.testing.assert_close(torch.cat([part(one[None]) for one in maps]), together)
