"""What `export.json` says: all that a program needs to use the files without Umbel and without the data set."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import umbel
from umbel.control.exports.cases import Case, Inputs, takes_pictures
from umbel.control.exports.files import FILES
from umbel.control.onnx_file import INPUT, versions
from umbel.control.timing import AtPoint
from umbel.core import MultiTaskModel, OperatingPoint, Task
from umbel.data.columns import LARGEST
from umbel.data.picture_files import PICTURE_FORMATS
from umbel.data.table_description import InputColumn, TableDescription
from umbel.data.task_records import TaskRecord
from umbel.nn import Slimmable, cost_of, count_macs

FORMAT = 2
"""Of `export.json`."""

_MEANS = {
    "probabilities of classes": "the probability of each class of `labels`, along axis 1; they add up to 1",
    "probabilities": "the probability of a yes for each of `labels`, along axis 1",
    "values": "in natural units (`unit`, where it is known); centre and scale are applied already",
    "values from 0": "values, 0 or more",
    "directions": "a unit vector along axis 1",
    "pictures": "a picture with values from 0 to 1",
    "raw": "what the network gives, not decoded: the task was made by hand, its decoding is code that no file holds",
}


def description(
    model: MultiTaskModel,
    point: OperatingPoint | None,
    tasks: Sequence[Task],
    inputs: Inputs,
    columns: Mapping[str, str],
    outputs: Mapping[str, str],
    case: Case,
) -> dict[str, Any]:
    """What can be said before there are files; the metadata of an ONNX file hold it, too.

    Args:
        model: The original network.
        point: Where it is exported; None where nothing of it can be turned.
        tasks: Its tasks.
        inputs: What it learnt from.
        columns: Column -> name of its input in ONNX.
        outputs: Task -> name of its output in ONNX.
        case: A batch, for shapes.
    """
    return {
        "format": FORMAT,
        "point": None if point is None else point.as_dict(),
        "widths": None if point is None else _widths(model, point),
        "inputs": _inputs(inputs, columns, case),
        "tasks": {task.name: task_entry(task, outputs[task.name], case.expected[task.name]) for task in tasks},
        "versions": {"umbel": umbel.__version__, "torch": torch.__version__},
    }


def _widths(model: MultiTaskModel, point: OperatingPoint) -> dict[str, Any]:
    heads = {name: model.heads[name] for name in model.task_names}
    return {
        "encoder": model.encoder.widths_at(point)[0] if isinstance(model.encoder, Slimmable) else 1.0,
        "heads": {n: head.widths_at(point)[1] if isinstance(head, Slimmable) else 1.0 for n, head in heads.items()},
    }


def _inputs(inputs: Inputs, columns: Mapping[str, str], case: Case) -> dict[str, Any]:
    if isinstance(inputs, TableDescription) and inputs.image is None:
        return {
            "kind": "columns",
            "missing": list(inputs.missing),
            "largest": LARGEST,
            "features": inputs.input_shape[0],
            "columns": [_column(column, columns[column.name]) for column in inputs.inputs],
        }
    image = inputs.image if isinstance(inputs, TableDescription) else None
    one = {"input": INPUT, "shape": list(inputs.input_shape), "dtype": _dtype(case.inputs)}
    if not takes_pictures(inputs):
        return {"kind": "arrays", **one}
    return {
        "kind": "pictures",
        **one,
        "channels": "RGB" if inputs.input_shape[0] == 3 else "L",
        "divided_by": 255,
        "formats": list(PICTURE_FORMATS),
        "resized_to": None if image is None else image.resolution,
        "column": None if image is None else image.name,
    }


def _column(column: InputColumn, name: str) -> dict[str, Any]:
    kept = {"name": column.name, "input": name, "kind": column.kind, "flagged": column.flagged}
    if column.kind == "number":
        return {**kept, "centre": column.centre, "scale": column.scale}
    return {**kept, "categories": list(column.categories)}


def task_entry(task: Task, output: str, answer: Tensor) -> dict[str, Any]:
    """What is said of a task whose decoded answer [batch, ...] is in the output of that name."""
    record = TaskRecord.of(task)
    answers = "raw" if record.answers == "code" else record.answers
    units = {"unit": record.unit, "centre": list(record.centre), "scale": list(record.scale)}
    return {
        "kind": record.kind,
        "output": output,
        "answers": answers,
        "means": _MEANS[answers],
        "shape": ["batch", *answer.shape[1:]],
        "dtype": _dtype(answer),
        "labels": list(record.labels[: record.outputs]),
        **(units if answers == "values" else {}),
    }


def _dtype(x: Tensor) -> str:
    return str(x.dtype).split(".")[-1]


def cost(plain: MultiTaskModel, point: OperatingPoint, inputs: Inputs) -> dict[str, Any]:
    """What the exported network costs, part by part: multiply-accumulates of a sample, parameters, bytes.

    Args:
        plain: As it is exported.
        point: For links that read one.
        inputs: For the shape of a sample.
    """
    shape = inputs.input_shape
    encoder = cost_of(AtPoint(plain.encoder, point), shape)
    heads = {}
    for task in plain.task_names:
        macs = count_macs(_Branch(plain, point, task), shape) - encoder.macs
        sizes = [p.numel() * p.element_size() for p in plain.heads[task].parameters()]
        buffers = [b.numel() * b.element_size() for b in plain.heads[task].buffers()]
        numbers = sum(p.numel() for p in plain.heads[task].parameters())
        heads[task] = {"macs": macs, "parameters": numbers, "bytes": sum(sizes) + sum(buffers)}
    parts = [asdict(encoder), *heads.values()]
    total = {kind: sum(part[kind] for part in parts) for kind in asdict(encoder)}
    return {"total": total, "encoder": asdict(encoder), "heads": heads}


class _Branch(nn.Module):
    """A model that answers for one task alone."""

    def __init__(self, model: MultiTaskModel, point: OperatingPoint, task: str) -> None:
        super().__init__()
        self.model = model
        self.point = point
        self.task = task

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, self.point, [self.task])[self.task]


def files_of(folder: Path, formats: Sequence[str], described: Mapping[str, Any]) -> dict[str, Any]:
    """For each format its file, size, SHA-256, and the names of what it takes and gives.

    Args:
        folder: Where they are.
        formats: Which there are.
        described: What `description` gave.
    """
    entries = {}
    for name in formats:
        content = (folder / FILES[name]).read_bytes()
        entries[name] = {
            "file": FILES[name],
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **_ports(name, described),
        }
    return entries


def _ports(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """What a file takes, with type and shape, and the names of what it gives."""
    inputs, tasks = described["inputs"], described["tasks"]
    if name == "safetensors":
        return {}
    columns = inputs["kind"] == "columns"
    if columns and name == "onnx":
        kinds = {"number": "float64", "category": "string"}
        takes = [{"name": c["input"], "dtype": kinds[c["kind"]], "shape": ["batch"]} for c in inputs["columns"]]
    elif columns:
        takes = [{"name": INPUT, "dtype": "float32", "shape": ["batch", inputs["features"]]}]
    else:
        takes = [{"name": INPUT, "dtype": inputs["dtype"], "shape": ["batch", *inputs["shape"]]}]
    return {"inputs": takes, "outputs": [task["output"] for task in tasks.values()] if name == "onnx" else [*tasks]}


def with_versions(described: Mapping[str, Any], formats: Sequence[str]) -> dict[str, Any]:
    """The description with the versions of the packages that wrote the files."""
    more = versions() if "onnx" in formats else {}
    return {**described, "versions": {**described["versions"], **more}}
