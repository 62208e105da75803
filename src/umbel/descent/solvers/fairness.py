"""Nash-MTL and FairGrad: G a = a^(-1/α), by Newton's method."""

import numpy
from jaxtyping import Float
from torch import Tensor

from umbel.arguments import real_number, whole_number
from umbel.core import UmbelError
from umbel.descent.solvers.gramian import ExactWeighting, Problem, as_problem, as_weights, is_definite

_RIDGE = 1e-10
_SAFE = 1e-8  # smallest eigenvalue for which no ridge is added
_ROUNDS = 500
_RESIDUAL = 1e-4


class NashBargaining(ExactWeighting):
    """Nash-MTL: the bargaining solution, G a = 1 / a (elementwise), by Newton's method.

    a minimises the strictly convex ½ aᵀG a - Σ log a; Newton's method with a line search always reaches it, in some
    five to ten solves of a T x T system; two rows have a closed form. No solver package, no state, no failure that
    goes unseen.

    Args:
        max_norm: The update is scaled down to this length; 0 leaves it. As ‖aᵀJ‖ = √T at the solution, the usual
            value 1 always binds, and the update is a unit vector.

    Reference: Navon et al., "Multi-task learning as a bargaining game", ICML 2022.
    Differs from the official code: that solves a sequence of convex approximations with ECOS, starting from the last
    step's weights, and keeps those silently when ECOS fails or is missing. Where tasks are in exact opposition no
    solution exists; a ridge on the Gramian of the rows' directions (1e-10, or the rounding of its precision) keeps the
    weights finite there. A row of length 0 gets weight 0.
    """

    def __init__(self, max_norm: float = 1.0) -> None:
        super().__init__()
        max_norm = real_number(max_norm, "nash-mtl: max_norm")
        if not max_norm >= 0:
            raise UmbelError(f"nash-mtl: max_norm is {max_norm}; give a positive number, or 0 for no limit")
        self.max_norm = max_norm

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        weights = fair(problem, 1.0, "nash-mtl")
        length = float(numpy.sqrt(max(weights @ problem.matrix @ weights, 0.0)))
        return weights * (self.max_norm / length) if 0 < self.max_norm < length else weights


class AlphaFair(ExactWeighting):
    """FairGrad: the α-fair step, G a = a^(-1/α) (elementwise), by Newton's method.

    a is the minimum of a strictly convex function, ½ aᵀG a - Σ a^(1 - 1/α) / (1 - 1/α), for every α > 0. α = 1 is
    the bargaining solution of Nash-MTL without its limit of length, α = 0 the mean.

    Args:
        alpha: How much the worst-off task counts, α >= 0.
        max_iters: Newton steps before giving up with an error; None for 500. Five to fifteen are usual.

    Reference: Ban, Ji, "Fair resource allocation in multi-task learning", ICML 2024, equation 4.
    Differs from the official code and TorchJD: those solve it by SciPy's least squares from 1/T, whose result depends
    on its stopping rule and is not checked. Rows of length 0 and exact opposition as in `NashBargaining`.
    """

    def __init__(self, alpha: float = 2.0, max_iters: int | None = None) -> None:
        super().__init__()
        alpha = real_number(alpha, "fairgrad: alpha")
        max_iters = None if max_iters is None else whole_number(max_iters, "fairgrad: max_iters")
        if not 0 <= alpha < float("inf"):
            raise UmbelError(f"fairgrad: alpha is {alpha}; give 0 or a positive number")
        if max_iters is not None and max_iters < 1:
            raise UmbelError(f"fairgrad: max_iters is {max_iters}; give a positive number, or None")
        self.alpha, self.max_iters = alpha, max_iters

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        if self.alpha == 0:
            return numpy.full(len(problem.matrix), 1 / len(problem.matrix))
        return fair(problem, self.alpha, "fairgrad", self.max_iters or _ROUNDS)


def nash_weights(gramian: Float[Tensor, "T T"]) -> Float[Tensor, " T"]:
    """The a > 0 with G a = 1 / a; a row of length 0 gets weight 0.

    Raises:
        UmbelError: The Gramian is not finite, or Newton's method did not reach the solution.
    """
    return as_weights(fair(as_problem(gramian, "nash_weights"), 1.0, "nash-mtl"), gramian)


def fair(problem: Problem, alpha: float, who: str, rounds: int = _ROUNDS) -> numpy.ndarray:
    """The a with G a = a^(-1/α), [T].

    In units of what each row would get alone, a = v · G_ii^(-α/(1+α)), it is C½ U C½ v = C v^(-1/α) with the cosines
    U and C = G_ii^((1-α)/(1+α)): very different lengths are as easy as equal ones.
    """
    lengths, cosines = problem.lengths[problem.moving], problem.unit
    if not len(lengths):
        return numpy.zeros(len(problem.matrix))
    size = lengths.max()
    share = alpha / (1 + alpha)
    alone = (lengths / size) ** (-2 * share)
    weight = (lengths / size) ** ((1 - alpha) / (1 + alpha))
    if not is_definite(cosines, max(_SAFE, 10 * problem.rounding)):
        cosines = cosines + max(_RIDGE, 10 * problem.rounding) * numpy.eye(len(cosines))
    if alpha == 1 and len(cosines) == 2:
        amounts = (cosines[0, 0] + cosines[0, 1]) ** -0.5 * numpy.ones(2)
    else:
        with numpy.errstate(over="ignore", invalid="ignore"):  # what comes of it is checked below
            amounts = _newton(cosines, weight, 1 / alpha, rounds)
    pull = weight * amounts ** (-1 / alpha)
    unsure = 1e-12 * numpy.abs(cosines) @ (weight * amounts)  # what rounding leaves of terms that cancel
    off = float((numpy.abs(cosines @ (weight * amounts) - pull) / (pull + unsure / _RESIDUAL)).max())
    if not off < _RESIDUAL:
        raise UmbelError(
            f"{who}: no solution of G a = a^(-1/{alpha:g}) was found (largest residual {off:.2g}); "
            "lower the learning rate or choose another descent"
        )
    return problem.spread(amounts * alone * size ** (-2 * share))


def _newton(cosines: numpy.ndarray, weight: numpy.ndarray, power: float, rounds: int) -> numpy.ndarray:
    """The v > 0 with U (c v) = c v^(-power), c = `weight`; steps and residuals in the scale of c v."""
    amounts, index = numpy.ones(len(cosines)), numpy.arange(len(cosines))
    size = numpy.abs(cosines)
    for _ in range(rounds):
        load, pull = cosines @ (weight * amounts), weight * amounts**-power
        gap = load - pull
        if (numpy.abs(gap) <= 1e-16 * len(gap) * (size @ (weight * amounts) + pull)).all():
            break
        hessian = cosines.copy()
        hessian[index, index] += power * amounts ** (-power - 1)
        step = -numpy.linalg.solve(hessian, gap)
        change = step / weight
        length = _line_search(amounts, change, power, (float(step @ load), float(step @ cosines @ step), step * weight))
        small = numpy.abs(change / amounts).max() < 1e-10  # convergence is quadratic: nothing is left after this one
        amounts = amounts + length * change
        if small:
            break
    return amounts


def _line_search(
    amounts: numpy.ndarray, change: numpy.ndarray, power: float, terms: tuple[float, float, numpy.ndarray]
) -> float:
    """A step length at which the slope of the convex objective has fallen to half or less, either sign.

    The slope at t is terms[0] + t terms[1] - Σ terms[2] (v + t change)^(-power).
    """
    down = change < 0
    falling = float((-amounts[down] / change[down]).min(initial=numpy.inf))
    constant, linear, barrier = terms

    def slope(length: float) -> float:
        return float(constant + length * linear - barrier @ (amounts + length * change) ** -power)

    enough = 0.5 * abs(slope(0.0))
    low, high, length = 0.0, 0.99 * falling, min(1.0, 0.99 * falling)
    for _ in range(60):
        here = slope(length)
        if here > enough:
            high = length
        elif here < -enough and length < high:
            low = length
        else:
            break
        length = min(2 * length, high) if high > 2 * length and here < 0 else (low + high) / 2
    return length
