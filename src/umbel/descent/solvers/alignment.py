"""IMTL-G, ConFIG and Aligned-MTL: equal projections, equal cosines, equal components."""

from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from umbel.core import UmbelError
from umbel.descent.solvers.gramian import ExactWeighting, Problem, is_definite
from umbel.errors import shown

_SAFE = 1e-8  # smallest eigenvalue for which nothing is taken as dependent
_SCALES = ("min", "median", "rmse")
Preference = Tensor | Sequence[float] | None


class EqualProjections(ExactWeighting):
    """IMTL-G: the update has the same projection on the direction of every gradient; the weights sum to 1.

    With the cosines U and lengths ℓ of the rows, w ∝ U⁺1 / ℓ; for two rows w = (ℓ_2, ℓ_1) / (ℓ_1 + ℓ_2). The update is
    0 where these sum to 0, as for opposed rows; a row of length 0 gets weight 0.

    Reference: Liu et al., "Towards impartial multi-task learning", ICLR 2021; Quinton, Rey, "Jacobian descent for
    multi-objective optimization", 2024, for the pseudo-inverse.
    Differs from TorchJD where rows are linearly dependent: there the pseudo-inverse of G decides, here that of U, so
    that lengths do not decide which rows count as dependent; and a sum is 0 relative to its terms, at any scale.
    """

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        lengths = problem.lengths[problem.moving]
        if not len(lengths):
            return numpy.zeros(len(problem.matrix))
        if len(lengths) == 2 and problem.unit[0, 1] > 2 * problem.rounding - 1:
            return problem.spread(lengths[::-1] / lengths.sum())
        shares = _solve(problem, numpy.ones(len(lengths))) * (lengths.min() / lengths)
        total = shares.sum()
        return problem.spread(shares / total if abs(total) > 1e-12 * numpy.abs(shares).sum() else 0 * shares)


class ConflictFree(ExactWeighting):
    """ConFIG: the direction with the same cosine to every gradient, as long as the sum of the projections on it.

    With unit rows u_i and their cosines U: x = Σ c_i u_i, c = U⁺p, and d = (Σ_i g_iᵀx) x / ‖x‖².

    Args:
        pref_vector: p, T numbers: what the cosines are proportional to. None for equal ones.

    Raises:
        UmbelError: `pref_vector` is not a vector, or has a negative number or none above 0; while training:
            it does not have one number for each row.

    Reference: Liu, Chu, Thuerey, "ConFIG: towards conflict-free training of physics informed neural networks", 2024.
    Differs from the official code and TorchJD: from the Gramian; rows count as dependent where it cannot tell.
    """

    def __init__(self, pref_vector: Preference = None) -> None:
        super().__init__()
        self.pref_vector = _checked(pref_vector, "config")

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        wanted = _for_rows(self.pref_vector, problem, "config", default=1.0)
        lengths = problem.lengths[problem.moving]
        if not len(lengths):
            return numpy.zeros(len(problem.matrix))
        shares = _solve(problem, wanted[problem.moving])
        along = problem.unit @ shares
        square = shares @ along
        if square <= 4 * problem.rounding * (numpy.abs(shares) ** 2).sum():
            return numpy.zeros(len(problem.matrix))
        return problem.spread(shares / lengths * (lengths @ along / square))


class AlignedComponents(ExactWeighting):
    """Aligned-MTL: the principal components of the gradients are made equally long before they are added.

    With G = V Λ Vᵀ (eigenvalues above rounding): w = √s V Λ^(-1/2) Vᵀ p, s the smallest, median or mean of Λ.

    Args:
        pref_vector: p, T numbers; None for 1/T each.
        scale_mode: s: "min" as in the paper, "median", or "rmse" (the mean) as in the original code.

    Raises:
        UmbelError: An unknown `scale_mode`, or `pref_vector` is not a vector; while training: it does not have one
            number for each row.

    Reference: Senushkin et al., "Independent component alignment for multi-task learning", CVPR 2023.
    Differs from TorchJD: in float64, whatever the Gramian is in. LibMTL takes p = 1.
    """

    def __init__(self, pref_vector: Preference = None, scale_mode: str = "min") -> None:
        super().__init__()
        if not isinstance(scale_mode, str) or scale_mode not in _SCALES:
            raise UmbelError(f"aligned-mtl: scale_mode is {shown(scale_mode)}; give one of {', '.join(_SCALES)}")
        self.pref_vector = _checked(pref_vector, "aligned-mtl")
        self.scale_mode = scale_mode

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        count = len(problem.matrix)
        wanted = _for_rows(self.pref_vector, problem, "aligned-mtl", default=1 / count)
        eigenvalues, vectors = numpy.linalg.eigh(problem.matrix)
        kept = eigenvalues > max(eigenvalues.max(), 0.0) * problem.rounding
        if not kept.any():
            return wanted
        values, vectors = eigenvalues[kept], vectors[:, kept]
        middle = values[(len(values) - 1) // 2]
        scale = {"min": values[0], "median": middle, "rmse": values.mean()}[self.scale_mode]
        return vectors @ (numpy.sqrt(scale / values) * (wanted @ vectors))


def _solve(problem: Problem, right: numpy.ndarray) -> numpy.ndarray:
    """U⁺ right, [M]."""
    if is_definite(problem.unit, max(_SAFE, 10 * problem.rounding)):
        return numpy.linalg.solve(problem.unit, right)
    eigenvalues, vectors = numpy.linalg.eigh(problem.unit)
    kept = eigenvalues > 10 * problem.rounding * eigenvalues[-1]
    return vectors[:, kept] @ ((right @ vectors[:, kept]) / eigenvalues[kept])


def _checked(preference: Preference, who: str) -> numpy.ndarray | None:
    if preference is None:
        return None
    try:
        values = torch.as_tensor(preference, dtype=torch.float64).detach().cpu().numpy().copy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UmbelError(f"{who}: pref_vector is {shown(preference)}; give one number for each task") from error
    if values.ndim != 1 or not len(values) or not numpy.isfinite(values).all():
        raise UmbelError(f"{who}: pref_vector must be a list of finite numbers, one for each task")
    if (values < 0).any() or not values.any():
        raise UmbelError(
            f"{who}: pref_vector is {shown(values.tolist())}; give numbers of 0 or more, at least one above 0: others "
            "would teach no task, or against one"
        )
    return values


def _for_rows(preference: numpy.ndarray | None, problem: Problem, who: str, default: float) -> numpy.ndarray:
    count = len(problem.matrix)
    if preference is None:
        return numpy.full(count, default)
    if len(preference) != count:
        reason = ValueError(f"{len(preference)} numbers for {count} rows")  # what tells a missing row from other faults
        raise UmbelError(f"{who}: pref_vector has {reason}") from reason
    return preference
