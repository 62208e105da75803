"""`umbel train` and `umbel evaluate`: one network."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from umbel.command.arguments import RunOptions, console, new_folder, parse, stdout_is_quiet
from umbel.recipes.train_settings import TrainSettings

if TYPE_CHECKING:
    from umbel.recipes.single import Trained


@dataclass(frozen=True)
class _Train:
    run_options: RunOptions = field(default_factory=RunOptions)
    settings: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class _Evaluate:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint, or the folder of a training."""
    split: Literal["train", "validation", "test"] = "test"
    """Which part of the data."""
    point: str = ""
    """Widths of a controllable network, as width=0.5,heads=0.25; unset: full."""
    devices: int = 1
    """Processes that share the work."""
    json: bool = False
    """Print JSON instead of a table."""


def train(arguments: list[str]) -> int:
    """Train one network for all tasks, print its metrics on the test split and where its checkpoint is."""
    about = (
        "Train one network for all tasks of a set, choose its best step on validation, evaluate it on the test split."
    )
    parsed = parse(_Train, None, arguments, "umbel train", about)
    options, settings = parsed.run_options, parsed.settings
    from umbel.engine import TerminalReporter, open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import train as train_one  # noqa: PLC0415

    runtime = open_runtime(options.devices)
    out = new_folder(f"train-{Path(settings.data.data).stem}", options.resume)
    out = Path(runtime.broadcast(str(options.out or out)))
    with TerminalReporter(quiet=not runtime.is_main) as reporter:
        trained = train_one(settings, runtime, out, options.resume, reporter)
    _show(trained, options.json)
    return 0


def evaluate(arguments: list[str]) -> int:
    """Print the metrics of a checkpoint."""
    about = "Metrics of a checkpoint that `umbel train` or a study wrote; its data set is loaded again."
    parsed = parse(_Evaluate, None, arguments, "umbel evaluate", about)
    from umbel.engine import open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import evaluate_checkpoint  # noqa: PLC0415

    runtime = open_runtime(parsed.devices)
    _show(evaluate_checkpoint(parsed.checkpoint, parsed.split, runtime, parsed.point), parsed.json)
    return 0


def _show(trained: "Trained", as_json: bool) -> None:
    if stdout_is_quiet():
        return
    if as_json:
        print(json.dumps(dataclasses.asdict(trained), indent=1))
        return
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=f"{trained.split} split, {trained.samples:,} samples", title_justify="left")
    for column in ("task", "metric", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for task, metrics in trained.metrics.items():
        for number, (metric, value) in enumerate(metrics.items()):
            arrow = ("↑" if trained.directions[task] else "↓") if number == 0 else ""
            unit = f" {trained.units.get(task, '')}" if number == 0 else ""
            cells = (task if number == 0 else "", f"{metric} {arrow}", f"{value:.4g}{unit}")
            table.add_row(*map(Text, cells))
    console().print(table)
    print(f"checkpoint: {trained.checkpoint}")
