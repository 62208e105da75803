"""`export`: one configuration as files that other programs run, each checked against the slimmable model.

    folder/
        model.pt2           torch.export's program: torch.export.load(...).module()(inputs)
        model.onnx          for ONNX Runtime and others: input "input", an output for each task
        model.safetensors   the weights by name, as in dense_model(model, point).state_dict()
        export.json         the point, tasks and outputs, cost, sizes and SHA-256 of the files, measured differences

The folder is written beside its place and renamed into it when all its files have been loaded back and run.
"""

import copy
import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_safetensors
from torch import Tensor
from torch.export import Dim, ExportedProgram

import umbel
from umbel.control.onnx_file import INPUT, has_onnx, open_session, require_onnx, to_onnx, versions
from umbel.control.place import check_place, place_of, put_in_place
from umbel.control.timing import AtPoint, channels_last, random_input
from umbel.core import MultiTaskModel, OperatingPoint, UmbelError, unknown
from umbel.engine.checkpoint import split_state
from umbel.engine.folder import output_folder
from umbel.nn import dense_model, model_cost

Format = Literal["torch", "onnx", "safetensors"]
"""What kind of file."""

FILES: Mapping[str, str] = {"torch": "model.pt2", "onnx": "model.onnx", "safetensors": "model.safetensors"}
TOLERANCE = 1e-5
_BATCH_SIZES = (1, 3)  # other than that of the trace
_TRACED_BATCH = 2
_FORMAT = 1

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        folder: Where.
        files: Format -> file.
        outputs: Task -> name of its output in the ONNX file.
        differences: Format -> task -> largest difference from the slimmable model, relative to the outputs' scale.
        record: What `export.json` holds.
    """

    folder: Path
    files: Mapping[str, Path]
    outputs: Mapping[str, str]
    differences: Mapping[str, Mapping[str, float]]
    record: Mapping[str, Any]


def available_formats() -> tuple[Format, ...]:
    """The formats whose packages are installed."""
    return tuple(name for name in FILES if name != "onnx" or has_onnx())


def export(
    model: MultiTaskModel,
    point: OperatingPoint,
    input_shape: Sequence[int],
    folder: Path | str,
    *,
    formats: Sequence[Format] = ("torch", "onnx", "safetensors"),
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write one configuration as an ordinary dense network, and check every file by running it.

    Batch normalisations are folded, and whatever the point says (to links, for instance) is fixed. The number of
    samples stays free. Each file is loaded back and run on random batches of 1 and 3 samples; its outputs must be
    those of the slimmable model at that point to 1e-5, max |a - b| / max(1, max |b|) for each task. Otherwise nothing
    is left on the disk.

    Args:
        model: Its encoder and heads are `Slimmable`. It is copied, not changed.
        point: The configuration, calibrated.
        input_shape: Of one sample.
        folder: New or empty; its parents are made.
        formats: Which files; see `available_formats`.
        about: What else `export.json` shall hold, as JSON has it.

    Raises:
        UmbelError: A point off the grid or not calibrated; a link that answers at random; a folder that is not empty;
            packages that are missing; a network that cannot be written, or whose file answers differently (names the
            task and the difference); no space.
    """
    folder = output_folder(folder).absolute()
    chosen = _check_formats(formats)
    check_place(folder)
    extra = _as_json(dict(about or {}))
    model = copy.deepcopy(model).cpu().eval()
    plain = dense_model(model, point)
    cases = _cases(model, point, input_shape)
    with place_of(folder) as partial:
        differences = _write(plain, point, cases, partial, chosen)
        record = _record(model, point, cases, partial, differences) | {"about": extra}
        (partial / "export.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        put_in_place(partial, folder)
    files = {name: folder / FILES[name] for name in chosen}
    return Exported(folder, files, onnx_names(model.task_names), differences, record)


def _check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    for name in formats:
        if name not in FILES:
            raise unknown("format of export", name, FILES)
    if not formats:
        raise UmbelError(f"export needs a format: {', '.join(FILES)}")
    if "onnx" in formats:
        require_onnx("export as ONNX")
    return tuple(name for name in FILES if name in formats)


def _as_json(about: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(about, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UmbelError(f"about: {error}; give what JSON can hold") from error


@dataclass(frozen=True)
class _Case:
    """A batch, and what the slimmable model answers."""

    inputs: Tensor
    expected: Outputs


@torch.no_grad()
def _cases(model: MultiTaskModel, point: OperatingPoint, input_shape: Sequence[int]) -> list[_Case]:
    """Batches with the answers of the sliced model, which must be the same whatever the random numbers are."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    cases = []
    for size in _BATCH_SIZES:
        inputs = random_input(input_shape, size, seed=size).to(dtype)
        answers = []
        for seed in (0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                answers.append(model(inputs, point))
        for task, first in answers[0].items():
            if not torch.isfinite(first).all():
                raise UmbelError(f"task {task!r} gives values that are not finite at this point; mend the model first")
            if not torch.equal(first, answers[1][task]):
                place = f"the link of task {task!r}" if task in model.links else f"task {task!r}"
                raise UmbelError(f"{place} answers at random at this point; export a model without that randomness")
        cases.append(_Case(inputs, answers[0]))
    return cases


def _write(
    plain: MultiTaskModel, point: OperatingPoint, cases: Sequence[_Case], folder: Path, formats: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Write the files and give, for each, how far its answers are from the slimmable model's."""
    run: dict[str, Any] = {}
    if "safetensors" in formats:
        run["safetensors"] = _write_weights(plain, point, folder / FILES["safetensors"])
    if "torch" in formats or "onnx" in formats:
        program = _traced(plain, point, cases[0].inputs)
    if "torch" in formats:
        run["torch"] = _write_program(program, folder / FILES["torch"])
    if "onnx" in formats:
        run["onnx"] = _write_onnx(program, plain.task_names, folder / FILES["onnx"])
    return {name: _differences(FILES[name], run[name], cases) for name in formats}


def _traced(plain: MultiTaskModel, point: OperatingPoint, inputs: Tensor) -> ExportedProgram:
    example = inputs[:1].expand(_TRACED_BATCH, *inputs.shape[1:]).contiguous()
    try:
        return torch.export.export(
            channels_last(AtPoint(plain, point)), (example,), dynamic_shapes=({0: Dim("batch", min=1)},)
        )
    except Exception as error:  # torch's own errors are of many kinds
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UmbelError(f"torch.export cannot write this network as a program: {first}") from error


def _write_weights(plain: MultiTaskModel, point: OperatingPoint, path: Path) -> AtPoint:
    """Write the weights, and give a network that has them from the file and from nowhere else."""
    path.write_bytes(save_safetensors(split_state(plain)[0]))
    loaded = copy.deepcopy(plain)
    with torch.no_grad():
        for tensor in loaded.state_dict().values():
            if isinstance(tensor, Tensor):
                tensor.zero_()
    loaded.load_state_dict(load_file(path), strict=False)
    return AtPoint(loaded, point)


def _write_program(program: ExportedProgram, path: Path) -> Any:
    with warnings.catch_warnings():
        # Weights in channels_last look incomplete to torch, which then writes them as they lie in memory: as we want.
        warnings.filterwarnings("ignore", "No complete tensor found")
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    path.write_bytes(buffer.getvalue())
    return torch.export.load(path).module()


def _write_onnx(program: ExportedProgram, tasks: Sequence[str], path: Path) -> Any:
    names = onnx_names(tasks)
    try:
        to_onnx(program, [INPUT], list(names.values())).save(path)
        session = open_session(path)
    except OSError:  # a full disk, which is not the network's fault
        raise
    except Exception as error:  # the exporter's and the runtime's own errors are of many kinds
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UmbelError(f"this network cannot be written as ONNX: {first}") from error
    return lambda x: {
        task: torch.from_numpy(value)
        for task, value in zip(names, session.run(list(names.values()), {INPUT: x.numpy()}), strict=True)
    }


def onnx_names(tasks: Sequence[str]) -> dict[str, str]:
    """Task -> name of its output: letters, digits and underscores, each once.

    Examples:
        >>> onnx_names(["depth", "pm2.5", "pm2-5"])
        {'depth': 'depth', 'pm2.5': 'pm2_5', 'pm2-5': 'pm2_5_2'}
    """
    names: dict[str, str] = {}
    for task in tasks:
        safe = re.sub(r"\W", "_", task, flags=re.ASCII)
        safe = f"task_{safe}" if not safe or safe[0].isdigit() or safe == INPUT else safe
        taken, number, name = {*names.values()}, 1, safe
        while name in taken:
            number += 1
            name = f"{safe}_{number}"
        names[task] = name
    return names


@torch.no_grad()
def _differences(file: str, run: Any, cases: Sequence[_Case]) -> dict[str, float]:
    """Task -> largest relative difference.

    Raises:
        UmbelError: One is too large, or not a number.
    """
    worst: dict[str, float] = {}
    for case in cases:
        answers = run(case.inputs)
        for task, expected in case.expected.items():
            answer = answers[task]
            if answer.shape != expected.shape:
                shapes = f"{tuple(answer.shape)} instead of {tuple(expected.shape)}"
                raise UmbelError(f"{file}: task {task!r} answers with shape {shapes}; nothing was exported")
            scale = max(1.0, float(expected.abs().max()))
            difference = float((answer.double() - expected.double()).abs().max()) / scale
            if not difference <= TOLERANCE:
                raise UmbelError(
                    f"{file}: task {task!r} differs from the slimmable model by {difference:.2g} of its scale, more "
                    f"than {TOLERANCE:g}; nothing was exported"
                )
            worst[task] = max(worst.get(task, 0.0), difference)
    return worst


def _record(
    model: MultiTaskModel,
    point: OperatingPoint,
    cases: Sequence[_Case],
    folder: Path,
    differences: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """What `export.json` holds."""
    inputs, expected = cases[0].inputs, cases[0].expected
    cost = model_cost(model, point, inputs.shape[1:])
    names = onnx_names(model.task_names)
    heads = {task: model.heads[task].widths_at(point)[1] for task in model.task_names}
    files = {name: (folder / FILES[name]).read_bytes() for name in differences}
    return {
        "format": _FORMAT,
        "point": point.as_dict(),
        "widths": {"encoder": model.encoder.widths_at(point)[0], "heads": heads},
        "input": {"name": INPUT, "shape": ["batch", *inputs.shape[1:]], "dtype": str(inputs.dtype).split(".")[-1]},
        "tasks": {t: {"output": names[t], "shape": ["batch", *expected[t].shape[1:]]} for t in model.task_names},
        "cost": {
            "total": asdict(cost.total),
            "encoder": asdict(cost.encoder),
            "heads": {task: asdict(each) for task, each in cost.heads.items()},
        },
        "files": {
            name: {"file": FILES[name], "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
        "differences": differences,
        "tolerance": TOLERANCE,
        "versions": {"umbel": umbel.__version__, "torch": torch.__version__} | (versions() if "onnx" in files else {}),
    }
