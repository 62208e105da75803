"""`umbel audit`: what others could learn from what a trained network releases."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from umbel.command.arguments import RunOptions, command_line, console, new_folder, parse
from umbel.command.run import execute
from umbel.recipes.auditing import AUDIT
from umbel.recipes.auditing.settings import AttackFlags, AuditSettings, EncoderSettings
from umbel.recipes.settings import DataSettings

if TYPE_CHECKING:
    from umbel.report import Results


@dataclass(frozen=True)
class _Options:
    out: Path | None = None
    """Folder for results; unset: a new one under runs/."""
    resume: bool = False
    """Go on with an audit that was stopped or killed."""
    json: bool = False
    """Print the audit as JSON instead of tables."""


@dataclass(frozen=True)
class _Audit:
    run: Annotated[str, tyro.conf.Positional] = ""
    """Checkpoint or folder of a training; of a study, that of one of its networks."""
    options: _Options = field(default_factory=_Options)
    attacks: AttackFlags = field(default_factory=AttackFlags)
    own: EncoderSettings = field(default_factory=EncoderSettings)
    data: DataSettings = field(default_factory=lambda: DataSettings(data=""))


def audit(arguments: list[str]) -> int:
    """Attack a frozen network, print what was found and where its page is."""
    given = list(arguments)
    parsed = parse(_Audit, None, arguments, "umbel audit", f"{AUDIT.title}. {AUDIT.about}")
    attacks = {entry.name: getattr(parsed.attacks, entry.name) for entry in dataclasses.fields(AttackFlags)}
    settings = AuditSettings(**attacks, run=parsed.run, own=parsed.own, data=parsed.data)
    settings.check_subject()
    options = parsed.options
    name = Path(settings.run).resolve().name if settings.run else settings.own.encoder.rpartition(":")[2]
    out = options.out or new_folder(f"audit-{name}", options.resume)
    running = RunOptions(out, options.resume, devices=1, json=options.json)
    results, out = execute(AUDIT, settings, running, command_line(["audit", *given]))
    _show(results, out, options.json)
    return 0


def _show(results: "Results", out: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(results.facts["audits"], indent=1))
        return
    from rich.text import Text  # noqa: PLC0415

    from umbel.recipes.auditing.findings import short_listings  # noqa: PLC0415 - imports torch
    from umbel.report.listing_grid import listing_grid  # noqa: PLC0415
    from umbel.report.tables import rich_table  # noqa: PLC0415

    screen = console()
    for listing in short_listings(results):
        screen.print(rich_table(listing_grid(listing)))
    for sentence in results.verdict:
        screen.print(Text(sentence))
    for warning in results.warnings:
        screen.print(Text(f"Note: {warning}", style="yellow"))
    print(f"results: {out / 'results.json'}\npage:    {out / 'report.html'}")
