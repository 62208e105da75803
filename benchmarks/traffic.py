"""What a process sends for one update from rows that are spread over two processes, counted by its own sockets.

Linux counts the payload of every TCP connection (TCP_INFO), so no other traffic of the machine is in it. Where there
is no such counter, the rows hold the bytes that the algorithms of the collectives have to send, and say so.
"""

import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch import multiprocessing as processes

from benchmarks.measure import Row, compare
from umbel.core import SingleProcess
from umbel.core.collectives import join_columns, sum_columns
from umbel.descent.exchange import combined_rows, gramian

PROCESSES = 2
SIZES = {100_000: "100 k", 1_000_000: "1 M"}
TASKS = (2, 8, 16, 40)
ALONE = (16, max(SIZES))  # where the exchange of rows alone is counted, too
TURNS, WARM_UP = 5, 1
OVERHEAD = 1.01  # of what the formula says: headers of messages
BYTES_SENT, BYTES_AGAIN, LENGTH = 200, 208, 216  # offsets of two 64-bit fields in Linux' struct tcp_info, since 4.19


class Gloo(SingleProcess):
    """The runtime inside each process."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.world_size = distributed.get_rank(), distributed.get_world_size()

    def sum(self, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    def sum_scattered(self, rows: Tensor) -> Tensor:
        return sum_columns(rows)

    def gather(self, piece: Tensor, total: int) -> Tensor:
        return join_columns(piece, total)


def sent_bytes() -> int | None:
    """Payload that this process has sent over its TCP connections, or None where the system does not tell."""
    if not hasattr(socket, "TCP_INFO") or not Path("/proc/self/fd").exists():
        return None
    total = 0
    for link in Path("/proc/self/fd").iterdir():
        if not link.is_symlink() or not os.readlink(link).startswith("socket:"):
            continue
        with socket.socket(fileno=os.dup(int(link.name))) as connection:
            if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
                continue
            told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LENGTH)
        if len(told) < LENGTH:
            return None
        total += struct.unpack_from("=Q", told, BYTES_SENT)[0] - struct.unpack_from("=Q", told, BYTES_AGAIN)[0]
    return total


def equal_weights(table: Tensor) -> Tensor:
    return torch.full((len(table),), 1 / len(table), dtype=table.dtype)


def naive(rows: Tensor, runtime: Gloo) -> Tensor:
    """All rows on every process."""
    whole = runtime.sum(rows)
    return equal_weights(gramian(whole)).to(whole.dtype) @ whole


def ours(rows: Tensor, runtime: Gloo) -> Tensor:
    return combined_rows(rows, equal_weights, runtime)


def gloos_own(rows: Tensor, runtime: Gloo) -> Tensor:
    """Torch's reduce-scatter over gloo, of rows alone."""
    pieces = [piece.contiguous() for piece in rows.chunk(runtime.world_size, 1)]
    out = torch.empty_like(pieces[0])
    distributed.reduce_scatter(out, pieces)
    return out


def sum_scattered(rows: Tensor, runtime: Gloo) -> Tensor:
    return runtime.sum_scattered(rows)


SIDES: dict[str, Callable[[Tensor, Gloo], Tensor]] = {
    "naive": naive,
    "ours": ours,
    "gloo's reduce-scatter": gloos_own,
    "sum_scattered": sum_scattered,
}


def formula(side: str, tasks: int, parameters: int) -> float:
    """Bytes that a process has to send for float32 rows, by rings or directly; the Gramian is float64."""
    share = (PROCESSES - 1) / PROCESSES
    rows, update, table = 4 * tasks * parameters * share, 4 * parameters * share, 8 * tasks**2 * share
    return {"ours": rows + update + 2 * table, "sum_scattered": rows}.get(side, 2 * rows)


def in_each_process(rank: int, folder: str) -> None:
    """Process 0 writes the bytes of every side, and the seconds of ours and naive for the larger size."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    runtime, found = Gloo(), {}
    for parameters in SIZES:
        for tasks in TASKS:
            rows = torch.randn(tasks, parameters, generator=torch.Generator().manual_seed(rank))
            results = {}
            for side in SIDES if (tasks, parameters) == ALONE else ("ours", "naive"):
                results[side], found[side, tasks, parameters] = _counted(SIDES[side], rows, runtime)
            if not torch.allclose(results["ours"], results["naive"], rtol=1e-4, atol=1e-5):
                raise AssertionError("the two ways disagree")
            if parameters == max(SIZES):
                found |= _seconds(rows, runtime)
    if rank == 0:
        torch.save(found, Path(folder) / "found.pt")
    distributed.destroy_process_group()


def _counted(run: Callable[[Tensor, Gloo], Tensor], rows: Tensor, runtime: Gloo) -> tuple[Tensor, float | None]:
    """A result and the bytes sent for it.

    The barrier behind it makes sure that everything has arrived; the bytes of a barrier are measured and taken off.
    """
    distributed.barrier()
    start = sent_bytes()
    distributed.barrier()
    before = sent_bytes()
    result = run(rows, runtime)
    distributed.barrier()
    after = sent_bytes()
    if start is None or before is None or after is None:
        return result, None
    return result, float((after - before) - (before - start))


def _seconds(rows: Tensor, runtime: Gloo) -> dict[tuple[str, int], list[float]]:
    """Both in turns; the processes start together."""
    times: dict[tuple[str, int], list[float]] = {(side, len(rows)): [] for side in ("ours", "naive")}
    for turn in range(WARM_UP + TURNS):
        for side in ("ours", "naive")[:: 1 if turn % 2 else -1]:
            distributed.barrier()
            began = time.perf_counter()
            SIDES[side](rows, runtime)
            if turn >= WARM_UP:
                times[side, len(rows)].append(time.perf_counter() - began)
    return times


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(in_each_process, (folder,), nprocs=PROCESSES)
        found = torch.load(Path(folder) / "found.pt", weights_only=True)
    rows = [row for parameters in SIZES for tasks in TASKS for row in _bytes(found, tasks, parameters)]
    tasks, parameters = ALONE
    what = f"the rows alone, T = {tasks}, P = {SIZES[parameters]}: each its columns of the sum"
    rows.append(_megabytes(found, what, "sum_scattered", "gloo's reduce-scatter", tasks, parameters, 0.5 * OVERHEAD))
    for tasks in TASKS:
        what = f"time of exchange and update over loopback, T = {tasks}, P = {SIZES[parameters]}, equal weights"
        sides = found["ours", tasks], found["naive", tasks]
        rows.append(compare(what, *sides, "all-reduce of J, then the same on each", None, 1e3, "ms"))
    return rows


def _bytes(found: dict, tasks: int, parameters: int) -> list[Row]:
    """Ours against the naive way, and against the formula."""
    what = f"bytes that a process sends, T = {tasks}, P = {SIZES[parameters]}, float32"
    least = formula("ours", tasks, parameters)
    target = round(OVERHEAD * least / formula("naive", tasks, parameters), 4)
    against = _megabytes(found, what, "ours", "naive", tasks, parameters, target)
    sent = found["ours", tasks, parameters]
    counted = [least if sent is None else sent]
    return [against, compare("... against the formula", counted, [least], "formula", OVERHEAD, 1e-6, "MB")]


def _megabytes(found: dict, what: str, side: str, other: str, tasks: int, parameters: int, target: float) -> Row:
    values = [found[name, tasks, parameters] for name in (side, other)]
    if None in values:
        values = [formula(name, tasks, parameters) for name in (side, other)]
        what += " (by formula: this system does not count)"
    name = "all-reduce of J" if other == "naive" else other
    return compare(what, values[:1], values[1:], name, target, 1e-6, "MB")
