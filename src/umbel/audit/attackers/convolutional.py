"""Convolutions on features that have positions: what neighbouring positions tell together, and where."""

import math
from functools import partial

from torch import Tensor, nn

from umbel.audit.attackers.decoders import MapDecoder
from umbel.audit.attackers.fitting import Recipe, Standardised, best_of, raw_shape
from umbel.audit.problem import Answer, Problem

_WIDTHS = {"quick": (32,), "full": (32, 64)}
_STEPS = {"quick": 200, "full": 600}
_BATCH, _DENSE_BATCH = 256, 16  # every position of a map teaches
_SIDE = 8  # positions along a side that the last layer reads one by one


class Convolutional:
    """A small convolutional network that keeps positions; a decoder where the task is dense."""

    name = "convolutional"
    varies = True

    def fits(self, problem: Problem) -> bool:
        """Where features are maps or the task has a target at each position."""
        return problem.is_dense or (problem.is_map and max(problem.features.shape[-2:]) > 1)

    def train(self, problem: Problem) -> Answer:
        """See `Attacker.train`."""
        make = MapDecoder if problem.is_dense else _MapReader
        recipe = Recipe(_STEPS[problem.effort], decay=1e-2, batch=_DENSE_BATCH if problem.is_dense else _BATCH)
        return best_of([(partial(make, problem, width), recipe) for width in _WIDTHS[problem.effort]], problem)


class _MapReader(nn.Module):
    """Convolutions, in steps of two while maps are large, then every position by itself into a perceptron."""

    def __init__(self, problem: Problem, width: int) -> None:
        super().__init__()
        self.standard = Standardised(problem.features, by_channel=True)
        self.shape = raw_shape(problem.task, problem.targets)
        channels, height, breadth = problem.features.shape[1:]
        layers: list[nn.Module] = []
        while not layers or max(height, breadth) > _SIDE:
            stride = 2 if max(height, breadth) > _SIDE else 1
            layers += [
                nn.Conv2d(channels, width, 3, stride=stride, padding=1),
                nn.GroupNorm(math.gcd(8, width), width),
                nn.ReLU(),
            ]
            channels, height, breadth = width, math.ceil(height / stride), math.ceil(breadth / stride)
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Flatten()]
        layers += [nn.Linear(width * height * breadth, 128), nn.ReLU(), nn.Linear(128, math.prod(self.shape))]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(self.standard(features)).reshape(len(features), *self.shape)
