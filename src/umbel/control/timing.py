"""Time of one pass of a network on this machine, and what this machine is called."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from torch import nn

Backend = Literal["torch", "onnxruntime"]
"""What runs a network."""


def machine_name(backend: Backend = "torch") -> str:
    """This machine as a table of latency names it: processor, threads, and what runs the network with its version."""
    raise NotImplementedError


def time_model(
    model: nn.Module | Path,
    input_shape: Sequence[int],
    batch_size: int = 1,
    backend: Backend = "torch",
    repeats: int = 30,
) -> float:
    """Milliseconds of one pass of a whole dense model, or of an exported file (`.pt2`, `.onnx`)."""
    raise NotImplementedError
