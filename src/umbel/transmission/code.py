"""Codes: shared features -> the latent of one stage, before its power is set."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from umbel.nn import SmoothBlock

_WIDEST = 128  # wider feature maps are mixed down to so many channels before a code's residual block
_CELLS = 4  # feature maps are averaged to so many cells a side before a dense code looks at them


class MapCode(nn.Module):
    """Feature map [B, C, h, w] -> latent [B, 2c, h, w] with c·h·w complex uses; it keeps the place of things.

    Args:
        feature_shape: (C, h, w).
        uses: A multiple of h·w.
        complex_uses: Two real numbers for each use; otherwise one, and the latent is [B, c, h, w].
    """

    def __init__(self, feature_shape: Sequence[int], uses: int, complex_uses: bool = True) -> None:
        super().__init__()
        channels, height, width = feature_shape
        self.latent_shape = ((2 if complex_uses else 1) * uses // (height * width), height, width)
        narrow = min(channels, _WIDEST)
        mix = [nn.Conv2d(channels, narrow, 1)] if narrow < channels else []
        self.layers = nn.Sequential(*mix, SmoothBlock(narrow), nn.Conv2d(narrow, self.latent_shape[0], 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """The latent [B, *latent_shape]."""
        return self.layers(features)


class DenseCode(nn.Module):
    """Features -> latent [B, 2·uses], through one hidden layer; for few uses, or features that are no map.

    Args:
        feature_shape: (C, h, w) or (C,). Larger maps are averaged to 4x4 cells, unless `keep` is set.
        uses: Complex channel uses.
        hidden: Width of the hidden layer.
        keep: Look at every cell of the map (for reconstruction).
        complex_uses: Two real numbers for each use; otherwise one, and the latent is [B, uses].
    """

    def __init__(
        self,
        feature_shape: Sequence[int],
        uses: int,
        hidden: int = 128,
        keep: bool = False,
        complex_uses: bool = True,
    ) -> None:
        super().__init__()
        self.cells = None
        if len(feature_shape) == 3 and not keep:
            self.cells = (min(feature_shape[1], _CELLS), min(feature_shape[2], _CELLS))
            feature_shape = (feature_shape[0], *self.cells)
        self.latent_shape = ((2 if complex_uses else 1) * uses,)
        self.layers = nn.Sequential(
            nn.Linear(math.prod(feature_shape), hidden), nn.ReLU(inplace=True), nn.Linear(hidden, *self.latent_shape)
        )

    def forward(self, features: Tensor) -> Tensor:
        """The latent [B, 2·uses]."""
        if self.cells is not None and features.shape[-2:] != self.cells:
            features = F.adaptive_avg_pool2d(features, self.cells)
        return self.layers(features.flatten(1))


def make_code(
    feature_shape: Sequence[int], uses: int, keeps_places: bool, complex_uses: bool = True
) -> MapCode | DenseCode:
    """The code for a stage: a map where pictures are wanted and the uses fill whole maps, else a dense one."""
    if keeps_places and len(feature_shape) == 3 and uses % (feature_shape[1] * feature_shape[2]) == 0:
        return MapCode(feature_shape, uses, complex_uses)
    return DenseCode(feature_shape, uses, keep=keeps_places, complex_uses=complex_uses)
