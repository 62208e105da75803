"""What many power flows of a grid say, how quickly they come, and what guards those that a network predicts."""

from umbel.power_flow.analysis import QUANTILES, Analysis, Limits, Spread, analyse, branch_values
from umbel.power_flow.comparison import Differences, Gap, compare
from umbel.power_flow.costs import break_even
from umbel.power_flow.guard import (
    Balanced,
    Guarded,
    GuardedStates,
    Guarding,
    GuardLimit,
    balanced,
    greatest_errors_pu,
    judge,
    limit_from,
    mismatches_mva,
)
from umbel.power_flow.intervals import Estimates
from umbel.power_flow.monte_carlo import SolvedSample, monte_carlo
from umbel.power_flow.rivals import by_pandapower, by_power_grid_model, by_solver
from umbel.power_flow.simple_models import DirectCurrent, LinearPowerFlow
from umbel.power_flow.throughput import OFF_PU, Candidate, Rate, Throughput, measure_throughput

__all__ = [
    "OFF_PU",
    "QUANTILES",
    "Analysis",
    "Balanced",
    "Candidate",
    "Differences",
    "DirectCurrent",
    "Estimates",
    "Gap",
    "GuardLimit",
    "Guarded",
    "GuardedStates",
    "Guarding",
    "Limits",
    "LinearPowerFlow",
    "Rate",
    "SolvedSample",
    "Spread",
    "Throughput",
    "analyse",
    "balanced",
    "branch_values",
    "break_even",
    "by_pandapower",
    "by_power_grid_model",
    "by_solver",
    "compare",
    "greatest_errors_pu",
    "judge",
    "limit_from",
    "measure_throughput",
    "mismatches_mva",
    "monte_carlo",
]
