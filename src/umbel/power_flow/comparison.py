"""How far one analysis is from another that is taken as the truth."""

from dataclasses import dataclass

import numpy as np

from umbel.errors import UmbelError
from umbel.grids.grid import Reals
from umbel.power_flow.analysis import Analysis, Spread

STILL_PU = 1e-5
"""A bus whose |V| spreads less than this in truth is left out where errors are relative: it hardly moves."""
STILL_MW = 1e-3
"""Likewise the flow of a branch."""


@dataclass(frozen=True)
class Gap:
    """The size of differences: the greatest, and their mean; NaN where there is nothing to compare."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Differences:
    """Of an analysis from the truth, over buses and branches.

    Attributes:
        voltage_mean: Of the mean of |V|, pu.
        voltage_std: Of its standard deviation, as a share of the true one, over buses that move.
        voltage_quantiles: Of all its quantiles, pu.
        voltage_tails: Of the first and the last of them alone (1 and 99 %), pu.
        flow_mean: Of the mean of active branch flows, MW.
        flow_std: Of their standard deviation, as a share of the true one, over branches that move.
        flow_quantiles: Of all their quantiles, MW.
        bus_violation: Of the probability that |V| is out of limits, in percentage points.
        branch_violation: Of that of an overload, in percentage points.
        any_voltage: Of the probability that |V| of any bus is out of limits, in percentage points, with its sign.
        any_loading: Of that of any overload, likewise.
        any_violation: Of either, likewise.
        within: Share of buses and branches whose true probability of violation lies in this analysis's interval.
    """

    voltage_mean: Gap
    voltage_std: Gap
    voltage_quantiles: Gap
    voltage_tails: Gap
    flow_mean: Gap
    flow_std: Gap
    flow_quantiles: Gap
    bus_violation: Gap
    branch_violation: Gap
    any_voltage: float
    any_loading: float
    any_violation: float
    within: float


def compare(analysis: Analysis, truth: Analysis) -> Differences:
    """The differences of an analysis from one of many solved power flows.

    Args:
        analysis: By a surrogate, or of a smaller sample.
        truth: Of the same grid, with the same limits.

    Raises:
        UmbelError: Of another grid or with other limits.
    """
    same_grid = analysis.voltage.mean.value.shape == truth.voltage.mean.value.shape and np.array_equal(
        analysis.limited, truth.limited
    )
    if not same_grid or analysis.limits != truth.limits:
        raise UmbelError("these analyses are of different grids or limits; analyse the same grid with the same limits")
    ours, theirs = (
        [np.concatenate([getattr(a.bus_violation, end), getattr(a.branch_violation, end)]) for end in _ENDS]
        for a in (analysis, truth)
    )
    tails = [0, -1]
    difference = analysis.voltage.quantiles.value - truth.voltage.quantiles.value
    return Differences(
        voltage_mean=_gap(analysis.voltage.mean.value - truth.voltage.mean.value),
        voltage_std=_relative(analysis.voltage, truth.voltage, STILL_PU),
        voltage_quantiles=_gap(difference),
        voltage_tails=_gap(difference[tails]),
        flow_mean=_gap(analysis.flow_mw.mean.value - truth.flow_mw.mean.value),
        flow_std=_relative(analysis.flow_mw, truth.flow_mw, STILL_MW),
        flow_quantiles=_gap(analysis.flow_mw.quantiles.value - truth.flow_mw.quantiles.value),
        bus_violation=_gap(100 * (analysis.bus_violation.value - truth.bus_violation.value)),
        branch_violation=_gap(100 * (analysis.branch_violation.value - truth.branch_violation.value)),
        any_voltage=_points(analysis, truth, "any_voltage"),
        any_loading=_points(analysis, truth, "any_loading"),
        any_violation=_points(analysis, truth, "any_violation"),
        within=float(np.mean((ours[1] <= theirs[0]) & (theirs[0] <= ours[2]))),
    )


_ENDS = ("value", "low", "high")


def _points(analysis: Analysis, truth: Analysis, name: str) -> float:
    return 100 * float((getattr(analysis, name).value - getattr(truth, name).value)[0])


def _relative(ours: Spread, theirs: Spread, still: float) -> Gap:
    moves = theirs.std.value > still
    return _gap(ours.std.value[moves] / theirs.std.value[moves] - 1)


def _gap(differences: Reals) -> Gap:
    if not differences.size:
        return Gap(float("nan"), float("nan"))
    sizes = np.abs(differences)
    return Gap(float(sizes.max()), float(sizes.mean()))
