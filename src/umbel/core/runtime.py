"""What a descent may ask of the machine: other processes, precision, pieces of a batch."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from umbel.errors import UmbelError


@runtime_checkable
class Runtime(Protocol):
    """The processes and the precision that training runs with."""

    @property
    def rank(self) -> int:
        """This process, from 0."""
        ...

    @property
    def world_size(self) -> int:
        """Number of processes."""
        ...

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        ...

    @property
    def accumulate(self) -> int:
        """Into how many pieces a batch is cut to save memory."""
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which the forward pass runs (bf16, or nothing)."""
        ...

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a detached tensor over all processes; every process must call it, in the same order."""
        ...

    def sum_scattered(self, rows: Tensor) -> Tensor:
        """This process's columns of the sum over all processes.

        Columns are dealt out in contiguous pieces, in the order of the processes; pieces may differ in length and be
        empty. A process sends T P (W - 1) / W elements (W processes), half of what `sum` sends.

        Args:
            rows: [T, P], detached, of the same shape and dtype on every process; left as it was.

        Returns:
            [T, p], the p of all processes adding up to P. May share memory with `rows`.
        """
        ...

    def gather(self, piece: Tensor, total: int) -> Tensor:
        """The pieces of all processes joined, in the order in which `sum_scattered` deals out columns.

        Every process gets the same bits. A process sends P (W - 1) / W elements.

        Args:
            piece: [p], this process's.
            total: P, the sum of all p.

        Returns:
            [P]. May share memory with `piece`.

        Raises:
            UmbelError: The piece has another length than the columns of this process.
        """
        ...


class SingleProcess:
    """One process, full precision: the runtime for one's own loops and for tests."""

    rank = 0
    world_size = 1

    def __init__(self, accumulate: int = 1, device: torch.device | str = "cpu") -> None:
        self.accumulate = accumulate
        self.device = torch.device(device)

    def autocast(self) -> AbstractContextManager[Any]:
        """Nothing: full precision."""
        return nullcontext()

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def sum_scattered(self, rows: Tensor) -> Tensor:
        """The rows [T, P] themselves."""
        return rows

    def gather(self, piece: Tensor, total: int) -> Tensor:
        """The piece [P] itself.

        Raises:
            UmbelError: It has another length than `total`.
        """
        if piece.shape != (total,):
            raise UmbelError(f"a piece of shape {list(piece.shape)} does not make up {total} columns")
        return piece
