"""`umbel search`: the widths that serve preferences best within a budget."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from umbel.arguments import check_numbers
from umbel.command.arguments import console, parse

if TYPE_CHECKING:
    from umbel.recipes.operating_point import Answer


@dataclass(frozen=True)
class BudgetOptions:
    """What may be spent, and for whom."""

    budget: str = ""
    """The most it may cost: 4ms, 30%, 50MFLOPs, 20MMACs, 1.5Mparams, 200KB; "30% macs" says of what."""
    prefer: str = ""
    """How much tasks count: depth=2,seg=1. Tasks that are not named count 1."""
    batch_size: int = 1
    """Samples in one pass, for budgets of time."""
    backend: Literal["torch", "onnxruntime"] = "torch"
    """What runs the network, for budgets of time."""
    measure: bool = False
    """Measure times on this machine again, even if they were kept."""

    def __post_init__(self) -> None:
        check_numbers(self, {"batch_size": 1})


@dataclass(frozen=True)
class _Search:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint of a controllable network, or the folder of its training."""
    budget_options: BudgetOptions = field(default_factory=BudgetOptions)
    rule: Literal["exact", "proportional", "equal"] = "exact"
    """The exact search; head widths in proportion to the preferences; or one width for all heads."""
    json: bool = False
    """Print JSON instead of a table; `umbel export --point FILE` takes it."""


def search(arguments: list[str]) -> int:
    """Print the widths for a budget and preferences, and what they are predicted to do and cost."""
    about = (
        "The widths of encoder and heads that serve the preferences best within the budget, exactly, from the table of "
        "all configurations that is kept with the checkpoint. For budgets of time the network is timed on this machine "
        "once."
    )
    parsed = parse(_Search, None, arguments, "umbel search", about)
    from umbel.engine import TerminalReporter, open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.operating_point import answer  # noqa: PLC0415
    from umbel.recipes.turnable import open_turnable  # noqa: PLC0415

    with TerminalReporter(quiet=False) as reporter:
        network = open_turnable(parsed.checkpoint, open_runtime())
        options = parsed.budget_options
        answered = answer(network, options.budget, options.prefer, parsed.rule, reporter, **timing(options))
    if parsed.json:
        print(json.dumps(answered.record(), indent=1))
    else:
        show(answered, parsed.checkpoint)
    return 0


def timing(options: BudgetOptions) -> dict[str, Any]:
    """How a budget of time is to be measured, as `umbel.recipes.operating_point.answer` takes it."""
    return {"batch_size": options.batch_size, "backend": options.backend, "measure": options.measure}


def show(answer: "Answer", checkpoint: Path) -> None:
    """Print an answer as a table."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    choice = answer.choice
    table = Table(title=Text(f"Widths for {answer.asked} ({choice.rule})"), title_justify="left")
    for column in ("", "width", "metric", "predicted", "against full"):
        table.add_column(column, justify="left" if column in ("", "metric") else "right")
    table.add_row("encoder", f"{choice.point['width']:g}", "", "", "")
    for task, width in choice.point["head_widths"].items():
        arrow = "↑" if answer.table.metrics[task].higher_is_better else "↓"
        quality, change = f"{choice.quality[task]:.4g}", f"{100 * choice.relative[task]:+.1f} %"
        cells = (task, f"{width:g}", f"{answer.table.metrics[task].name} {arrow}", quality, change)
        table.add_row(*map(Text, cells))
    screen = console()
    screen.print(table)
    screen.print(f"cost: {answer.cost_text()}; found in {1000 * choice.seconds:.1f} ms", markup=False, highlight=False)
    screen.print(f"export it: umbel export {checkpoint} --point {answer.point_text()}", markup=False, soft_wrap=True)
