"""What the facts of a power flow study say of speed: flows per second of everything that was timed in turns."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from umbel.report import Claim, Results

BASE, FLAT = "lightsim2grid, from the base case", "lightsim2grid, from flat"
PANDAPOWER = "pandapower"
SOLVERS = (BASE, FLAT, PANDAPOWER, "pandapower, recycle", "power-grid-model")
"""Those that solve the full equations; DC and linear models do not."""
LINEAR = "linear map"
_ONE_RUN = "medians of one run"


def surrogate(corrections: int) -> str:
    """Name in the table of the network with some chord steps."""
    return f"surrogate, {corrections} correction{'' if corrections == 1 else 's'}"


def mean_and_steps(steps: int) -> str:
    """Name in the table of chord steps from the mean state of training, without any network."""
    return f"mean + {steps} step{'' if steps == 1 else 's'}"


class Speed:
    """Flows per second by name.

    Args:
        results: Of the study.
    """

    def __init__(self, results: Results) -> None:
        self.table: Mapping[str, Mapping[str, Any]] = results.facts.get("throughput", {})

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def __getitem__(self, name: str) -> float:
        """Median flows per second; NaN where that was not timed."""
        return float(self.table.get(name, {}).get("per second", math.nan))

    @property
    def fastest(self) -> str:
        """Name of the fastest solver that was timed; empty without any."""
        timed = [name for name in SOLVERS if name in self]
        return max(timed, key=self.__getitem__, default="")

    def claim(self, name: str, one: str, other: str, bar: float) -> Claim:
        """That one is some times as fast as the other. The interval is the range over turns, which time both."""
        statement = f"{one}: at least {bar:g} times the flows per second of {other}, one thread each ({_ONE_RUN})"
        for part in (one, other):
            if math.isnan(self[part]):
                return Claim.not_measured(name, statement, bar, f"{part} was not timed", unit="times")
        value, turns = self[one] / self[other], [self.table[part].get("turns", ()) for part in (one, other)]
        if len(turns[0]) != len(turns[1]) or len(turns[0]) < 2:
            return Claim(name, statement, bar, ">=", value, reason=f"{_ONE_RUN} have no interval", unit="times")
        ratios = np.divide(*(np.array(part, dtype=float) for part in turns))
        interval = float(min(ratios.min(), value)), float(max(ratios.max(), value))
        return Claim(name, statement, bar, ">=", value, interval, unit="times")

    def steps_as_slow(self, name: str, most: int = 3) -> int | None:
        """The fewest chord steps from the mean state that take at least as long as something; None: none was timed."""
        return next((k for k in range(1, most + 1) if self[mean_and_steps(k)] <= self[name]), None)
