"""`export`: a network as files that other programs run, each loaded back and compared with it."""

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from umbel.control.exports import run_export
from umbel.control.exports.answering import Answering
from umbel.control.exports.cases import Case, Inputs, make_cases, takes_pictures
from umbel.control.exports.check import TOLERANCE, differences
from umbel.control.exports.files import FILES, Run, traced, write_onnx, write_program, write_weights
from umbel.control.exports.names import plain_names
from umbel.control.exports.record import cost, description, files_of, with_versions
from umbel.control.onnx_file import INPUT, has_onnx, require_onnx
from umbel.control.place import check_place, place_of, put_in_place
from umbel.core import MultiTaskModel, OperatingPoint, Task, UmbelError, unknown
from umbel.data.table_description import TableDescription
from umbel.engine.folder import output_folder
from umbel.nn import Slimmable, dense_model

Format = Literal["torch", "onnx", "safetensors"]
"""What kind of file."""

RECORD = "export.json"
"""The file that says what the others are."""
RUNNER = "run_export.py"
"""The program that runs the ONNX file."""


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        folder: Where.
        files: Format -> file.
        inputs: Column of a table -> name of its input in the ONNX file; empty where the one input is called "input".
        outputs: Task -> name of its output in the ONNX file.
        differences: Format -> task -> largest difference from the original network, relative to the outputs' scale.
        record: What `export.json` holds.
    """

    folder: Path
    files: Mapping[str, Path]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    differences: Mapping[str, Mapping[str, float]]
    record: Mapping[str, Any]


def available_formats() -> tuple[Format, ...]:
    """The formats whose packages are installed."""
    every: tuple[Format, ...] = ("torch", "onnx", "safetensors")
    return tuple(name for name in every if name != "onnx" or has_onnx())


def export(
    model: MultiTaskModel,
    inputs: Inputs,
    tasks: Sequence[Task],
    folder: Path | str,
    *,
    point: OperatingPoint | None = None,
    formats: Sequence[Format] = ("torch", "onnx", "safetensors"),
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a network with its preprocessing and decoding, and check every file by running it.

    The files answer in natural units and probabilities. ONNX takes the raw columns of a table (numbers as float64
    [batch], NaN where missing; categories as strings) or pictures of bytes, uint8 [batch, C, H, W]; torch's program
    takes the network's own inputs, or the same pictures; the file of weights holds the network alone. A slimmable
    network becomes the dense one of its configuration, norms folded. What the point says (to links, for instance) is
    fixed; the number of samples stays free. Each file is loaded back and run on random batches: its answers must be
    those of the original network to 1e-5, max |a - b| / max(1, max |b|) for each task, values in units of the task's
    scale. Otherwise nothing is left on the disk.

    A task that was made by hand is exported without its decoding, and `export.json` says so.

    Args:
        model: Copied, not changed.
        inputs: What it learnt from: `MultiTaskData.inputs`.
        tasks: Its tasks, in any order.
        folder: New or empty; its parents are made.
        point: The configuration of a slimmable network, calibrated, and what links read; None is the full one.
        formats: Which files; see `available_formats`. With ONNX comes `run_export.py`, which runs it without Umbel.
        about: What else `export.json` shall hold, as JSON has it.

    Raises:
        UmbelError: Tasks that are not the model's; a point off the grid or not calibrated; a link that answers at
            random; a folder that is not empty; packages that are missing; a network that cannot be written, or whose
            file answers differently (names the task and the difference); no space.
    """
    folder = output_folder(folder).absolute()
    chosen = check_formats(formats)
    check_place(folder)
    extra = as_json(dict(about or {}))
    tasks = _in_order(model, tasks)
    model = copy.deepcopy(model).cpu().eval()
    at = point or OperatingPoint()
    plain = dense_model(model, at)
    cases = make_cases(model, at, tasks, inputs)
    columns, outputs = _names(inputs, tasks)
    turned = at if point is not None or _can_be_turned(model) else None
    described = description(model, turned, tasks, inputs, columns, outputs, cases[0])
    described = with_versions({**described, "cost": cost(plain, at, inputs), "about": extra}, chosen)
    with place_of(folder) as partial:
        answering = Answering(plain, at, tasks, takes_pictures(inputs))
        run = _write(answering, inputs, columns, outputs, described, cases[0], partial, chosen)
        worst = {name: differences(FILES[name], run[name], tasks, cases) for name in chosen}
        checked = {"files": files_of(partial, chosen, described), "differences": worst, "tolerance": TOLERANCE}
        record = described | checked
        (partial / RECORD).write_text(json_text(record), encoding="utf-8")
        put_in_place(partial, folder)
    return Exported(folder, {name: folder / FILES[name] for name in chosen}, columns, outputs, worst, record)


def json_text(record: Mapping[str, Any]) -> str:
    """The record as `export.json` has it."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats, each once, in the usual order.

    Raises:
        UmbelError: One is unknown, there is none, or a package for one is missing.
    """
    for name in formats:
        if name not in FILES:
            raise unknown("format of export", name, FILES)
    if not formats:
        raise UmbelError(f"export needs a format: {', '.join(FILES)}")
    if "onnx" in formats:
        require_onnx("export as ONNX")
    return tuple(name for name in FILES if name in formats)


def as_json(about: dict[str, Any]) -> dict[str, Any]:
    """What a user says of an export, as JSON holds it.

    Raises:
        UmbelError: JSON cannot hold it.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(about, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UmbelError(f"about: {error}; give what JSON can hold") from error
    return plain


def _in_order(model: MultiTaskModel, tasks: Sequence[Task]) -> list[Task]:
    """The tasks in the order of the model's heads."""
    by_name = {task.name: task for task in tasks}
    if by_name.keys() != set(model.task_names):
        given, has = ", ".join(by_name), ", ".join(model.task_names)
        raise UmbelError(f"the tasks to export are {given or 'none'}, the model has heads for {has}; give those tasks")
    return [by_name[name] for name in model.task_names]


def _can_be_turned(model: MultiTaskModel) -> bool:
    return any(isinstance(part, Slimmable) for part in (model.encoder, *(model.heads[n] for n in model.task_names)))


def _names(inputs: Inputs, tasks: Sequence[Task]) -> tuple[dict[str, str], dict[str, str]]:
    """Column -> name of its input, task -> name of its output; all different."""
    columns: dict[str, str] = {}
    if isinstance(inputs, TableDescription) and inputs.image is None:
        columns = plain_names([column.name for column in inputs.inputs], "column", {INPUT})
    return columns, plain_names([task.name for task in tasks], "task", {INPUT, *columns.values()})


def _write(
    network: Answering,
    inputs: Inputs,
    columns: Mapping[str, str],
    outputs: Mapping[str, str],
    described: Mapping[str, Any],
    case: Case,
    folder: Path,
    formats: Sequence[str],
) -> dict[str, Run]:
    """Write the files and give, for each format, what runs its file."""
    run: dict[str, Run] = {}
    if "safetensors" in formats:
        run["safetensors"] = write_weights(network, folder / FILES["safetensors"])
    if "torch" in formats or "onnx" in formats:
        program = traced(network, case.inputs)
        if "torch" in formats:
            run["torch"] = write_program(program, folder / FILES["torch"])
        if "onnx" in formats:
            run["onnx"] = write_onnx(program, inputs, columns, outputs, described, folder / FILES["onnx"])
            shutil.copyfile(run_export.__file__, folder / RUNNER)
    return run
