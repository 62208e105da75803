"""Views of pictures of different sizes: mirrored ones, and strongly changed ones in which everything stays in place.

Random numbers come from torch's generator, which the training loop seeds for each step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from umbel.arguments import one_of

Flips = Literal["none", "horizontal", "both"]
Sizes = Sequence[tuple[int, int]]


def _each(pictures: Tensor, sizes: Sizes, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The pictures, each changed within its own size; what is behind the end stays zero."""
    changed = torch.zeros_like(pictures)
    for place, picture, (height, width) in zip(changed, pictures, sizes, strict=True):
        place[:, :height, :width] = change(picture[:, :height, :width])
    return changed


def flipped(pictures: Tensor, sizes: Sizes, flips: Flips = "horizontal") -> Tensor:
    """Each picture mirrored left to right with probability one half, and for "both" upside down likewise.

    Args:
        pictures: Float [B, C, H, W], zero behind the end of each.
        sizes: (height, width) of each.
        flips: Which: "both" where pictures have no top (cells, satellites).
    """
    one_of(flips, "flips", get_args(Flips))
    if flips == "none":
        return pictures

    def change(picture: Tensor) -> Tensor:
        left, up = (torch.rand(2) < 0.5).tolist()
        axes = [axis for axis, wanted in ((2, left), (1, up and flips == "both")) if wanted]
        return picture.flip(axes) if axes else picture

    return _each(pictures, sizes, change)


def _between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _coloured(picture: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in a random order."""
    changes: Mapping[int, Callable[[Tensor], Tensor]] = {
        0: lambda x: F.adjust_brightness(x, _between(0.6, 1.4)),
        1: lambda x: F.adjust_contrast(x, _between(0.6, 1.4)),
        2: lambda x: F.adjust_saturation(x, _between(0.6, 1.4)),
        3: lambda x: F.adjust_hue(x, _between(-0.05, 0.05)),
    }
    for number in torch.randperm(len(changes)).tolist():
        picture = changes[number](picture)
    return picture


def _strong(picture: Tensor) -> Tensor:
    wanted = torch.rand(4)
    if wanted[0] < 0.8:
        picture = _coloured(picture)
    if wanted[1] < 0.1:
        picture = F.rgb_to_grayscale(picture, num_output_channels=3)
    if wanted[2] < 0.3:
        picture = F.gaussian_blur(picture, [3, 3], [_between(0.1, 1.0)] * 2)
    if wanted[3] < 0.2:
        picture = F.adjust_sharpness(picture, 2.0)
    return picture.clamp(0, 1)


def strong_view(pictures: Tensor, sizes: Sizes) -> Tensor:
    """Colours, grey, blur and sharpness of each picture changed at random; every object stays where it is.

    Differs from Chu et al., AAAI 2023, who draw two of RandAugment's ten photometric operations: equalised, posterised
    and solarised pictures are no pictures that a detector will meet.

    Args:
        pictures: Float [B, 3, H, W] in 0 to 1.
        sizes: (height, width) of each.
    """
    return _each(pictures, sizes, _strong)
