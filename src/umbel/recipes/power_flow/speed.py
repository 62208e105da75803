"""What the facts of a power flow study say of speed: flows a second of everything that was timed in turns."""

import math
from collections.abc import Mapping
from typing import Any

from umbel.report import Claim, Results

BASE, FLAT = "lightsim2grid, from the base case", "lightsim2grid, from flat"
EARLY = "lightsim2grid, to 1 MVA"
PANDAPOWER = "pandapower"
SOLVERS = (BASE, EARLY, FLAT, PANDAPOWER, "pandapower, recycle", "power-grid-model")
"""Those that solve the full equations; DC and linear models do not."""
_MOST_STEPS = 6


def surrogate(corrections: int) -> str:
    """Name in the table of the network with some chord steps."""
    return f"surrogate, {corrected(corrections)}"


def from_mean(steps: int) -> str:
    """Name in the table of chord steps from the mean state of training, without any network."""
    return f"mean state, {corrected(steps)}"


def linear(steps: int) -> str:
    """Name in the table of ridge and chord steps."""
    return f"ridge, {corrected(steps)}"


def corrected(corrections: int) -> str:
    """Their number in words: "1 correction", "2 corrections"."""
    return f"{corrections} correction{'' if corrections == 1 else 's'}"


class Speed:
    """Flows a second by name.

    Args:
        results: Of the study.
    """

    def __init__(self, results: Results) -> None:
        self.table: Mapping[str, Mapping[str, Any]] = results.facts.get("throughput", {})

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def __getitem__(self, name: str) -> float:
        """Median flows a second; NaN where that was not timed."""
        return float(self.table.get(name, {}).get("per second", math.nan))

    @property
    def fastest(self) -> str:
        """Name of the fastest solver that was timed; empty without any."""
        timed = [name for name in SOLVERS if name in self]
        return max(timed, key=self.__getitem__, default="")

    def claim(self, name: str, one: str, other: str, bar: float) -> Claim:
        """That one is some times as fast as the other: medians, between the slowest and the quickest of their runs."""
        statement = (
            f"{one}: at least {bar:g} times the flows a second of {other}, one thread each: median and range of one run"
        )
        for part in (one, other):
            if math.isnan(self[part]):
                return Claim.not_measured(name, statement, bar, f"{part} was not timed", unit="times")
        (slowest, quickest), (slow, quick) = self._ends(one), self._ends(other)
        return Claim(
            name, statement, bar, ">=", self[one] / self[other], (slowest / quick, quickest / slow), unit="times"
        )

    def _ends(self, name: str) -> tuple[float, float]:
        return float(self.table[name]["slowest"]), float(self.table[name]["quickest"])

    def steps_as_slow(self, name: str) -> int | None:
        """The fewest chord steps from the mean state that take at least as long as something; None: none was timed."""
        return next((k for k in range(1, _MOST_STEPS + 1) if self[from_mean(k)] <= self[name]), None)
