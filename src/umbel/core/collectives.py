"""Rows summed over processes, each process keeping its own columns, and the way back.

With W processes the columns 0 ... P - 1 are dealt out in W contiguous pieces of c = ceil(P / W), the last ones shorter
or empty. What a process sends, in elements:

    sum_columns    T c (W - 1)      a reduce-scatter; an all-reduce of the same rows would send twice as much
    join_columns     c (W - 1)      an all-gather
"""

import torch
from torch import Tensor, distributed

from umbel.errors import UmbelError

_BLOCK_ELEMENTS = 2**20  # rows go in blocks of about this size: buffers stay small and in the processor's cache


def own_columns(total: int, rank: int, world_size: int) -> slice:
    """Which of `total` columns belong to a process; pieces are contiguous, in the order of the processes."""
    size = -(-total // world_size)
    return slice(min(rank * size, total), min((rank + 1) * size, total))


def sum_columns(rows: Tensor) -> Tensor:
    """This process's columns of the sum over all processes; all call it, with rows of the same shape and dtype.

    On a processor (gloo) every process sends each other one its columns, which adds them up in the order of the
    processes: gloo's own reduce-scatter is an all-reduce of which most is thrown away, twice the traffic. Sums of
    bf16 are rounded once there. On a GPU (NCCL) it is the backend's reduce-scatter, which rounds bf16 at every
    process on the way. Each column is summed in one place only.

    Args:
        rows: [T, P], any floating point dtype, detached.

    Returns:
        [T, p], p = columns of `own_columns(P, rank, W)`, possibly 0. `rows` is left as it was.
    """
    count, total = rows.shape
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    size = -(-total // world_size)
    own = own_columns(total, rank, world_size)
    out = rows.new_empty(count, size)
    for block, target in zip(*(x.split(max(1, _BLOCK_ELEMENTS // max(1, total))) for x in (rows, out)), strict=True):
        sent = _by_process(block, world_size)
        if rows.is_cuda:
            received = torch.empty_like(sent[0])
            distributed.reduce_scatter(received, list(sent))
            target.copy_(received)
        else:
            pieces = torch.empty_like(sent)
            distributed.all_to_all_single(pieces, sent)
            torch.sum(pieces, 0, out=target)
    return out[:, : own.stop - own.start]


def _by_process(rows: Tensor, world_size: int) -> Tensor:
    """[t, P] -> [W, t, c]: the columns of each process together, zeros behind the last."""
    missing = -rows.shape[1] % world_size
    padded = torch.nn.functional.pad(rows, (0, missing)) if missing else rows
    return padded.reshape(len(rows), world_size, -1).transpose(0, 1).contiguous()


def join_columns(piece: Tensor, total: int) -> Tensor:
    """The pieces of all processes as one vector; all call it.

    Every process ends with copies of the same bits.

    Args:
        piece: [p], this process's columns as `own_columns` deals them out; any dtype.
        total: P.

    Returns:
        [P].

    Raises:
        UmbelError: The piece has another length.
    """
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    own = own_columns(total, rank, world_size)
    if piece.shape != (own.stop - own.start,):
        raise UmbelError(
            f"process {rank} of {world_size} gave a piece of shape {list(piece.shape)} to be joined to {total} "
            f"columns; it must have [{own.stop - own.start}]"
        )
    size = -(-total // world_size)
    joined = piece.new_empty(world_size, size)
    distributed.all_gather(list(joined), torch.nn.functional.pad(piece, (0, size - len(piece))))
    return joined.view(-1)[:total]
