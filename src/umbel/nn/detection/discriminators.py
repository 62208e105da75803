"""Networks that tell from a detector's features which of two domains a picture is of."""

import torch
from torch import Tensor, nn


class LocalDiscriminator(nn.Module):
    """A logit at every place of fine maps, from that place alone: 1x1 convolutions, [n, C, h, w] -> [n, 1, h, w].

    Source: Chu et al., AAAI 2023: 1x1 convolutions C -> C -> C/2 -> 1 without bias, weights N(0, 0.01).

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, half, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(half, 1, 1, bias=False),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits of domain 1."""
        return self.layers(maps)


class GlobalDiscriminator(nn.Module):
    """Two logits for the whole of coarse maps: strided convolutions and a mean, [n, C, h, w] -> [n, 2].

    Source: Chu et al., AAAI 2023: three 3x3 convolutions of stride 2 with dropout 0.5, mean, one layer.
    Differs from the paper: group norms of one group in place of batch norms, since the two domains come in one batch
    and their shared statistics would be a hint; width and depth are arguments.

    Args:
        channels: C.
        width: Channels of its convolutions.
        depth: Convolutions of stride 2.
        dropout: Rate behind each.
    """

    def __init__(self, channels: int, width: int = 64, depth: int = 2, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.GroupNorm(1, width), nn.ReLU()]
            layers.append(nn.Dropout(dropout))
            channels = width
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(channels, 2)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits of the two domains."""
        return self.last(torch.mean(self.layers(maps).float(), (2, 3)))
