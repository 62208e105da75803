"""Masks of tasks on shared features."""

import pytest
import torch

from umbel import tasks
from umbel.core import OperatingPoint, UmbelError
from umbel.nn import TaskAttention, build_model, with_attention

TASKS = (tasks.classification("kind", "abc"), tasks.regression("size", 1))
SHAPE = (3, 8, 8)


def plain(seed=0):
    return build_model(SHAPE, TASKS, "conv", seed=seed, widths=(4, 6))


def test_the_output_is_the_features_times_a_mask_between_0_and_1():
    attention = TaskAttention((6, 2, 2)).eval()
    features = torch.randn(5, 6, 2, 2, generator=torch.Generator().manual_seed(1))
    out = attention(features)
    ratio = out / features
    assert ((ratio > 0) & (ratio < 1)).all()
    conv, norm = attention.mask
    by_hand = torch.einsum("oc,bchw->bohw", conv.weight[:, :, 0, 0], features) / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(ratio, by_hand.sigmoid())


def test_a_mask_that_is_open_gives_the_ordinary_model():
    model, attended = plain().eval(), with_attention(plain(), 0).eval()
    for name in attended.task_names:
        norm = attended.heads[name][0].mask[1]
        torch.nn.init.zeros_(norm.weight)
        torch.nn.init.constant_(norm.bias, 30.0)
    x = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(2))
    for name, value in model(x, OperatingPoint()).items():
        torch.testing.assert_close(attended(x, OperatingPoint())[name], value)


def test_every_task_has_a_mask_of_its_own_that_its_loss_teaches():
    attended = with_attention(plain(), 0)
    masks = {name: attended.heads[name][0].mask[0].weight for name in attended.task_names}
    assert not torch.equal(masks["kind"], masks["size"])
    attended(torch.rand(4, *SHAPE), OperatingPoint())["kind"].sum().backward()
    assert masks["kind"].grad.abs().sum() > 0
    assert masks["size"].grad is None


def test_the_same_seed_gives_the_same_start_and_leaves_the_generator_alone():
    state = torch.get_rng_state()
    one, other, third = with_attention(plain(), 3), with_attention(plain(), 3), with_attention(plain(), 4)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.heads["kind"][0].mask[0].weight, third.heads["kind"][0].mask[0].weight)


def test_group_norm_does_not_mix_samples():
    attention = TaskAttention((8, 2, 2), norm="group")
    features = torch.randn(5, 8, 2, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attention(features)[:2], attention(features[:2]))


def test_features_that_are_no_map_are_refused():
    with pytest.raises(UmbelError, match=r"needs feature maps \(C, h, w\), the features have shape \(16,\)"):
        TaskAttention((16,))
