"""What many power flows of a grid say, how quickly they come, and what guards those that a network predicts.

Names load when they are first used (torch is slow to import).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from umbel.power_flow.rivals import by_pandapower, by_power_grid_model, by_solver
    from umbel.power_flow.simple_models import DirectCurrent, LinearPowerFlow
    from umbel.power_flow.solved_sample import SolvedSample, monte_carlo
    from umbel.power_flow.surrogate import PowerFlowSurrogate
    from umbel.power_flow.surrogate_records import NetworkRun, SurrogateFacts, SurrogateSettings
    from umbel.power_flow.throughput import OFF_PU, Candidate, Rate, Throughput, measure_throughput

_HOME = {
    "Analysis": "analysis",
    "Balanced": "guard",
    "Candidate": "throughput",
    "Differences": "comparison",
    "DirectCurrent": "simple_models",
    "Estimates": "intervals",
    "Gap": "comparison",
    "GuardLimit": "guard",
    "Guarded": "guard",
    "GuardedStates": "guard",
    "Guarding": "guard",
    "Limits": "analysis",
    "LinearPowerFlow": "simple_models",
    "NetworkRun": "surrogate_records",
    "OFF_PU": "throughput",
    "PowerFlowSurrogate": "surrogate",
    "QUANTILES": "analysis",
    "Rate": "throughput",
    "SolvedSample": "solved_sample",
    "Spread": "analysis",
    "SurrogateFacts": "surrogate_records",
    "SurrogateSettings": "surrogate_records",
    "Throughput": "throughput",
    "analyse": "analysis",
    "balanced": "guard",
    "branch_values": "analysis",
    "break_even": "costs",
    "by_pandapower": "rivals",
    "by_power_grid_model": "rivals",
    "by_solver": "rivals",
    "compare": "comparison",
    "greatest_errors_pu": "guard",
    "judge": "guard",
    "limit_from": "guard",
    "measure_throughput": "throughput",
    "mismatches_mva": "guard",
    "monte_carlo": "solved_sample",
}

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
    "NetworkRun",
    "PowerFlowSurrogate",
    "Rate",
    "SolvedSample",
    "Spread",
    "SurrogateFacts",
    "SurrogateSettings",
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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"umbel.power_flow.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
