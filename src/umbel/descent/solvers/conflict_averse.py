"""CAGrad: near the mean, best for the worst task."""

import numpy

from umbel.arguments import real_number
from umbel.core import UmbelError
from umbel.descent.solvers.gramian import ExactWeighting, Problem
from umbel.descent.solvers.minimum_norm import shortest

_ROUNDS = 100
_SLACK = 1e-13
_STILL = 1e-7  # what is left of rows that cancel, given their products only


class ConflictAverse(ExactWeighting):
    """CAGrad: d that maximises min_i g_iᵀd within the ball ‖d - g_0‖ <= c ‖g_0‖ around the mean g_0.

        min_w  g_wᵀg_0 + c ‖g_0‖ ‖g_w‖,  w >= 0, Σ w = 1;    d = g_0 + c ‖g_0‖ g_w / ‖g_w‖

    Exactly: with τ = ‖g_w‖ / (c ‖g_0‖), w gives the shortest vector in the hull of the points g_i + τ g_0. For a fixed
    set of rows with w_i > 0 both w and ‖g_w‖² are simple functions of τ, so that τ has a closed form; the right set is
    found in a few rounds, and an answer is taken when all optimality conditions hold. Two rows need no search.

    Args:
        c: Radius of the ball; 0 gives the mean. From 1 on no task is made worse to first order.
        norm_eps: Where ‖g_w‖ <= norm_eps Σ w_i ‖g_i‖ the tasks are in balance already, and the update is 0.

    Raises:
        UmbelError: A negative argument.

    Reference: Liu, Liu, Jin, Stone, Liu, "Conflict-averse gradient descent", NeurIPS 2021.
    Differs from TorchJD: solved by our own code to rounding; TorchJD takes CVXPY with Clarabel (errors around 1e-4 in
    the weights), and gives 0 where ‖J‖² < norm_eps, where a row is 0, and where one is norm_eps times shorter than J.
    Here a row of length 0 is left out of the worst case, and the others count whatever their lengths. Differs from the
    official code: no division by 1 + c afterwards.
    """

    def __init__(self, c: float = 0.5, norm_eps: float = 1e-4) -> None:
        super().__init__()
        c, norm_eps = real_number(c, "cagrad: c"), real_number(norm_eps, "cagrad: norm_eps")
        if not (0 <= c < float("inf") and norm_eps >= 0):
            raise UmbelError(f"cagrad: c is {c} and norm_eps {norm_eps}; give numbers that are not negative")
        self.c, self.norm_eps = c, norm_eps

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        count = len(problem.matrix)
        mean = numpy.full(count, 1 / count)
        if self.c == 0 or not problem.moving.any():
            return mean
        matrix = problem.matrix / problem.matrix.trace()
        along = matrix @ mean
        radius = self.c * float(numpy.sqrt(max(mean @ along, 0.0)))
        if radius <= self.c * problem.rounding:  # the mean is 0, and so is the ball
            return mean
        rows = problem.moving
        worst = _Worst(matrix[rows][:, rows], along[rows], float(mean @ along), radius, problem.rounding)
        weights, ratio = worst.solve()
        if worst.is_balanced(weights, max(self.norm_eps, _STILL)):
            return numpy.zeros(count)
        return mean + problem.spread(weights / ratio)


class _Worst:
    """min bᵀw + κ √(wᵀG w) over the simplex.

    Args:
        matrix: G, [M, M].
        along: b = g_iᵀg_0, [M].
        mean: ‖g_0‖².
        radius: κ = c ‖g_0‖.
        rounding: Of the numbers that G came in.
    """

    def __init__(
        self, matrix: numpy.ndarray, along: numpy.ndarray, mean: float, radius: float, rounding: float
    ) -> None:
        self.matrix, self.along, self.mean, self.radius, self.rounding = matrix, along, mean, radius, rounding
        self.lengths = numpy.sqrt(matrix.diagonal())

    def is_balanced(self, weights: numpy.ndarray, share: float) -> bool:
        """Whether all but `share` of the weighted rows cancel."""
        return self._length(weights) <= share * float(weights @ self.lengths)

    def solve(self) -> tuple[numpy.ndarray, float]:
        """(w, τ); w is balanced where τ would be 0."""
        if len(self.matrix) == 2:
            weights = self._of_two()
            return weights, self._length(weights) / self.radius
        weights = self._hull(0.0)  # no g_w is shorter than this one, and none longer than the longest row
        low, high = self._length(weights) / self.radius, float(self.lengths.max()) / self.radius
        if self.is_balanced(weights, _STILL):
            low = 2 * _STILL * float(weights @ self.lengths) / self.radius
            if self._length(self._hull(low)) <= self.radius * low:
                return weights, low
            weights = self._hull(low)
        ratio = low
        for _ in range(_ROUNDS):
            better, guess = self._on_support(weights > 0)
            if 0 < guess < numpy.inf and self._is_optimal(better, guess):
                return numpy.maximum(better, 0.0), guess
            ratio = guess if low < guess < high else float(numpy.sqrt(low * high))
            weights = self._hull(ratio)
            if self._length(weights) > self.radius * ratio:
                low = ratio
            else:
                high = ratio
            if high < low * (1 + 1e-12):
                break
        if not (self._is_optimal(weights, ratio, 1e-6) or self.is_balanced(weights, 100 * _STILL)):
            raise UmbelError("cagrad: the worst case of the tasks was not found; choose another descent")
        return weights, ratio

    def _length(self, weights: numpy.ndarray) -> float:
        return float(numpy.sqrt(max(weights @ self.matrix @ weights, 0.0)))

    def _hull(self, ratio: float) -> numpy.ndarray:
        """Weights of the shortest vector in the hull of g_i + τ g_0."""
        shift = ratio * self.along
        shifted = self.matrix + shift + shift[:, None] + ratio**2 * self.mean
        return shortest(Problem(shifted, self.rounding))

    def _on_support(self, support: numpy.ndarray) -> tuple[numpy.ndarray, float]:
        """The w and τ if just these rows have w_i > 0; τ is infinite where they cannot.

        G w + τ b = μ and Σ w = 1 give w = p + τ r with pᵀG r = 0, so that ‖g_w‖² = pᵀG p + τ² rᵀG r = κ² τ².
        """
        lengths, count = self.lengths[support], int(support.sum())
        inverse, least = lengths.min() / lengths, lengths.min()
        cosines = self.matrix[support][:, support] / lengths / lengths[:, None]
        system = numpy.zeros((count + 1, count + 1))  # in v = w · length / least, for very different lengths
        system[:count, :count] = cosines
        system[count, :count] = system[:count, count] = inverse
        right = numpy.zeros((count + 1, 2))
        right[count, 0], right[:count, 1] = 1.0, -self.along[support] / lengths / least
        still, turn = numpy.linalg.lstsq(system, right, rcond=None)[0][:count].T
        rest = self.radius**2 - least**2 * (turn @ cosines @ turn)
        ratio = least * float(numpy.sqrt(max(still @ cosines @ still, 0.0) / rest)) if rest > 0 else numpy.inf
        weights = numpy.zeros(len(support))
        weights[support] = (still + ratio * turn if ratio < numpy.inf else still) * inverse
        return weights, ratio

    def _is_optimal(self, weights: numpy.ndarray, ratio: float, slack: float = _SLACK) -> bool:
        """No row is nearer than the vector itself, no weight is negative, and τ fits; up to rounding of the sums."""
        slopes = self.matrix @ weights + ratio * self.along
        sizes = numpy.abs(self.matrix) @ numpy.abs(weights) + ratio * numpy.abs(self.along)
        near = slopes - weights @ slopes >= -slack * (sizes + numpy.abs(weights) @ sizes)
        fits = abs(self._length(weights) / self.radius / ratio - 1) < max(100 * slack, 1e-7)
        parts = weights * self.lengths
        positive = parts.min() >= -slack * numpy.abs(parts).sum()
        return bool(fits and positive and near.all())

    def _of_two(self) -> numpy.ndarray:
        """For g_w = w g_1 + (1 - w) g_2 the slope along w is 0 at a w in closed form, cut to [0, 1]."""
        (first, product), (_, second) = self.matrix
        apart = first + second - 2 * product
        if apart <= self.rounding * (first + second):
            return numpy.full(2, 0.5)
        area = max(first * second - product**2, 0.0)
        steep = (self.along[1] - self.along[0]) / self.radius
        if steep**2 >= apart:
            return numpy.array([1.0, 0.0]) if steep > 0 else numpy.array([0.0, 1.0])
        weight = (steep * numpy.sqrt(area / (apart - steep**2)) + second - product) / apart
        weight = float(min(max(weight, 0.0), 1.0))
        return numpy.array([weight, 1 - weight])
