"""Search over operating points: the widths that serve preferences best within a budget, from plain tables."""

from umbel.search.budget import Budget, complete_preferences, format_cost, parse_budget, parse_preferences
from umbel.search.choice import Choice
from umbel.search.exact import search
from umbel.search.pareto import (
    ControlResponse,
    budget_error,
    control_response,
    group_losses,
    hypervolume,
    pareto_front,
    uniformity,
)
from umbel.search.rules import equal_widths, proportional_rule
from umbel.search.tables import COST_KINDS, ConfigurationTable, TaskMetric

__all__ = [
    "COST_KINDS",
    "Budget",
    "Choice",
    "ConfigurationTable",
    "ControlResponse",
    "TaskMetric",
    "budget_error",
    "complete_preferences",
    "control_response",
    "equal_widths",
    "format_cost",
    "group_losses",
    "hypervolume",
    "pareto_front",
    "parse_budget",
    "parse_preferences",
    "proportional_rule",
    "search",
    "uniformity",
]
