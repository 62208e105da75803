"""Which group accepts whose gradients, and the fewest streams of gradients that every group can be fed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from umbel.core import UmbelError, unknown

KINDS = ("own", "all", "measured")
"""What `accept` may be called instead of being given as a matrix."""


def accept_matrix(accept: str | Tensor | Sequence[Any], names: Sequence[str]) -> Bool[Tensor, "T T"]:
    """The matrix A of a split: A[t, g] says whether group g, which belongs to task g, accepts task t's gradient.

        >>> accept_matrix([[1, 1], [0, 1]], ["depth", "normals"]).tolist()
        [[True, True], [False, True]]

    Args:
        accept: "own" (each group its own task only), "all" (joint training), or T x T numbers that are 0 or 1.
        names: The T tasks, for the messages.

    Raises:
        UmbelError: Another word, a matrix of another size, an entry other than 0 and 1, or a task that its own group
            refuses.
    """
    count = len(names)
    if isinstance(accept, str):
        if accept not in ("own", "all"):
            raise unknown("accept of gradsplit", accept, KINDS)
        return torch.eye(count, dtype=torch.bool) if accept == "own" else torch.ones(count, count, dtype=torch.bool)
    matrix = _as_matrix(accept)
    if matrix.shape != (count, count):
        raise UmbelError(
            f"gradsplit: accept has shape {tuple(matrix.shape)}; with the {count} tasks {', '.join(names)} it must be "
            f"{count} x {count}"
        )
    if len(odd := ((matrix != 0) & (matrix != 1)).nonzero()):
        row, column = odd[0].tolist()
        value = matrix[row, column].item()
        raise UmbelError(f"gradsplit: accept[{row}, {column}] is {value:g}; every entry must be 0 or 1")
    if len(refused := (matrix.diagonal() == 0).nonzero()):
        at = int(refused[0])
        raise UmbelError(
            f"gradsplit: the group of task {names[at]!r} refuses it (accept[{at}, {at}] is 0); the diagonal must be 1"
        )
    return matrix.bool()


def _as_matrix(accept: Tensor | Sequence[Any]) -> Tensor:
    try:
        return torch.as_tensor(accept, dtype=torch.float64).detach().cpu()
    except (ValueError, TypeError, RuntimeError) as error:
        raise UmbelError(f"gradsplit: accept is not a matrix of numbers: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class StreamPlan:
    """S streams of gradients from which every group and the layers that are not split take what they accept.

    Stream s carries the gradient of Σ_t mix[s, t] L_t. Group g receives the sum of the streams that it takes, and
    what is not split the sum of all streams, for

        accept = mixᵀ takes,   1 = mixᵀ 1.

    Attributes:
        mix: [S, L] over the losses. 0 or 1 unless the matrix has dependent rows that differ.
        takes: [S, G].
    """

    mix: Float[Tensor, "S L"]
    takes: Bool[Tensor, "S G"]

    @property
    def streams(self) -> int:
        """S."""
        return len(self.mix)

    @property
    def plain(self) -> bool:
        """Whether one ordinary backward pass is all there is to it."""
        return self.streams == 1 and bool(self.takes.all())


def stream_plan(accept: Bool[Tensor, "L G"], present: Bool[Tensor, "L"] | None = None) -> StreamPlan:
    """As few streams as carry all that the groups accept: S = rank([accept, 1]).

    Losses that the same groups accept share a stream. Where the rows that are left still depend on each other, the
    others are written in terms of S of them. A loss without a label has no gradient and rides in any stream.

        >>> plan = stream_plan(torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]).bool())
        >>> plan.mix.tolist(), plan.takes.tolist()
        ([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[True, True, False], [False, False, True]])

    Args:
        accept: Which group accepts which loss.
        present: Which losses have a label; all when None. With no label at all there is one stream.
    """
    rows = torch.cat([accept, torch.ones(len(accept), 1, dtype=torch.bool)], 1)
    here = list(range(len(rows))) if present is None else present.nonzero().flatten().tolist()
    mix = torch.ones(1, len(rows), dtype=torch.float64)
    if not here:
        return StreamPlan(mix, torch.ones_like(rows[:1, :-1]))
    basis: list[Tensor] = []
    for loss in here:
        if torch.linalg.matrix_rank(torch.stack([*basis, rows[loss]]).double()) > len(basis):
            basis.append(rows[loss])
    takes = torch.stack(basis)
    mix = torch.cat([mix, torch.zeros(len(basis) - 1, len(rows))])  # where a loss without a label rides: the first
    mix[:, here] = _in_terms_of(takes.double(), rows[here].double())
    return StreamPlan(mix, takes[:, :-1])


def _in_terms_of(basis: Float[Tensor, "S N"], rows: Float[Tensor, "L N"]) -> Float[Tensor, "S L"]:
    """Each row as a sum of basis rows: coefficients X with basisᵀ X = rowsᵀ, whole numbers made exact."""
    solution = torch.linalg.lstsq(basis.T, rows.T, driver="gelsd").solution
    nearest = solution.round() + 0.0  # without a minus sign on zeros
    return torch.where((solution - nearest).abs() < 1e-9, nearest, solution)
