"""Non-negative least squares for many targets at once: what hulls and cones of gradients come down to."""

import numpy

from umbel.core import UmbelError
from umbel.descent.solvers.gramian import is_definite

_MANY = 20  # unknowns from which solving all targets side by side is faster than one after the other
_SAFE = 1e-8  # smallest eigenvalue for which block pivoting is used
_SLACK = 1e-13  # what counts as negative, for columns of length 1
_CHECK = 1e-7
_ROUNDS = 25


def nonnegative_solutions(factor: numpy.ndarray, targets: numpy.ndarray) -> numpy.ndarray:
    """Minimise ‖F z - t‖ over z >= 0, for each row t of `targets`.

    With M = FᵀF and B = -tᵀF the conditions are z >= 0, q = z M + B >= 0, z ∘ q = 0. Few unknowns, or a singular M,
    go to SciPy's Lawson-Hanson one by one; many go through block principal pivoting side by side, and what that has
    not finished, to the former. Every answer is checked by its conditions.

    Args:
        factor: F, float64 [K, T], columns of length about 1.
        targets: float64 [R, K], lengths about 1.

    Returns:
        float64 [R, T].

    Raises:
        UmbelError: An answer does not meet its conditions.

    Reference: Lawson, Hanson, "Solving least squares problems", 1974; Kim, Park, "Fast nonnegative matrix
    factorization: an active-set-like method and comparisons", 2011.
    """
    unknowns = factor.shape[1]
    matrix, offsets = factor.T @ factor, -targets @ factor
    solutions, open_rows = numpy.zeros((len(targets), unknowns)), numpy.arange(len(targets))
    if len(targets) > 1 and unknowns > _MANY and is_definite(matrix, _SAFE):
        solutions, open_rows = _block_pivoting(matrix, offsets)
    for row in open_rows:
        solutions[row] = _lawson_hanson(factor, targets[row])
    worst = float((solutions @ matrix + offsets).min())
    if not worst > -_CHECK:
        raise UmbelError(
            f"non-negative least squares of {unknowns} gradients did not converge (off by {-worst:.1g}); "
            "choose another descent"
        )
    return solutions


def _lawson_hanson(factor: numpy.ndarray, target: numpy.ndarray) -> numpy.ndarray:
    from scipy.optimize import nnls  # noqa: PLC0415 - heavy

    try:
        return nnls(factor, target, maxiter=30 * factor.shape[1])[0]
    except RuntimeError as error:
        raise UmbelError(f"non-negative least squares of {factor.shape[1]} gradients: {error}") from error


def _block_pivoting(matrix: numpy.ndarray, offsets: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Solutions [R, T] and the rows that are not finished.

    Each row has a set of free unknowns. In every round all that break their sign change sides; where that does not
    help three times in a row, only the last of them does.
    """
    free, open_rows = numpy.zeros(offsets.shape, dtype=bool), numpy.arange(len(offsets))
    values, slopes = numpy.zeros(offsets.shape), offsets.copy()
    fewest, patience = numpy.full(len(offsets), offsets.shape[1] + 1), numpy.full(len(offsets), 3)
    for _ in range(_ROUNDS):
        wrong = numpy.where(free[open_rows], values[open_rows], slopes[open_rows]) < -_SLACK
        count = wrong.sum(1)
        open_rows, wrong, count = open_rows[count > 0], wrong[count > 0], count[count > 0]
        if not len(open_rows):
            break
        better = count < fewest[open_rows]
        fewest[open_rows] = numpy.minimum(count, fewest[open_rows])
        patience[open_rows] = numpy.where(better, 3, patience[open_rows] - 1)
        stuck = patience[open_rows] < 0
        last = wrong.shape[1] - 1 - wrong[:, ::-1].argmax(1)
        wrong[stuck] = numpy.arange(wrong.shape[1]) == last[stuck, None]
        free[open_rows] ^= wrong
        values[open_rows] = _on_free(matrix, offsets[open_rows], free[open_rows])
        slopes[open_rows] = values[open_rows] @ matrix + offsets[open_rows]
    return numpy.maximum(values, 0.0), open_rows


def _on_free(matrix: numpy.ndarray, offsets: numpy.ndarray, free: numpy.ndarray) -> numpy.ndarray:
    """Solve (z M + B) = 0 on the free unknowns, z = 0 elsewhere; the systems are padded to one size, [R, K, K]."""
    counts = free.sum(1)
    width = int(counts.max())
    order = numpy.argsort(~free, axis=1, kind="stable")[:, :width]
    real = numpy.arange(width) < counts[:, None]
    systems = matrix[order[:, :, None], order[:, None, :]] * (real[:, :, None] & real[:, None, :])
    systems[:, numpy.arange(width), numpy.arange(width)] += ~real
    right = -numpy.take_along_axis(offsets, order, 1) * real
    values = numpy.zeros(offsets.shape)
    numpy.put_along_axis(values, order, numpy.linalg.solve(systems, right[..., None])[..., 0], 1)
    return values
