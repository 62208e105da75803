"""UPGrad and DualProj: projections onto the cone of directions that oppose no row."""

import numpy
from jaxtyping import Float
from torch import Tensor

from umbel.arguments import tensors
from umbel.core import UmbelError
from umbel.descent.solvers.gramian import ExactWeighting, Problem, as_problem, as_weights, root
from umbel.descent.solvers.nonnegative import nonnegative_solutions


class ProjectedRows(ExactWeighting):
    """UPGrad: each row is projected onto the cone of directions that oppose no row; the mean of the projections.

    Reference: Quinton, Rey, "Jacobian descent for multi-objective optimization", 2024.
    Differs from TorchJD: solved exactly, without the 1e-4 that is added to the Gramian there, by NumPy and SciPy alone.
    """

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        count = len(problem.matrix)
        more = added(problem.unit, numpy.eye(len(problem.unit)))
        lengths = problem.lengths[problem.moving]
        return 1 / count + problem.spread(lengths @ more / lengths / count)


class ProjectedMean(ExactWeighting):
    """DualProj: the mean of the rows, projected onto the cone of directions that oppose no row.

    Reference: Lopez-Paz, Ranzato, "Gradient episodic memory for continual learning", NeurIPS 2017.
    Differs from TorchJD: as `ProjectedRows`.
    """

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        return projected(problem, numpy.full(len(problem.matrix), 1 / len(problem.matrix)))


def projection_weights(gramian: Float[Tensor, "T T"], start: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
    """Weights w of the projection of startᵀJ onto {d : J d >= 0}: min ½ wᵀG w over w >= start.

    Solved exactly as non-negative least squares: w = start + z, z = argmin ‖F z + F start‖² over z >= 0, FᵀF = G.

    Args:
        gramian: G = J Jᵀ.
        start: Weights of the vector that is projected.

    Raises:
        UmbelError: The Gramian is not finite.
    """
    tensors("projection_weights", gramian=gramian, start=start)
    if start.shape != gramian.shape[:1]:
        raise UmbelError(f"projection_weights: start has shape {list(start.shape)}; give one for each of the rows")
    given = start.detach().double().cpu().numpy()
    return as_weights(projected(as_problem(gramian, "projection_weights"), given), gramian)


def projected(problem: Problem, start: numpy.ndarray) -> numpy.ndarray:
    """The weights of `projection_weights`, [T]."""
    lengths = problem.lengths[problem.moving]
    scaled = start[problem.moving] * lengths
    size = numpy.abs(scaled).max(initial=0.0)
    if size == 0:
        return start
    return start + problem.spread(added(problem.unit, scaled[None] / size)[0] * size / lengths)


def added(unit: numpy.ndarray, starts: numpy.ndarray) -> numpy.ndarray:
    """What projecting each of `starts` adds to it, in units of the rows' lengths: [R, M] -> [R, M], none negative."""
    slopes = starts @ unit
    if len(unit) == 2:
        more = numpy.maximum(-slopes, 0.0)
        if ((slopes + more @ unit) > -1e-15).all():  # one row in the way: closed form
            return more
    solutions, busy = numpy.zeros(slopes.shape), (slopes < 0).any(1)
    if busy.any():
        factor = root(unit)
        solutions[busy] = nonnegative_solutions(factor, -starts[busy] @ factor.T)
    return solutions
