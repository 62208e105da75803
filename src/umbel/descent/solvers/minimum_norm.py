"""MGDA: the shortest vector of the convex hull."""

import numpy
from jaxtyping import Float
from torch import Tensor

from umbel.descent.solvers.gramian import ExactWeighting, Problem, as_problem, as_weights, root
from umbel.descent.solvers.nonnegative import nonnegative_solutions


class MinimumNorm(ExactWeighting):
    """MGDA: the shortest vector in the convex hull of the rows, min ½ wᵀG w over w >= 0, Σ w = 1.

    Solved exactly as non-negative least squares: u = argmin ‖F u‖² + (Σu - 1)² with FᵀF = G, then w = u / Σu. In
    closed form for two rows. Where a row is 0 the shortest vector is 0, and so is the update.

    Reference: Désidéri, "Multiple-gradient descent algorithm", 2012; Sener, Koltun, NeurIPS 2018.
    Differs from the usual code: Frank-Wolfe (TorchJD, LibMTL) stops with errors around 1e-3; this does not.
    """

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        return shortest(problem)


def minimum_norm_weights(gramian: Float[Tensor, "T T"]) -> Float[Tensor, " T"]:
    """The weights of `MinimumNorm`.

    Raises:
        UmbelError: The Gramian is not finite.
    """
    return as_weights(shortest(as_problem(gramian, "minimum_norm_weights")), gramian)


def shortest(problem: Problem) -> numpy.ndarray:
    """Weights >= 0, sum 1, of the shortest vector in the hull, [T]."""
    if not problem.moving.all():
        return ~problem.moving / (~problem.moving).sum()
    if len(problem.matrix) == 2:
        return _of_two(problem.matrix)
    # In units of the rows' lengths, so that very different lengths are as easy as equal ones: v = w · length.
    shares = problem.lengths.min() / problem.lengths
    stacked = numpy.vstack([root(problem.unit), shares])
    target = numpy.zeros((1, len(stacked)))
    target[0, -1] = 1.0
    weights = nonnegative_solutions(stacked, target)[0] * shares
    return weights / weights.sum()


def _of_two(matrix: numpy.ndarray) -> numpy.ndarray:
    (first, product), (_, second) = matrix
    weights = numpy.maximum([second - product, first - product], 0.0)
    total = weights.sum()
    return weights / total if total > 0 else numpy.full(2, 0.5)
