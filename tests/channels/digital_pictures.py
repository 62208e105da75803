"""Small smooth pictures whose files are short, for the tests of the digital chain."""

import torch
from torch import Tensor


def smooth_pictures(count: int, side: int = 16, channels: int = 3, seed: int = 0) -> Tensor:
    """Soft random pictures, uint8 [count, channels, side, side]; even ones are dark on the left, odd ones light."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 3, 3, generator=generator) * 0.6
    picture = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    slope = torch.linspace(-0.2, 0.2, side) * (1 - 2 * (torch.arange(count) % 2))[:, None, None, None]
    return ((picture + slope + 0.2).clamp(0, 1) * 255).round().to(torch.uint8)


def sides(count: int) -> Tensor:
    """The class of each: 0 dark on the left, 1 light."""
    return torch.arange(count) % 2


def brighter_side(pictures: Tensor) -> Tensor:
    """A classifier: logits [B, 2]."""
    half = pictures.shape[-1] // 2
    left = pictures[..., :half].mean((1, 2, 3)) - pictures[..., half:].mean((1, 2, 3))
    return torch.stack([-left, left], 1)
