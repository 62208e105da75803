"""States of a grid: the voltages of many power flows, and what finds them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from umbel.errors import UmbelError
from umbel.grids.grid import Complexes, Reals


@dataclass(frozen=True, eq=False)
class States:
    """Voltages at all buses, of many power flows.

    Attributes:
        magnitude: [rows, buses], per unit; NaN in a row that has no solution.
        angle: [rows, buses], radians.

    Raises:
        UmbelError: The two have other shapes than [rows, buses].
    """

    magnitude: Reals
    angle: Reals

    def __post_init__(self) -> None:
        if self.magnitude.ndim != 2 or self.magnitude.shape != self.angle.shape:
            raise UmbelError(
                f"magnitudes {self.magnitude.shape} and angles {self.angle.shape} of states; give [rows, buses] of both"
            )

    def __len__(self) -> int:
        return len(self.magnitude)

    @property
    def voltages(self) -> Complexes:
        """Complex [rows, buses], per unit."""
        return self.magnitude * np.exp(1j * self.angle)

    @classmethod
    def of(cls, voltages: Complexes) -> "States":
        """States from complex voltages [rows, buses], as `Solved.voltages`; angles go from -pi to pi."""
        return cls(np.abs(voltages), np.angle(voltages))


Predict = Callable[[Reals, Reals], States]
"""Anything that finds states from what is injected: (p_mw [rows, buses], q_mvar [rows, buses]) -> `States`.

Voltages and injections are in the order of the grid's buses. A solver is one, and so is a trained network.
"""
