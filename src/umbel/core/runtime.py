"""What a descent may ask of the machine: other processes, precision, pieces of a batch."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Runtime(Protocol):
    """The processes and the precision that training runs with.

    Attributes:
        rank: This process, from 0.
        world_size: Number of processes.
        device: Where this process computes.
        accumulate: Into how many pieces a batch is cut to save memory.
    """

    rank: int
    world_size: int
    device: torch.device
    accumulate: int

    def autocast(self) -> AbstractContextManager:
        """The context in which the forward pass runs (bf16, or nothing)."""
        ...

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a detached tensor over all processes; every process must call it, in the same order."""
        ...


class SingleProcess:
    """One process, full precision: the runtime for one's own loops and for tests."""

    rank = 0
    world_size = 1

    def __init__(self, accumulate: int = 1, device: torch.device | str = "cpu") -> None:
        self.accumulate = accumulate
        self.device = torch.device(device)

    def autocast(self) -> AbstractContextManager:
        """Nothing: full precision."""
        return nullcontext()

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor
