"""PCGrad and GradVac: each gradient is corrected by the others, one after the other in random order."""

import numpy
import torch
from torch import Tensor

from umbel.arguments import real_number
from umbel.core import UmbelError
from umbel.descent.solvers.gramian import ExactWeighting, Problem

_HIGHEST = 1 - 1e-6


class GradientSurgery(ExactWeighting):
    """PCGrad: from each gradient take out, one after the other, what opposes another; the sum of what is left.

        for each i, for j ≠ i in random order:   if h_iᵀg_j < 0:  h_i <- h_i - (h_iᵀg_j / ‖g_j‖²) g_j;    d = Σ_i h_i

    Only the coefficients of h_i are kept, and all i are treated side by side. The orders are drawn by
    `torch.randperm` from torch's default generator, as TorchJD draws them.

    Reference: Yu, Kumar, Gupta, Levine, Hausman, Finn, "Gradient surgery for multi-task learning", NeurIPS 2020.
    Differs from the usual code: from the Gramian, in float64; a row of length 0 corrects nothing.
    """

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""
        matrix, count = problem.matrix, len(problem.matrix)
        everyone = numpy.arange(count)
        orders = numpy.stack([torch.randperm(count).numpy() for _ in everyone])
        orders = orders[orders != everyone[:, None]].reshape(count, count - 1)
        inverse = _inverse(matrix.diagonal())
        coefficients, products = numpy.eye(count), matrix.copy()
        for other in orders.T:
            more = numpy.maximum(-products[everyone, other], 0.0) * inverse[other]
            coefficients[everyone, other] += more
            products += more[:, None] * matrix[other]
        return coefficients.sum(0)


class GradientVaccine(ExactWeighting):
    """GradVac: each gradient is turned until its cosine with each other one is at least what it was on average.

        for each i, for j ≠ i in random order, φ = cos(h_i, g_j):
            if φ < φ̂_ij:   h_i <- h_i + ‖h_i‖ (φ̂ √(1-φ²) - φ √(1-φ̂²)) / (‖g_j‖ √(1-φ̂²)) g_j
            φ̂_ij <- (1-β) φ̂_ij + β φ;         d = Σ_i h_i

    φ̂ starts at 0, so that the first step is PCGrad's. It is the buffer `cosines`, [T, T], None before the first
    step. The orders are drawn as `torch.randperm(T - 1)` from torch's default generator, as TorchJD draws them.

    Args:
        beta: β in [0, 1], how fast the averages forget.
        eps: Added to the denominators of φ and of the correction, as in TorchJD. It damps the cosines of gradients
            shorter than √eps; 0 makes the method independent of scale.

    Raises:
        UmbelError: An argument out of range; or the number of tasks changed since the last step.

    Reference: Wang, Tsvetkov, Firat, Cao, "Gradient vaccine", ICLR 2021.
    Differs from TorchJD: in float64; an average above 1 - 1e-6, which no finite correction reaches, is aimed at as
    1 - 1e-6; a row of length 0 corrects nothing; a changed number of tasks is an error instead of a silent start anew.
    """

    cosines: Tensor | None

    def __init__(self, beta: float = 0.5, eps: float = 1e-8) -> None:
        super().__init__()
        beta, eps = real_number(beta, "gradvac: beta"), real_number(eps, "gradvac: eps")
        if not 0 <= beta <= 1:
            raise UmbelError(f"gradvac: beta is {beta}; give a number from 0 to 1")
        if not eps >= 0:
            raise UmbelError(f"gradvac: eps is {eps}; give a number that is not negative")
        self._beta, self._eps = beta, eps
        self.register_buffer("cosines", None)

    @property
    def beta(self) -> float:
        """How fast the averages forget."""
        return self._beta

    @property
    def eps(self) -> float:
        """What is added to denominators."""
        return self._eps

    def reset(self) -> None:
        """Forget the averages."""
        self.cosines = None

    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]; moves the averages."""
        matrix, count, lengths = problem.matrix, len(problem.matrix), problem.lengths
        usual, everyone = self._averages(count), numpy.arange(count)
        orders = numpy.stack([torch.randperm(count - 1).numpy() for _ in everyone])
        orders += orders >= everyone[:, None]
        coefficients, products = numpy.eye(count), matrix.copy()
        for other in orders.T:
            own = numpy.sqrt(numpy.maximum(numpy.einsum("ij,ij->i", products, coefficients), 0.0))
            cosine = products[everyone, other] * _inverse(own * lengths[other] + self.eps)
            aim = usual[everyone, other]
            more = numpy.where(cosine < aim, own * self._turn(cosine, aim, lengths[other]), 0.0)
            coefficients[everyone, other] += more
            products += more[:, None] * matrix[other]
            usual[everyone, other] = (1 - self.beta) * aim + self.beta * cosine
        self.cosines = torch.from_numpy(usual)
        return coefficients.sum(0)

    def _turn(self, cosine: numpy.ndarray, aim: numpy.ndarray, length: numpy.ndarray) -> numpy.ndarray:
        """How much of g_j, for ‖h_i‖ = 1, takes the cosine to `aim`."""
        aim = numpy.minimum(aim, _HIGHEST)
        sine, aimed = (numpy.sqrt(numpy.maximum(1 - value**2, 0.0)) for value in (cosine, aim))
        return numpy.where(length > 0, (aim * sine - cosine * aimed) * _inverse(length * aimed + self.eps), 0.0)

    def _averages(self, count: int) -> numpy.ndarray:
        if self.cosines is None:
            return numpy.zeros((count, count))
        if len(self.cosines) != count:
            raise UmbelError(
                f"gradvac keeps averages of {len(self.cosines)} tasks and was given {count}; call reset() when the "
                "tasks change"
            )
        return self.cosines.detach().to("cpu", torch.float64).numpy().copy()


def _inverse(values: numpy.ndarray) -> numpy.ndarray:
    """1 / x, and 0 for 0."""
    return numpy.divide(1.0, values, out=numpy.zeros(values.shape), where=values > 0)
