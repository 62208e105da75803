"""From features to a map of answers as large as the target."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from umbel.audit.attackers.fitting import Standardised
from umbel.audit.problem import Problem

_COARSE = 8  # positions along the longer side of the map that a vector is turned into
_FINEST = {"quick": 32, "full": 64}  # positions along the longer side; beyond, convolutions cost more than they tell


def coarse_size(size: tuple[int, int]) -> tuple[int, int]:
    """A small map of about the same shape as a target."""
    factor = max(max(size) / _COARSE, 1)
    return max(round(size[0] / factor), 1), max(round(size[1] / factor), 1)


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [n, K, h, w] at another size, between positions by a straight line."""
    return maps if maps.shape[-2:] == size else F.interpolate(maps, size, mode="bilinear", align_corners=False)


class MapDecoder(nn.Module):
    """Convolutions on maps that double in size until they are about as fine as the target.

    Args:
        problem: Its features are maps, or vectors, which a linear layer turns into a small map first.
        width: Channels.
    """

    def __init__(self, problem: Problem, width: int) -> None:
        super().__init__()
        self.size = problem.size
        self.standard = Standardised(problem.features, by_channel=problem.is_map)
        channels = self.standard.centre.shape[1]
        layers: list[nn.Module] = []
        if problem.is_map:
            side = max(problem.features.shape[-2:])
        else:
            small = coarse_size(self.size)
            layers += [nn.Linear(channels, width * math.prod(small)), nn.Unflatten(1, (width, *small)), nn.ReLU()]
            channels, side = width, max(small)
        layers += [*_block(channels, width), *_block(width, width)]
        while 2 * side <= min(max(self.size), _FINEST[problem.effort]):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), *_block(width, width)]
            side *= 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, problem.task.outputs, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Raw predictions [n, K, H, W]."""
        return resized(self.layers(self.standard(features)), self.size)


def _block(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(math.gcd(8, width), width), nn.ReLU()]
