"""`export`: one configuration as files that other programs run, each checked against the slimmable model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from umbel.core import MultiTaskModel, OperatingPoint

Format = Literal["torch", "onnx", "safetensors"]


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
    raise NotImplementedError


def export(
    model: MultiTaskModel,
    point: OperatingPoint,
    input_shape: Sequence[int],
    folder: Path,
    *,
    formats: Sequence[Format] = ("torch", "onnx", "safetensors"),
    about: Mapping[str, Any] | None = None,
) -> Exported:
    """Write one configuration as an ordinary dense network, and check every file by running it."""
    raise NotImplementedError
