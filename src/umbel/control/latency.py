"""The table of latency: what every part of a slimmable model costs in time, on this machine, as it is exported."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from umbel.control.timing import Backend
from umbel.core import MultiTaskModel


@dataclass(frozen=True)
class Latency:
    """Milliseconds of every part of a model at every width: the `latency_ms` of a `ConfigurationTable`.

    Attributes:
        encoder: The encoder at each of its widths [We].
        heads: Each head at each pair of encoder's width and its own [T, We, Wd], in the order of `task_names`.
        machine: Where, with how many threads and by what they were measured; see `machine_name`.
        batch_size: Samples in one pass.
        backend: What ran the parts.
    """

    encoder: np.ndarray
    heads: np.ndarray
    machine: str
    batch_size: int
    backend: Backend


def measure_latency(
    model: MultiTaskModel,
    *,
    batch_size: int = 1,
    backend: Backend = "torch",
    repeats: int = 15,
    say: Callable[[str], None] | None = None,
) -> Latency:
    """Time every part of a slimmable model at every width."""
    raise NotImplementedError
