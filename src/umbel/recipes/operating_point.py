"""Configurations of widths on the command line: as text, or found for a budget and preferences.

"width=0.5,heads=0.25", "width=0.5,depth=1,seg=0.25", or a file: what `umbel search` prints, and what `umbel export` and
`umbel evaluate` take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umbel.control import machine_name
from umbel.core import OperatingPoint
from umbel.engine.progress import Reporter
from umbel.errors import UmbelError, unknown
from umbel.files import read_json
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


def parse_point(text: str, tasks: Sequence[str]) -> OperatingPoint:
    """The configuration that a text names; what it does not name has full width.

    Args:
        text: "width=0.5" (the encoder), "heads=0.25" (all heads), "TASK=0.75" (one head), with commas between; "full";
            or the path of a JSON file that `umbel search --json` printed.
        tasks: The network's tasks.

    Raises:
        UmbelError: Text of another form, an unknown task, a number that is none, or a file that is no such answer.
    """
    if text.strip() == "full":
        return _point(1.0, dict.fromkeys(tasks, 1.0))
    if "=" not in text:
        return _from_file(Path(text), tasks)
    widths: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in ("width", "heads", *tasks):
            raise unknown("task in --point", name, ("width", "heads", *tasks))
        if name in widths:
            raise UmbelError(f"--point names {name!r} twice")
        try:
            widths[name] = float(value)
        except ValueError:
            raise UmbelError(f"--point: {part!r} is not of the form name=number, as in width=0.5") from None
    every = widths.get("heads", 1.0)
    return _point(widths.get("width", 1.0), {task: widths.get(task, every) for task in tasks})


def point_text(point: OperatingPoint) -> str:
    """A configuration as `parse_point` reads it."""
    heads = point["head_widths"]
    if len(set(heads.values())) == 1:
        return f"width={point['width']:g},heads={next(iter(heads.values())):g}"
    return ",".join([f"width={point['width']:g}", *(f"{task}={width:g}" for task, width in heads.items())])


def _point(width: float, heads: dict[str, float]) -> OperatingPoint:
    return OperatingPoint(width=width, head_widths=heads)


def _from_file(path: Path, tasks: Sequence[str]) -> OperatingPoint:
    remedy = "give widths (width=0.5,heads=0.25), or a file that `umbel search --json` printed"
    record = read_json(path, remedy)
    try:
        width, heads = float(record["point"]["width"]), {t: float(w) for t, w in record["point"]["head_widths"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UmbelError(f"--point {path}: not what `umbel search --json` prints; {remedy}") from None
    for task in heads:
        if task not in tasks:
            raise unknown(f"task in {path}", task, tasks)
    return _point(width, {task: heads.get(task, 1.0) for task in tasks})


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
