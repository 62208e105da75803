"""Random numbers for many samples at once, from one generator."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Uniform and Gaussian numbers from one generator.

    Attributes:
        count: Number of samples: the first axis of everything drawn.
        generator: Where the numbers come from.
    """

    count: int
    generator: torch.Generator

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers [N, ...]."""
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers [N, ...]."""
        return torch.randn(self.count, *shape, generator=self.generator)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """True with a probability, bool [N, ...]."""
        return torch.rand(self.count, *shape, generator=self.generator) < probability

    def one_of(self, count: int) -> Tensor:
        """Whole numbers from 0 to `count` - 1, int64 [N]."""
        return torch.randint(count, (self.count,), generator=self.generator)

    def rotations(self, *shape: int) -> Tensor:
        """Uniformly distributed rotations [N, ..., 3, 3], from random quaternions (w, x, y, z)."""
        normal = torch.randn(self.count, *shape, 4, generator=self.generator)
        w, x, y, z = torch.nn.functional.normalize(normal, dim=-1).unbind(-1)
        rows = [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ]
        return torch.stack(rows, -2)
