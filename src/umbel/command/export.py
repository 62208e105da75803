"""`umbel export`: one configuration of a controllable network as files that other programs run."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from umbel.command.arguments import console, new_folder, parse
from umbel.command.search import BudgetOptions, timing
from umbel.errors import UmbelError


@dataclass(frozen=True)
class _Export:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint of a controllable network, or the folder of its training."""
    point: str = ""
    """Which configuration: width=0.5,heads=0.25 or width=0.5,depth=1,seg=0.25, "full", or what `umbel search --json`
    printed into a file."""
    budget_options: BudgetOptions = field(default_factory=BudgetOptions)
    formats: str = ""
    """Files to write, with commas between: torch, onnx, safetensors; unset: all that can be written here."""
    out: Path | None = None
    """A new folder for them; unset: a new one under runs/."""
    json: bool = False
    """Print the record (export.json) instead of lines."""


def export(arguments: list[str]) -> int:
    """Write one configuration as an ordinary dense network and print what was checked."""
    about = (
        "Write one configuration of a controllable network (--point), or the best one for a budget and preferences "
        "(--budget, --prefer), as an ordinary dense network with norms folded. Every file is loaded back, run, and "
        "compared with the network it came from."
    )
    parsed = parse(_Export, None, arguments, "umbel export", about)
    if bool(parsed.point) == bool(parsed.budget_options.budget):
        raise UmbelError("say which configuration with --point, or what it may cost with --budget; one of the two")
    from umbel.control import available_formats  # noqa: PLC0415 - imports torch
    from umbel.control.place import check_place  # noqa: PLC0415
    from umbel.core import OperatingPoint  # noqa: PLC0415
    from umbel.engine import TerminalReporter, open_runtime  # noqa: PLC0415
    from umbel.recipes.exporting import export_network  # noqa: PLC0415
    from umbel.recipes.operating_point import point_text  # noqa: PLC0415
    from umbel.recipes.settings import names  # noqa: PLC0415
    from umbel.recipes.turnable import open_turnable  # noqa: PLC0415

    if parsed.out is not None:
        check_place(parsed.out)
    with TerminalReporter(quiet=False) as reporter:
        network = open_turnable(parsed.checkpoint, open_runtime())
        out = parsed.out or new_folder(f"export-{network.data.name}", resume=False)
        formats = names(parsed.formats)
        if parsed.formats and not formats:
            raise UmbelError(f"--formats {parsed.formats!r} names none; write torch,onnx,safetensors or leave it out")
        formats = formats or available_formats()
        asked = parsed.budget_options
        budget = {"budget": asked.budget, "prefer": asked.prefer, **timing(asked)}
        exported = export_network(network, out, formats, reporter, point=parsed.point, **budget)
    if parsed.json:
        print(json.dumps(exported.record, indent=1))
        return 0
    screen = console()
    chosen = point_text(OperatingPoint(exported.record["point"]))
    screen.print(f"exported {chosen}", markup=False, highlight=False, soft_wrap=True)
    for name, file in exported.files.items():
        worst = max(exported.differences[name].values())
        size = file.stat().st_size
        line = f"{file}  {size / 1000:,.0f} kB, same answers to {worst:.1e}"
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    screen.print(f"{exported.folder / 'export.json'}  outputs, cost, checksums", markup=False, soft_wrap=True)
    return 0
