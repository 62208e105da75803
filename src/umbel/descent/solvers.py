"""Weights from a Gramian, solved exactly: what the catalogue uses where TorchJD's solver is inexact or can fail."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.core import UmbelError


class GramianWeighting(nn.Module, ABC):
    """Weights of the rows of a Jacobian from its Gramian alone. Subclass it to use one's own with `Jacobian`."""

    @abstractmethod
    def forward(self, gramian: Tensor) -> Tensor:
        """G = J Jᵀ, [T, T] -> weights [T]."""


class MinimumNorm(GramianWeighting):
    """MGDA: the shortest vector in the convex hull of the rows, min ½ wᵀG w over w >= 0, Σ w = 1.

    Solved exactly as non-negative least squares: u = argmin ‖F u‖² + (Σu - 1)² with FᵀF = G, then w = u / Σu.

    Reference: Désidéri, "Multiple-gradient descent algorithm", 2012; Sener, Koltun, NeurIPS 2018.
    Differs from the usual code: Frank-Wolfe (TorchJD, LibMTL) stops with errors around 1e-3; this does not.
    """

    def forward(self, gramian: Tensor) -> Tensor:
        """[T, T] -> [T]."""
        return minimum_norm_weights(gramian)


def minimum_norm_weights(gramian: Float[Tensor, "T T"]) -> Float[Tensor, " T"]:
    """The weights of `MinimumNorm`."""
    import numpy  # noqa: PLC0415
    from scipy.optimize import nnls  # noqa: PLC0415

    root, count = _root(gramian), len(gramian)
    if root is None:
        return torch.full_like(gramian.diagonal(), 1 / count)
    stacked = torch.cat([root, torch.ones(1, count, dtype=root.dtype)]).numpy()
    solution, _ = nnls(stacked, numpy.append(numpy.zeros(count), 1.0))
    return torch.from_numpy(solution / solution.sum()).to(gramian)


def _root(gramian: Tensor) -> Tensor | None:
    """F, float64 [T, T], with FᵀF = G / max G_ii; None when every row has length 0."""
    matrix = gramian.detach().double().cpu()
    size = float(matrix.diagonal().max())
    if size <= 0:
        return None
    eigenvalues, vectors = torch.linalg.eigh(matrix / size)
    return vectors.mul(eigenvalues.clamp(min=0).sqrt()).T


class ProjectedRows(GramianWeighting):
    """UPGrad: each row is projected onto the cone of directions that oppose no row; the mean of the projections.

    Reference: Quinton, Rey, "Jacobian descent for multi-objective optimization", 2024.
    Differs from TorchJD: solved exactly, without the 1e-4 that is added to the Gramian there, and by SciPy alone.
    """

    def forward(self, gramian: Tensor) -> Tensor:
        """[T, T] -> [T]."""
        return torch.stack([projection_weights(gramian, row) for row in torch.eye(len(gramian)) / len(gramian)]).sum(0)


class ProjectedMean(GramianWeighting):
    """DualProj: the mean of the rows, projected onto the cone of directions that oppose no row.

    Reference: Lopez-Paz, Ranzato, "Gradient episodic memory for continual learning", NeurIPS 2017.
    Differs from TorchJD: as `ProjectedRows`.
    """

    def forward(self, gramian: Tensor) -> Tensor:
        """[T, T] -> [T]."""
        return projection_weights(gramian, torch.full((len(gramian),), 1 / len(gramian)))


def projection_weights(gramian: Float[Tensor, "T T"], start: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
    """Weights w of the projection of startᵀJ onto {d : J d >= 0}: min ½ wᵀG w over w >= start.

    Solved exactly as non-negative least squares: w = start + z, z = argmin ‖F z + F start‖² over z >= 0, FᵀF = G.

    Args:
        gramian: G = J Jᵀ.
        start: Weights of the vector that is projected.
    """
    from scipy.optimize import nnls  # noqa: PLC0415

    root, given = _root(gramian), start.double()
    if root is None:
        return start.to(gramian)
    more, _ = nnls(root.numpy(), -(root @ given).numpy())
    return (given + torch.from_numpy(more)).to(gramian)


class NashBargaining(GramianWeighting):
    """Nash-MTL: the bargaining solution, G a = 1 / a (elementwise), by Newton's method.

    a minimises the strictly convex ½ aᵀG a - Σ log a; a damped Newton method always reaches it, in some five to ten
    solves of a T x T system. No solver package, no state, no failure that goes unseen.

    Args:
        max_norm: The update is scaled down to this length; 0 leaves it. As ‖aᵀJ‖ = √T at the solution, the usual
            value 1 always binds, and the update is a unit vector.

    Reference: Navon et al., "Multi-task learning as a bargaining game", ICML 2022.
    Differs from the official code: that solves a sequence of convex approximations with ECOS, starting from the last
    step's weights, and keeps those silently when ECOS fails or is missing. Where tasks are in exact opposition no
    solution exists; a ridge on the Gramian of the rows' directions (1e-10, or the rounding of its precision) keeps the
    weights finite there.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        super().__init__()
        if max_norm < 0:
            raise UmbelError(f"nash-mtl: max_norm is {max_norm}; give a positive number, or 0 for no limit")
        self.max_norm = max_norm

    def forward(self, gramian: Tensor) -> Tensor:
        """[T, T] -> [T]."""
        weights = nash_weights(gramian)
        length = (weights.double() @ gramian.double() @ weights.double()).clamp(min=0).sqrt()
        return weights * (self.max_norm / length) if 0 < self.max_norm < float(length) else weights


def nash_weights(gramian: Float[Tensor, "T T"]) -> Float[Tensor, " T"]:
    """A > 0 with G a = 1 / a; a row of length 0 gets weight 0.

    Raises:
        UmbelError: Newton's method did not reach the solution.
    """
    matrix = gramian.detach().double().cpu()
    scales = matrix.diagonal().clamp(min=0).sqrt()
    moving = scales > 0
    if not bool(moving.any()):
        return torch.zeros_like(gramian.diagonal())
    # In units of each row's length the diagonal is 1, so very different gradients are no harder than equal ones.
    unit = (matrix / scales.outer(scales))[moving][:, moving]
    ridge = max(1e-10, 10 * len(unit) * torch.finfo(gramian.dtype).eps)
    unit = unit + ridge * torch.eye(len(unit), dtype=unit.dtype)
    scaled = _newton(unit)
    balance = scaled * (unit @ scaled)
    if not bool(((balance - 1).abs() < 1e-4).all()):
        raise UmbelError(
            f"nash-mtl: no solution of G a = 1/a was found (largest residual {float((balance - 1).abs().max()):.2g}); "
            "lower the learning rate or choose another descent"
        )
    weights = torch.zeros_like(scales)
    weights[moving] = scaled / scales[moving]
    return weights.to(gramian)


def _newton(matrix: Tensor, iterations: int = 500) -> Tensor:
    """Minimise ½ aᵀMa - Σ log a. In b = 1/a-scaled steps the problem is self-concordant: damping 1/(1+λ) converges."""
    point = torch.ones(len(matrix), dtype=matrix.dtype)
    for _ in range(iterations):
        gradient = point * (matrix @ point) - 1
        hessian = point[:, None] * matrix * point + torch.eye(len(matrix), dtype=matrix.dtype)
        step = torch.linalg.solve(hessian, gradient)
        decrement = float((gradient @ step).clamp(min=0).sqrt())
        point = point * (1 - step / (1 + decrement if decrement > 0.25 else 1.0))
        if decrement < 1e-10:
            break
    return point
