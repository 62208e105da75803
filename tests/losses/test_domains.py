import math

import torch
from torch.nn import functional as F

from umbel.losses import focal_cross_entropy, least_squares_domain


def test_without_focus_it_is_cross_entropy():
    logits, classes = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 2
    torch.testing.assert_close(
        focal_cross_entropy(logits, classes, 0.0), F.cross_entropy(logits, classes, reduction="none")
    )


def test_what_is_told_easily_counts_little():
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])  # p = 3/4 of class 0
    lost = focal_cross_entropy(logits, torch.tensor([0, 1]), 3.0)
    torch.testing.assert_close(lost, torch.tensor([-(0.25**3) * math.log(0.75), -(0.75**3) * math.log(0.25)]))


def test_a_hopeless_logit_has_a_finite_loss_and_half_precision_is_widened():
    lost = focal_cross_entropy(torch.tensor([[200.0, 0.0]]).bfloat16(), torch.tensor([1]))
    assert lost.dtype == torch.float32
    torch.testing.assert_close(lost, torch.tensor([-math.log(1e-6)]), atol=1e-3, rtol=0)


def test_least_squares_by_hand():
    logits = torch.tensor([0.0, math.log(3.0)]).view(1, 1, 1, 2).repeat(2, 1, 1, 1)  # 1/2 and 3/4
    lost = least_squares_domain(logits, torch.tensor([0, 1]))
    torch.testing.assert_close(lost, torch.tensor([(1 / 4 + 9 / 16) / 2, (1 / 4 + 1 / 16) / 2]))
