"""The update of several processes from their rows, with the least traffic."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.core import Runtime, UmbelError

_COLUMNS = 8192  # whose products are summed in the dtype of the rows
_MOST_BLOCKS = 64  # on a GPU, where every block is a launch and a long sum is one of many short ones


def combined_rows(
    jacobian: Float[Tensor, "tasks parameters"],
    weigh: Callable[[Tensor], Tensor],
    runtime: Runtime,
) -> Float[Tensor, " parameters"]:
    """The weighted sum of rows that are summed over the processes, without any process ever holding all of them.

        part = columns of this process of J = Σ_processes jacobian      [T, p],  p ≈ P / W
        G    = Σ_processes part partᵀ                                   [T, T]
        w    = weigh(G)                                                 [T]
        update = the pieces w @ part of all processes, joined           [P]

    Elements that a process sends: T P (W - 1)/W for the rows and P (W - 1)/W for the update, in the dtype of the rows,
    and 2 T² (W - 1)/W for G, in float64. An all-reduce of the rows alone would send 2 T P (W - 1)/W. Any exact method
    that needs all of G has to bring the rows of a column together, which is the first term.

    `weigh` is called on every process with the same bits: each entry of G is summed on one process and copied to the
    others, so nothing depends on how a backend orders an all-reduce. Each piece of the update is computed on one
    process and copied, too, so the networks stay identical even where processors round the weights differently.

    `weigh` is also the place to look at G before anything is solved: a row is finite if and only if its element of
    the diagonal is (off it, a bad row spoils the others'), unless its squared norm overflows. An error that `weigh`
    raises because of G is raised by all processes, and none is left waiting.

    Args:
        jacobian: This process's rows, detached, of the same shape and dtype on every process; left as they were.
        weigh: G [T, T], float64, to weights [T] of any floating point dtype. Must depend only on G and on what
            is equal on all processes (a generator with the same seed, say).
        runtime: The processes.

    Returns:
        [P] in the dtype of the rows, the same bits on every process.

    Raises:
        UmbelError: `weigh` does not give one weight for each row.
    """
    count, total = jacobian.shape
    part = runtime.sum_scattered(jacobian)
    weights = weigh(_sum_alike(gramian(part), runtime))
    if weights.shape != (count,):
        raise UmbelError(f"weights of shape {list(weights.shape)} for {count} rows; there must be one for each row")
    precise = _precise(part)
    return runtime.gather((weights.to(precise) @ part.to(precise)).to(part.dtype), total)


def gramian(rows: Float[Tensor, "tasks columns"]) -> Float[Tensor, "tasks tasks"]:
    """The inner products of rows, [T, T], in float64.

    Products are summed in the dtype of the rows (float32 for half precision) within blocks of columns, and the blocks
    in float64. For float32 rows on a processor that takes about as long as one product, which is 1e-3 off at five
    million columns where this is 1e-7 off; float64 throughout takes three times as long. With float64 rows everything
    is float64.

    Args:
        rows: [T, p]; p may be 0.
    """
    products = rows.new_zeros(len(rows), len(rows), dtype=torch.float64)
    for block in rows.split(max(_COLUMNS, -(-rows.shape[1] // _MOST_BLOCKS) if rows.is_cuda else 0), dim=1):
        precise = block.to(_precise(rows))
        products += precise @ precise.T
    return products


def _precise(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)


def _sum_alike(table: Tensor, runtime: Runtime) -> Tensor:
    """The sum over processes, the same bits on all, for what an all-reduce sends."""
    return runtime.gather(runtime.sum_scattered(table.reshape(1, -1))[0], table.numel()).view_as(table)
