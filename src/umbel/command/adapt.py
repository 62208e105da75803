"""`umbel adapt`: a detector and a folder of pictures without labels -> a detector for these pictures."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from umbel.command.arguments import RunOptions, console, new_folder, parse, stdout_is_quiet
from umbel.engine.settings import FitSettings
from umbel.recipes.adapting.settings import FIT, AdaptationSettings, AdaptSettings, SubjectSettings

if TYPE_CHECKING:
    from umbel.recipes.adapting.adapt import Adapted

_ABOUT = (
    "Adapt a detector to pictures from the place where it must work, without labels and without the data that it was "
    "trained on. A student learns from the boxes of a teacher that slowly follows it; the step is chosen by how well "
    "boxes of two views of a picture agree, and an alarm stops what collapses. Give the folder of a training, or "
    "--model, --weights and --labels."
)


@dataclass(frozen=True)
class _Adapt:
    run: Annotated[str, tyro.conf.Positional] = ""
    """Folder of a training of a detector, or a checkpoint; or leave it out and give --model."""
    run_options: RunOptions = field(default_factory=RunOptions)
    subject: Annotated[SubjectSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=SubjectSettings)
    adaptation: AdaptationSettings = field(default_factory=AdaptationSettings)
    fit: FitSettings = FIT


def adapt(arguments: list[str]) -> int:
    """Adapt a detector, print what was seen without labels and where the adapted one is."""
    parsed = parse(_Adapt, None, arguments, "umbel adapt", _ABOUT)
    settings = AdaptSettings(parsed.run, parsed.subject, parsed.adaptation, parsed.fit)
    options = parsed.run_options
    from umbel.engine import TerminalReporter, open_runtime  # noqa: PLC0415 - imports torch
    from umbel.recipes.adapting.adapt import adapt as adapt_one  # noqa: PLC0415

    runtime = open_runtime(options.devices)
    out = options.out or new_folder(f"adapt-{Path(settings.subject.images).name}", options.resume)
    out = Path(runtime.broadcast(str(out)))
    with TerminalReporter(quiet=not runtime.is_main) as reporter:
        adapted = adapt_one(settings, runtime, out, options.resume, reporter)
    _show(adapted, options.json)
    return 0


def _show(adapted: "Adapted", as_json: bool) -> None:
    if stdout_is_quiet():
        return
    if as_json:
        print(json.dumps(dataclasses.asdict(adapted), indent=1, ensure_ascii=False))
        return
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = f"{adapted.pictures:,} picture{'' if adapted.pictures == 1 else 's'}"
    table = Table(title=f"seen on {shown}, without labels", title_justify="left")
    for column in ("", "before", f"after {adapted.step} step{'s' * (adapted.step != 1)}"):
        table.add_column(column, justify="left" if not column else "right")
    told = {
        "boxes": "boxes in a picture",
        "certainty": "mean score of these",
        "entropy": "entropy of all scores, bits",
        "stability": "agreement of two views",
        "drift": "drift of the weights",
    }
    for name, words in told.items():
        table.add_row(
            *map(Text, (words, f"{getattr(adapted.before, name):.3g}", f"{getattr(adapted.after, name):.3g}"))
        )
    screen = console()
    screen.print(table)
    if adapted.alarm:
        screen.print(Text(f"Stopped after {adapted.steps} steps: {adapted.alarm}.", style="yellow"))
    if not adapted.step:
        screen.print(Text("No step was better than the start: the detector has new batch norms, if any, and no more."))
    for name, place in adapted.files.items():
        if Path(place).exists():
            print(f"{name}: {place}")
    print(f"checkpoint: {adapted.checkpoint}")
