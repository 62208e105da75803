"""What a run takes and answers, as plain values: for the page's form, and for those who write a client."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import InputColumn, TableDescription
from umbel.data.task_records import TaskRecord
from umbel.recipes.liveness import KeptLiveness, decision


def describe_inputs(known: TableDescription | PlainInputs) -> dict[str, Any]:
    """What is to be sent.

    Args:
        known: What the run learnt from.

    Returns:
        Of a table: kind "table", `columns` and an `example` row. Of pictures: kind "picture", `channels`, `height` and
        `width` in pixels, and whether other sizes are `resized` to that. Of anything else: kind "array" and `shape`.
    """
    if takes_pictures(known):
        channels, height, width = known.input_shape
        resized = isinstance(known, TableDescription) and known.image is not None and known.image.resolution is not None
        return {"kind": "picture", "channels": channels, "height": height, "width": width, "resized": resized}
    if isinstance(known, PlainInputs):
        return {"kind": "array", "shape": list(known.shape)}
    return {"kind": "table", "columns": [_column(column) for column in known.inputs], "example": example_row(known)}


def takes_pictures(known: TableDescription | PlainInputs) -> bool:
    """Whether a sample is a picture."""
    return known.image is not None if isinstance(known, TableDescription) else known.pictures


def _column(column: InputColumn) -> dict[str, Any]:
    said: dict[str, Any] = {"name": column.name, "kind": column.kind, "blank_in_training": column.flagged}
    if column.kind == "category":
        return said | {"categories": list(column.categories)}
    return said | {"mean": column.centre, "standard_deviation": column.scale}


def example_row(known: TableDescription) -> dict[str, float | str | None]:
    """A row in the middle of what was learnt from: means, and the first category of each column."""
    return {
        column.name: (column.categories or (None,))[0] if column.kind == "category" else _rounded(column)
        for column in known.inputs
    }


def _rounded(column: InputColumn) -> float:
    """The mean, as exact as the spread of the values asks for."""
    digits = 2 - math.floor(math.log10(column.scale)) if column.scale > 0 else 6
    value = round(column.centre, max(0, digits))
    return int(value) if value == int(value) else value


def example_inputs(known: TableDescription | PlainInputs) -> Any:
    """One sample, as `umbel.inference.Predictor.predict` takes it."""
    if takes_pictures(known):
        _, height, width = known.input_shape
        return [Image.new("RGB", (width, height))]
    return np.zeros((1, *known.input_shape), np.float32) if isinstance(known, PlainInputs) else [example_row(known)]


def describe_output(record: TaskRecord, liveness: KeptLiveness | None = None) -> dict[str, Any]:
    """What is answered for a task.

    Args:
        record: The task.
        liveness: What validation said of it or another, where one is of liveness.

    Returns:
        `name`, `kind` ("class", "probabilities", "value", "values"; "" for maps and pictures, which are
        not served), `labels` of the classes or of several outputs, `unit`, for a value its `mean` and
        `standard_deviation` in training, and for a liveness whose probability is calibrated the `threshold` from which
        on it is taken for live.
    """
    kind = ""
    if record.output == "vector":
        kinds = {"probabilities of classes": "class", "probabilities": "probabilities"}
        kind = kinds.get(record.answers, "value" if record.outputs == 1 else "values")
    labels = [] if kind == "value" else list(record.output_labels)
    said: dict[str, Any] = {"name": record.name, "kind": kind, "labels": labels, "unit": record.unit}
    if kind == "value" and len(record.scale) == 1:
        said |= {"mean": record.centre[0], "standard_deviation": record.scale[0]}
    if liveness is not None and liveness.task == record.name:
        said["threshold"] = liveness.threshold
    return said


def prediction(
    outputs: Sequence[dict[str, Any]], columns: dict[str, dict[str, str]], row: dict[str, Any]
) -> dict[str, Any]:
    """The predictions for one row by task.

    Args:
        outputs: From `describe_output`.
        columns: Task -> label -> column, as `Predictor.columns` has it.
        row: Column -> value.

    Returns:
        Task -> what was predicted, under the name of its kind; a value that is no number is None.
    """
    answers: dict[str, Any] = {}
    for output in outputs:
        if not output["kind"]:
            continue
        labels = dict(columns[output["name"]])
        itself = _plain(row[labels.pop("")]) if "" in labels else None
        several = {label: _plain(row[column]) for label, column in labels.items()}
        if output["kind"] == "class":
            answers[output["name"]] = {"class": itself, "probabilities": several}
        else:
            answers[output["name"]] = {output["kind"]: several if output["kind"].endswith("s") else itself}
        if "threshold" in output:
            answers[output["name"]]["decision"] = decision(row[next(iter(labels.values()))], output["threshold"])
    return answers


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None
