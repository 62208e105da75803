"""Linear maps that are fitted in closed form: ridge regression, of full rank or reduced, and principal components."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umbel.errors import UmbelError

RIDGES = (1e-4, 1e-2, 1.0, 1e2, 1e4)
"""Penalties to choose from on validation."""


class LinearMap(nn.Module):
    """y = x W + b with fixed W, kept as one matrix [F, K] or as two of a smaller rank, [F, r] and [r, K].

    Args:
        matrices: One or two.
        bias: [K].
    """

    def __init__(self, matrices: Sequence[Tensor], bias: Tensor) -> None:
        super().__init__()
        if len(matrices) not in (1, 2):
            raise UmbelError(f"a linear map of {len(matrices)} matrices; give one, or two of a smaller rank")
        for number, matrix in enumerate(matrices):
            self.register_buffer(f"matrix_{number}", matrix.clone())
        self.register_buffer("bias", bias.clone())

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        """One, or two whose product it is."""
        return tuple(self._buffers[name] for name in ("matrix_0", "matrix_1") if name in self._buffers)  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """[B, F] -> [B, K]."""
        *first, last = self.matrices
        for matrix in first:
            x = x @ matrix
        return torch.addmm(self.bias, x, last)  # type: ignore[arg-type]


def ridge(
    x: Tensor,
    y: Tensor,
    x_validation: Tensor,
    y_validation: Tensor,
    rank: int | None = None,
    ridges: Sequence[float] = RIDGES,
) -> LinearMap:
    """Ridge regression in double precision; the penalty is the one with the least squared error on validation.

        W = argmin |X W - Y|² + λ |W|²,      of rank r: W V_r V_rᵀ, V_r the first right singular vectors of X W

    The reduced rank is that of Izenman (1975): what fits best among all maps of this rank. Give outputs in the units
    in which errors are to count.

    Args:
        x: [n, F], inputs about 0 with a spread of about 1.
        y: [n, K].
        x_validation: [m, F].
        y_validation: [m, K].
        rank: Of W; None, or as much as F or K, leaves it whole.
        ridges: Penalties to choose from.
    """
    x, y, x_validation, y_validation = (t.double() for t in (x, y, x_validation, y_validation))
    centre, bias = x.mean(0), y.mean(0)
    x, y = x - centre, y - bias
    gram, moments, eye = x.T @ x, x.T @ y, torch.eye(x.shape[1], dtype=torch.float64)
    fits = [torch.linalg.solve(gram + penalty * eye, moments) for penalty in ridges]
    errors = [((x_validation - centre) @ w + bias - y_validation).square().mean() for w in fits]
    w = fits[int(torch.stack(errors).argmin())]
    bias = bias - centre @ w
    if rank is None or rank >= min(w.shape):
        return LinearMap([w], bias)
    directions = torch.linalg.eigh(w.T @ gram @ w)[1][:, -rank:].flip(1)
    kept = w @ directions
    return LinearMap([kept, directions.T], y.new_tensor(0.0) + bias + centre @ (w - kept @ directions.T))


def principal_components(x: Tensor, count: int) -> Tensor:
    """The first principal directions of samples, each as long as the standard deviation along it: [count, K].

    Fewer where there are fewer dimensions or samples.

    Args:
        x: [n, K].
        count: At least 1.
    """
    x = x.double()
    values, vectors = torch.linalg.eigh(x.T @ x / max(len(x), 1))
    order = values.argsort(descending=True)[: min(count, *x.shape)]
    return vectors[:, order].T * values[order].clamp(min=0).sqrt()[:, None]
