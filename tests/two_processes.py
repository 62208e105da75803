"""Run a test's function in two (or three) real processes that talk over gloo."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from own_process import START_METHOD
from torch import Tensor, distributed
from torch import multiprocessing as processes

from umbel.core import SingleProcess
from umbel.core.collectives import join_columns, sum_columns

PATIENCE = timedelta(minutes=2)  # one that waits for a process which will not come fails


class Processes(SingleProcess):
    """The runtime inside each of the processes."""

    def __init__(self, accumulate: int = 1) -> None:
        super().__init__(accumulate)
        self.rank, self.world_size = distributed.get_rank(), distributed.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all."""
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    def sum_scattered(self, rows: Tensor) -> Tensor:
        """The own columns of the sum over all."""
        return sum_columns(rows)

    def gather(self, piece: Tensor, total: int) -> Tensor:
        """The pieces of all."""
        return join_columns(piece, total)


TwoProcesses = Processes


def run_in_two_processes(function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """What `function(*arguments)` gives in each process. It must be importable: a module's top-level function."""
    return _run((2,), function, folder, arguments)[2]


def run_in_two_and_three_processes(function: Callable[..., Any], folder: Path, *arguments: Any) -> dict[int, list[Any]]:
    """The same among two processes, and again among three, by the number of processes; started once."""
    return _run((2, 3), function, folder, arguments)


def _run(counts: tuple[int, ...], function: Callable[..., Any], folder: Path, arguments: tuple) -> dict[int, list[Any]]:
    what = (counts, function, str(folder), arguments)
    processes.start_processes(_child, what, nprocs=max(counts), start_method=START_METHOD)
    return {n: [torch.load(folder / f"result{r}of{n}.pt", weights_only=True) for r in range(n)] for n in counts}


def _child(rank: int, counts: tuple[int, ...], function: Callable[..., Any], folder: str, arguments: tuple) -> None:
    torch.set_num_threads(1)
    for count in counts:
        if rank >= count:
            continue
        meeting = f"file://{folder}/meeting{count}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count, timeout=PATIENCE)
        try:
            torch.save(function(*arguments), Path(folder) / f"result{rank}of{count}.pt")
        finally:
            distributed.destroy_process_group()


def share_of(rank: int) -> slice:
    """The samples of a batch that each process has: 5 and the rest, so that the shares are not equal."""
    return (slice(0, 5), slice(5, None))[rank]
