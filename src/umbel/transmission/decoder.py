"""Decoders: what a receiver has heard -> features, from which its heads predict."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umbel.channels import Received
from umbel.nn import SmoothBlock


def signal_quality(received: Sequence[Received]) -> Tensor:
    """What the receiver knows about its channel: effective SNR of each stage in tens of dB, [B, stages], in -3..5."""
    return torch.stack([(heard.snr.clamp(1e-3, 1e5).log10()) for heard in received], dim=1)


class VectorDecoder(nn.Module):
    """Latents of all stages heard and their SNR -> features [B, width], by fully connected layers.

    Args:
        latent_shapes: Shape of each latent (without the batch).
        width: Of the features and of the layer before.
    """

    def __init__(self, latent_shapes: Sequence[Sequence[int]], width: int = 128) -> None:
        super().__init__()
        values = sum(math.prod(shape) for shape in latent_shapes) + len(latent_shapes)
        self.layers = nn.Sequential(
            nn.Linear(values, 2 * width), nn.ReLU(inplace=True), nn.Linear(2 * width, width), nn.ReLU(inplace=True)
        )
        self.feature_shape = (width,)

    def forward(self, received: Sequence[Received]) -> Tensor:
        """Features [B, width]."""
        parts = [heard.latent.flatten(1) for heard in received]
        return self.layers(torch.cat([*parts, signal_quality(received)], dim=1))


class MapDecoder(nn.Module):
    """Latents of all stages heard and their SNR -> feature map [B, width, h, w], by residual blocks.

    Latents that are maps of h x w are laid side by side as channels; others are spread over the map by a linear layer.

    Args:
        latent_shapes: Shape of each latent.
        cells: (h, w).
        width: Channels.
        blocks: Residual blocks.
    """

    def __init__(
        self, latent_shapes: Sequence[Sequence[int]], cells: tuple[int, int], width: int = 64, blocks: int = 2
    ) -> None:
        super().__init__()
        self.cells = tuple(cells)
        channels = len(latent_shapes)
        self.spread = nn.ModuleDict()
        for index, shape in enumerate(latent_shapes):
            if len(shape) == 3 and tuple(shape[1:]) == self.cells:
                channels += shape[0]
            else:
                self.spread[str(index)] = nn.Linear(math.prod(shape), width * math.prod(cells))
                channels += width
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(SmoothBlock(width) for _ in range(blocks)))
        self.feature_shape = (width, *self.cells)

    def forward(self, received: Sequence[Received]) -> Tensor:
        """Feature map [B, width, h, w]."""
        maps = []
        for index, heard in enumerate(received):
            if str(index) in self.spread:
                maps.append(self.spread[str(index)](heard.latent.flatten(1)).unflatten(1, (-1, *self.cells)))
            else:
                maps.append(heard.latent)
        quality = signal_quality(received)[..., None, None].expand(-1, -1, *self.cells)
        return self.blocks(self.stem(torch.cat([*maps, quality.to(maps[0].dtype)], dim=1)))
