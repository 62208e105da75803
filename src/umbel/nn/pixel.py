"""Parts for pictures that must come out again: an encoder that keeps detail, a decoder's blocks, a picture head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.core import UmbelError
from umbel.nn.encoders import Standardise, normalisation, picture_shape, shrunk


class SmoothBlock(nn.Module):
    """x + conv(SiLU(norm(conv(SiLU(norm(x)))))): a residual block with group normalisation, for reconstruction."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [normalisation("group", channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        return x + self.body(x)


class PixelEncoder(nn.Module):
    """An encoder that loses nothing on its way in: pixels move into channels, then residual blocks.

        [B, C, H, W] in 0..1 -> standardise -> pixel unshuffle -> conv 3x3 -> residual blocks -> [B, width, H/d, W/d]

    Group normalisation, because a decoder's pictures must not depend on the other pictures of the batch. Pictures
    whose sides are no multiples of d are padded by repeating their border.

    Args:
        input_shape: (C, H, W).
        width: Channels.
        blocks: Residual blocks.
        downsample: d, how many times smaller than the picture the feature map is.
        mean: Of the pictures, for the standardisation.
        std: Likewise.

    Attributes:
        feature_shape: (width, H/d, W/d), rounded up.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        width: int = 64,
        blocks: int = 2,
        downsample: int = 4,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
    ) -> None:
        super().__init__()
        channels, height, breadth = picture_shape(input_shape)
        if min(width, downsample) < 1 or blocks < 0:
            raise UmbelError(f"pixel encoder: width {width}, downsample {downsample}, blocks {blocks} are too small")
        if downsample > max(height, breadth):
            raise UmbelError(f"pixel encoder: downsample is {downsample}, the pictures have {height}×{breadth} pixels")
        self.downsample = downsample
        self.standardise = Standardise(mean, std, channels)
        self.stem = nn.Conv2d(channels * downsample**2, width, 3, padding=1)
        self.blocks = nn.Sequential(*(SmoothBlock(width) for _ in range(blocks)))
        self.feature_shape = (width, shrunk(height, downsample), shrunk(breadth, downsample))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, *feature_shape]."""
        below, right = (-x.shape[-2] % self.downsample, -x.shape[-1] % self.downsample)
        x = (
            F.pad(self.standardise(x), (0, right, 0, below), mode="replicate")
            if below or right
            else self.standardise(x)
        )
        return self.blocks(self.stem(F.pixel_unshuffle(x, self.downsample)))


class PictureHead(nn.Module):
    """Feature map -> a picture of a given size: conv 3x3, then a pixel shuffle, cut to size.

    Args:
        feature_shape: (C, h, w). Where a side is longer than the picture's, cells are averaged first.
        channels: Of the picture.
        size: (H, W) of the picture.
    """

    def __init__(self, feature_shape: Sequence[int], channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        if len(feature_shape) != 3 or min(size) < 1:
            raise UmbelError(f"picture head: features of shape {tuple(feature_shape)} cannot give a picture of {size}")
        self.size = tuple(size)
        self.cells = (min(feature_shape[1], size[0]), min(feature_shape[2], size[1]))
        self.factor = max(shrunk(side, cells) for side, cells in zip(size, self.cells, strict=True))
        self.predict = nn.Conv2d(feature_shape[0], channels * self.factor**2, 3, padding=1)
        nn.init.constant_(self.predict.bias, 0.5)  # the middle of the range

    def forward(self, features: Tensor) -> Tensor:
        """Raw pictures [B, channels, *size]; values outside 0..1 are possible and clamped when decoded."""
        if features.shape[-2:] != self.cells:
            features = F.adaptive_avg_pool2d(features, self.cells)
        return F.pixel_shuffle(self.predict(features), self.factor)[..., : self.size[0], : self.size[1]]


class PooledHead(nn.Module):
    """Feature map -> [B, outputs] by way of a convolution with stride 2, so that it sees more than single cells."""

    def __init__(self, feature_shape: Sequence[int], outputs: int, width: int = 64) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(feature_shape[0], width, 3, stride=2, padding=1), normalisation("group", width), nn.SiLU()
        )
        self.decide = nn.Linear(width, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Raw predictions [B, outputs]."""
        return self.decide(torch.mean(self.look(features), dim=(-2, -1)))
