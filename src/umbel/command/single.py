"""`umbel train` and `umbel evaluate`: one network."""

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

from umbel.command.arguments import RunOptions, console, new_folder, parse, stdout_is_quiet
from umbel.data.antispoofing.prepared import is_prepared
from umbel.errors import UmbelError
from umbel.recipes.box_paths import DETECTOR_FIT, learns_boxes
from umbel.recipes.train_settings import TrainSettings

if TYPE_CHECKING:
    from umbel.recipes.single import Trained


_Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class _Train:
    run_options: RunOptions = field(default_factory=RunOptions)
    settings: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class _Evaluate:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint, or the folder of a training."""
    split: _Split = "test"
    """Which part of the data."""
    data: Path | None = None
    """New rows with labels (CSV, TSV or Parquet), for a detector a folder of pictures with boxes, for liveness one of
    frames (`umbel prepare`), to evaluate on instead of a part of the run's own data."""
    point: str = ""
    """Widths of a controllable network, as width=0.5,heads=0.25; unset: full."""
    pictures_anywhere: bool = False
    """With --data: read pictures outside the table's folder, too."""
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
    if learns_boxes(parsed.settings.data):  # with other defaults; what was given stays
        parsed = parse(_Train, _Train(settings=TrainSettings(fit=DETECTOR_FIT)), arguments, "umbel train", about)
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
    about = (
        "Metrics of a checkpoint that `umbel train` or a study wrote, on its own data, which is loaded again, or on "
        "new rows (--data)."
    )
    parsed = parse(_Evaluate, None, arguments, "umbel evaluate", about)
    from umbel.engine import open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import evaluate_checkpoint  # noqa: PLC0415

    if parsed.data is not None:
        if (parsed.split, parsed.devices) != ("test", 1):
            raise UmbelError("--data evaluates all rows of a file in one process; leave --split and --devices out")
        from umbel.recipes.single import learnt_boxes  # noqa: PLC0415

        if is_prepared(parsed.data):
            _show(_on_new_frames(parsed), parsed.json)
            return 0
        _show(_on_new_boxes(parsed) if learnt_boxes(parsed.checkpoint) else _on_new_rows(parsed), parsed.json)
        return 0
    runtime = open_runtime(parsed.devices)
    _show(evaluate_checkpoint(parsed.checkpoint, parsed.split, runtime, parsed.point), parsed.json)
    return 0


def _on_new_frames(parsed: _Evaluate) -> "Trained":
    """Errors of a run on the live faces and attacks of another folder."""
    from umbel.engine import open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import evaluate_on_frames  # noqa: PLC0415

    if parsed.point or parsed.pictures_anywhere or parsed.data is None:
        raise UmbelError("--point and --pictures-anywhere are not for folders of frames; leave them out")
    return evaluate_on_frames(parsed.checkpoint, parsed.data, open_runtime(1))


def _on_new_boxes(parsed: _Evaluate) -> "Trained":
    """Metrics of a detector on labelled pictures; what is odd about them goes to standard error."""
    from umbel.engine import open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import evaluate_on_boxes  # noqa: PLC0415

    if parsed.point or parsed.pictures_anywhere or parsed.data is None:
        raise UmbelError("--point and --pictures-anywhere are not for detectors; leave them out")
    trained, notes = evaluate_on_boxes(parsed.checkpoint, parsed.data, open_runtime(1))
    for note in notes:
        print(f"umbel: {note}", file=sys.stderr)
    return trained


def _on_new_rows(parsed: _Evaluate) -> "Trained":
    """Metrics on the rows of a file; what is odd about them goes to standard error."""
    from umbel.inference import load  # noqa: PLC0415 - imports torch
    from umbel.recipes.single import Trained  # noqa: PLC0415

    predictor = load(parsed.checkpoint)
    inputs = predictor.read(parsed.data, pictures_anywhere=parsed.pictures_anywhere, labels=True)
    metrics = predictor.evaluate(inputs, parsed.point).metrics
    labelled = [task for task in predictor.learner.tasks if bool(task.count(inputs.targets[task.name]))]
    unlabelled = [
        f"task {name!r} has no label in these rows" for name in metrics if name not in {t.name for t in labelled}
    ]
    for note in filter(None, (*inputs.notes, *unlabelled, predictor.trained_on(inputs))):
        print(f"umbel: {note}", file=sys.stderr)
    return Trained(
        checkpoint=str(predictor.path),
        split=f"new rows of {parsed.data}",
        samples=len(inputs),
        metrics={task.name: metrics[task.name] for task in labelled},
        directions={task.name: task.higher_is_better for task in labelled},
        units={task.name: task.unit for task in labelled},
    )


def _show(trained: "Trained", as_json: bool) -> None:
    if stdout_is_quiet():
        return
    if as_json:
        print(json.dumps(dataclasses.asdict(trained), indent=1))
        return
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    of_run = trained.split in get_args(_Split)
    what = f"{trained.split} split" if of_run else f"{trained.split}, not the run's own splits"
    table = Table(title=f"{what}, {trained.samples:,} samples", title_justify="left")
    for column in ("task", "metric", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for task, metrics in trained.metrics.items():
        for number, (metric, value) in enumerate(metrics.items()):
            arrow = ("↑" if trained.directions[task] else "↓") if number == 0 else ""
            unit = f" {trained.units.get(task, '')}" if number == 0 else ""
            cells = (task if number == 0 else "", f"{metric} {arrow}", f"{value:.4g}{unit}")
            table.add_row(*map(Text, cells))
    console().print(table)
    for statement in trained.statements:
        print(statement)
    print(f"checkpoint: {trained.checkpoint}")
