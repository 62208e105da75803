"""Run a test's function in two real processes that talk over gloo."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch import multiprocessing as processes

from umbel.core import SingleProcess


class TwoProcesses(SingleProcess):
    """The runtime inside each of the processes."""

    def __init__(self, accumulate: int = 1) -> None:
        super().__init__(accumulate)
        self.rank, self.world_size = distributed.get_rank(), distributed.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over both."""
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor


def run_in_two_processes(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `function(*arguments)` gives in each process. It must be importable: a module's top-level function."""
    processes.spawn(_child, (function, str(folder), arguments), nprocs=2)
    return [torch.load(folder / f"result{rank}.pt", weights_only=True) for rank in (0, 1)]


def _child(rank: int, function: Callable[..., Any], folder: str, arguments: tuple) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        torch.save(function(*arguments), Path(folder) / f"result{rank}.pt")
    finally:
        distributed.destroy_process_group()


def share_of(rank: int) -> slice:
    """The samples of a batch that each process has: 5 and the rest, so that the shares are not equal."""
    return (slice(0, 5), slice(5, None))[rank]
