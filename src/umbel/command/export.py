"""`umbel export`: a trained network as files that other programs run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from umbel.command.arguments import console, new_folder, parse
from umbel.command.search import BudgetOptions, timing
from umbel.errors import UmbelError

_SHOWN = 8


@dataclass(frozen=True)
class _Export:
    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A checkpoint, or the folder of a training."""
    point: str = ""
    """Of a network that can be turned: which configuration, as width=0.5,heads=0.25 or width=0.5,depth=1,seg=0.25,
    "full", or what `umbel search --json` printed into a file."""
    budget_options: BudgetOptions = field(default_factory=BudgetOptions)
    formats: str = ""
    """Files to write, with commas between: torch, onnx, safetensors; unset: all that can be written here."""
    out: Path | None = None
    """A new or empty folder for them; unset: a new one under runs/."""
    json: bool = False
    """Print the record (export.json) instead of lines."""


def export(arguments: list[str]) -> int:
    """Write a network with its preprocessing, and print what the files take and give and how they were checked."""
    about = (
        "Write a trained network with its preprocessing as files that need no Umbel: ONNX takes raw columns or "
        "pictures of bytes and gives natural units and probabilities; run_export.py runs it. Every file is loaded "
        "back, run, and compared with the network it came from. Of a network that can be turned, say which "
        "configuration (--point), or what it may cost (--budget, --prefer). ONNX needs the extra `export`; without it "
        "the other files are written."
    )
    parsed = parse(_Export, None, arguments, "umbel export", about)
    asked = parsed.budget_options
    if parsed.point and asked.budget:
        raise UmbelError("say which configuration with --point, or what it may cost with --budget; one of the two")
    from umbel.control import available_formats  # noqa: PLC0415 - imports torch
    from umbel.control.place import check_place  # noqa: PLC0415
    from umbel.engine import TerminalReporter, open_runtime  # noqa: PLC0415
    from umbel.recipes.exporting import export_network, open_network  # noqa: PLC0415
    from umbel.recipes.settings import names  # noqa: PLC0415

    if parsed.out is not None:
        check_place(parsed.out)
    with TerminalReporter(quiet=False) as reporter:
        network = open_network(parsed.checkpoint, open_runtime())
        out = parsed.out or new_folder(f"export-{network.data.name}", resume=False)
        formats = names(parsed.formats)
        if parsed.formats and not formats:
            raise UmbelError(f"--formats {parsed.formats!r} names none; write torch,onnx,safetensors or leave it out")
        formats = formats or available_formats()
        budget = {"budget": asked.budget, "prefer": asked.prefer, **timing(asked)}
        exported = export_network(network, out, formats, reporter, point=parsed.point, **budget)
    if parsed.json:
        print(json.dumps(exported.record, indent=1))
        return 0
    screen = console()
    for line in _lines(exported.record, exported.folder, exported.differences):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    if "onnx" not in formats and not parsed.formats:
        screen.print('no ONNX file: pip install "umbel[export]"', markup=False, highlight=False, soft_wrap=True)
    return 0


def _lines(record: Mapping[str, Any], folder: Path, differences: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What the files take and give, and each file with how it was checked."""
    from umbel.core import OperatingPoint  # noqa: PLC0415 - imports torch
    from umbel.recipes.operating_point import point_text  # noqa: PLC0415

    at = "" if record["point"] is None else f" at {point_text(OperatingPoint(record['point']))}"
    lines = [f"exported {record['about']['checkpoint']}{at}", f"takes  {_takes(record['inputs'])}"]
    lines += [f"gives  {line}" for line in _few([_gives(name, task) for name, task in record["tasks"].items()])]
    for name, file in record["files"].items():
        worst = max(differences[name].values())
        told = f"{worst:.1e}{' pixels' if 'detector' in record else ''}"
        lines.append(f"{folder / file['file']}  {file['bytes'] / 1000:,.0f} kB, same answers to {told}")
    lines.append(f"{folder / 'export.json'}  inputs, answers, metrics, cost, checksums")
    if "onnx" in record["files"]:
        examples = {"columns": "new.csv", "arrays": "samples.npy"}
        new = examples.get(record["inputs"]["kind"], "picture.png")
        lines.append(f"{folder / 'run_export.py'}  without Umbel: python {folder / 'run_export.py'} {new}")
    return lines


def _takes(inputs: Mapping[str, Any]) -> str:
    if inputs["kind"] == "columns":
        columns = [f"{_readable(column['name'])} ({column['kind']})" for column in inputs["columns"]]
        return f"{len(columns)} column{'s' if len(columns) > 1 else ''}: {', '.join(_few(columns))}"
    if inputs["kind"] == "picture":
        longer = f"; run_export.py makes the longer side {inputs['longer_side']}" if inputs["longer_side"] else ""
        return f"one picture of any size (RGB), bytes 0 to 255{longer}"
    size = " × ".join(map(str, inputs["shape"]))
    if inputs["kind"] == "arrays":
        return f"arrays {size}, {inputs['dtype']}"
    return f"pictures {size} ({'RGB' if inputs['channels'] == 'RGB' else 'grey'}), bytes 0 to 255"


def _gives(name: str, task: Mapping[str, Any]) -> str:
    unit = f" in {_readable(task['unit'])}" if task.get("unit") else ""
    of = f" of {', '.join(_few([_readable(label) for label in task['labels']]))}" if task["labels"] else ""
    what = {
        "boxes": f"boxes{of}, with scores, none over a better one of its class",
        "probabilities of classes": f"probabilities{of}",
        "probabilities": f"probabilities{of}",
        "values": f"values{of}{unit}",
        "raw": "raw predictions, not decoded: the task was made by hand",
    }.get(task["answers"], task["answers"])
    size = "" if len(task.get("shape", ())) < 3 else f", {' × '.join(map(str, task['shape'][1:]))}"
    return f"{_readable(name)}: {what}{size}"


def _few(parts: Sequence[str]) -> list[str]:
    return [*parts[:_SHOWN], *([f"and {len(parts) - _SHOWN} more"] if len(parts) > _SHOWN else [])]


def _readable(name: str) -> str:
    return name if name.isprintable() else repr(name)
