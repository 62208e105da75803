"""A budget and preferences, answered for a trained network: what `umbel search` prints and `umbel export` writes."""

from dataclasses import dataclass
from typing import Any

from umbel.control import machine_name
from umbel.engine.progress import Reporter
from umbel.errors import UmbelError, unknown
from umbel.recipes.points import point_text
from umbel.recipes.turnable import Turnable, timed
from umbel.search import (
    Choice,
    ConfigurationTable,
    equal_widths,
    format_cost,
    parse_budget,
    proportional_rule,
    search,
)

_RULES = {"exact": search, "proportional": proportional_rule, "equal": equal_widths}


@dataclass(frozen=True)
class Answer:
    """The configuration for a budget and preferences.

    Attributes:
        asked: The question in words.
        choice: Widths, predicted qualities and costs.
        table: What it was chosen from.
        checkpoint: Whose configurations they are.
    """

    asked: str
    choice: Choice
    table: ConfigurationTable
    checkpoint: str

    def point_text(self) -> str:
        """The widths as `--point` takes them."""
        return point_text(self.choice.point)

    def cost_text(self) -> str:
        """Every kind of cost, in words and as a part of the full configuration's."""
        parts = []
        for kind, amount in self.choice.cost.items():
            share = amount / self.table.full_cost(kind)
            parts.append(f"{format_cost(kind, amount)} ({100 * share:.0f} %)")
        return ", ".join(parts)

    def record(self) -> dict[str, Any]:
        """Plain values, as JSON takes them."""
        choice = self.choice
        return {
            "checkpoint": self.checkpoint,
            "point": choice.point.as_dict(),
            "rule": choice.rule,
            "preferences": dict(choice.preferences),
            "budget": {"kind": choice.kind, "limit": choice.limit},
            "cost": dict(choice.cost),
            "full_cost": {kind: self.table.full_cost(kind) for kind in self.table.kinds},
            "quality": dict(choice.quality),
            "metrics": {task: metric.name for task, metric in self.table.metrics.items()},
            "relative": dict(choice.relative),
            "value": choice.value,
            "machine": self.table.machine,
            "batch_size": self.table.batch_size,
            "seconds": choice.seconds,
        }


def answer(
    network: Turnable,
    budget: str,
    prefer: str,
    rule: str,
    reporter: Reporter,
    *,
    batch_size: int = 1,
    backend: str = "torch",
    measure: bool = False,
) -> Answer:
    """The best configuration of a network for a budget and preferences.

    Times are measured (or taken from an earlier measurement on this machine) only for a budget of time. A bare
    percentage is of the multiply-accumulates; "30% latency" is of the time.

    Raises:
        UmbelError: No budget, one that nothing fits, unknown units, tasks or rule.
    """
    if not budget:
        raise UmbelError("say what it may cost with --budget, as in --budget 4ms, 30% or 50MFLOPs")
    if rule not in _RULES:
        raise unknown("rule", rule, _RULES)
    parsed, table = parse_budget(budget), network.table
    if parsed.kind == "latency_ms":
        table = timed(network, batch_size, backend, reporter, measure)
        table.check_machine(machine_name(backend))
    choice = _RULES[rule](table, parsed, prefer)
    asked = f"at most {budget}" + (f", preferring {prefer}" if prefer else "")
    return Answer(asked, choice, table, str(network.saved.path))
