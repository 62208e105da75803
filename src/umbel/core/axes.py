"""Axes of the operating point: how a value of it is drawn in training, and where it is evaluated."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from umbel.core.point import OperatingPoint, Sweep, Value
from umbel.errors import UmbelError


class Axis(ABC):
    """One value of the operating point: how it is drawn for a step of training, and where it is evaluated.

    Two axes are the same when they are equal: several parts may ask for one value as long as they ask for the same.

    Attributes:
        sweep: The values of an evaluation; the first one is what validation is measured at.
    """

    sweep: tuple[Value, ...]

    @abstractmethod
    def draw(self, generator: torch.Generator, progress: float) -> Value:
        """The value of one step.

        Args:
            generator: The only source of randomness; the same on every process.
            progress: How much of the training is done, 0 to 1 (for schedules).
        """


Axes = Mapping[str, Axis | Mapping[str, Axis]]
"""Axes by the name of their value. A value that is a mapping (one number for each receiver, say) has a mapping."""


@dataclass(frozen=True)
class Uniform(Axis):
    """A number from `low` to `high`, all equally likely; always the same where both are equal.

    Attributes:
        low: Lowest value.
        high: Highest value.
        sweep: Where it is evaluated; by default in the middle alone.
    """

    low: float
    high: float
    sweep: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        infinite = self.low < self.high and math.inf in (abs(self.low), abs(self.high))
        if not self.low <= self.high or infinite:  # the first also when one is NaN
            raise UmbelError(f"a range from {self.low} to {self.high}: give finite numbers, the lower one first")
        object.__setattr__(self, "sweep", tuple(self.sweep) or (self._between(0.5),))

    def draw(self, generator: torch.Generator, progress: float) -> float:
        """A number of the range. One that is fixed takes a draw as well, so the others do not depend on it."""
        return self._between(torch.rand((), generator=generator).item())

    def _between(self, part: float) -> float:
        if self.low == self.high:
            return float(self.low)  # which may be infinite: no noise
        return self.low + part * (self.high - self.low)


@dataclass(frozen=True)
class OneOf(Axis):
    """One of several values, all equally likely.

    Attributes:
        values: At least one.
        sweep: Where it is evaluated; by default at all of them.
    """

    values: tuple[Value, ...]
    sweep: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.values):
            raise UmbelError("OneOf has no value to draw; give at least one")
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "sweep", tuple(self.sweep) or self.values)

    def draw(self, generator: torch.Generator, progress: float) -> Value:
        """One of the values."""
        return self.values[int(torch.randint(len(self.values), (), generator=generator))]


def drawn_point(axes: Axes, generator: torch.Generator, progress: float) -> OperatingPoint:
    """A point with a value of every axis, drawn in the order of the axes.

    Args:
        axes: None at all gives an empty point and leaves the generator alone.
        generator: The only source of randomness.
        progress: How much of the training is done, 0 to 1.
    """

    def draw(axis: Axis | Mapping[str, Axis]) -> Value:
        if isinstance(axis, Mapping):
            return {key: draw(entry) for key, entry in axis.items()}
        return axis.draw(generator, progress)

    return OperatingPoint({name: draw(axis) for name, axis in axes.items()})


def sweep_over(axes: Axes) -> Sweep:
    """Every combination of the axes' values; the last axis turns fastest, the first point has the first value of each.

    Entries of one mapping turn together: the first values of all of them, then the second ones. An entry with a single
    value stays where it is.

    Raises:
        UmbelError: Entries of one mapping with different numbers of values.
    """
    return Sweep.grid(**{name: _values(name, axis) for name, axis in axes.items()})


def _values(name: str, axis: Axis | Mapping[str, Axis]) -> Sequence[Value]:
    if isinstance(axis, Axis):
        return axis.sweep
    counts = {key: len(entry.sweep) for key, entry in axis.items()}
    several = {key: count for key, count in counts.items() if count > 1}
    if len(set(several.values())) > 1:
        (one, few), (other, many) = sorted(several.items(), key=lambda item: item[1])[:: len(several) - 1]
        raise UmbelError(
            f"{name} is evaluated at {few} values for {one!r} and at {many} for {other!r}; give both as many, or one"
        )
    length = max(counts.values(), default=1)
    return [{key: entry.sweep[i % len(entry.sweep)] for key, entry in axis.items()} for i in range(length)]
