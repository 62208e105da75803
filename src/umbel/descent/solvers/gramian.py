"""What every solver does first and last: check a Gramian, take it to float64 on the processor, give weights back."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy
import torch
from torch import Tensor, nn

from umbel.arguments import tensors
from umbel.core import UmbelError


class GramianWeighting(nn.Module, ABC):
    """Weights of the rows of a Jacobian from its Gramian alone. Subclass it to use one's own with `Jacobian`."""

    @abstractmethod
    def forward(self, gramian: Tensor) -> Tensor:
        """G = J Jᵀ, [T, T] -> weights [T]."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A Gramian as the solvers want it.

    Attributes:
        matrix: G, float64 [T, T], symmetric and finite.
        rounding: T times the relative rounding of the numbers that G was given in.
    """

    matrix: numpy.ndarray
    rounding: float

    @cached_property
    def lengths(self) -> numpy.ndarray:
        """‖g_i‖, [T]."""
        return numpy.sqrt(numpy.maximum(self.matrix.diagonal(), 0.0))

    @cached_property
    def moving(self) -> numpy.ndarray:
        """Which rows are not zero, bool [T]; let their number be M."""
        return self.lengths > 0

    @cached_property
    def unit(self) -> numpy.ndarray:
        """The Gramian of the directions of the moving rows, that is, their cosines, [M, M]."""
        lengths = self.lengths[self.moving]
        cosines = self.matrix[self.moving][:, self.moving] / lengths / lengths[:, None]
        numpy.fill_diagonal(cosines, 1.0)
        return cosines.clip(-1.0, 1.0)

    def spread(self, values: numpy.ndarray) -> numpy.ndarray:
        """Values of the moving rows, [M], among zeros for the others, [T]."""
        everything = numpy.zeros(len(self.matrix))
        everything[self.moving] = values
        return everything


class ExactWeighting(GramianWeighting):
    """A weighting that is solved in float64 on the processor, whatever the Gramian is in.

    Raises:
        UmbelError: The Gramian is not square or not finite.
    """

    def forward(self, gramian: Tensor) -> Tensor:
        """[T, T] -> [T], in the Gramian's precision and on its device."""
        return as_weights(self.solve(as_problem(gramian, type(self).__name__)), gramian)

    @abstractmethod
    def solve(self, problem: Problem) -> numpy.ndarray:
        """The weights, [T]."""


def as_problem(gramian: Tensor, who: str) -> Problem:
    """A Gramian, checked and made exactly symmetric.

    Args:
        gramian: [T, T], any floating type.
        who: The weighting, for the message.

    Raises:
        UmbelError: It is not square, or not finite.
    """
    tensors(who, gramian=gramian)
    if gramian.ndim != 2 or len(gramian) != gramian.shape[-1] or not len(gramian):
        raise UmbelError(f"{who} needs a Gramian of shape [T, T], T >= 1; this one has {list(gramian.shape)}")
    matrix = gramian.detach().to("cpu", torch.float64).numpy()
    if not numpy.isfinite(matrix).all():
        raise UmbelError(
            f"{who}: the Gramian of the gradients is not finite; lower the learning rate or look at the inputs"
        )
    return Problem((matrix + matrix.T) / 2, len(matrix) * torch.finfo(gramian.dtype).eps)


def as_weights(weights: numpy.ndarray, gramian: Tensor) -> Tensor:
    """[T], back in the Gramian's precision and on its device."""
    return torch.from_numpy(weights).to(gramian)


def is_definite(matrix: numpy.ndarray, margin: float = 0.0) -> bool:
    """Whether every eigenvalue is above `margin`, as far as rounding lets one say."""
    try:
        numpy.linalg.cholesky(matrix - margin * numpy.eye(len(matrix)) if margin else matrix)
    except numpy.linalg.LinAlgError:
        return False
    return True


def root(matrix: numpy.ndarray) -> numpy.ndarray:
    """F with FᵀF = M, [T, T]; eigenvalues that rounding made negative count as 0."""
    try:
        return numpy.linalg.cholesky(matrix).T
    except numpy.linalg.LinAlgError:
        eigenvalues, vectors = numpy.linalg.eigh(matrix)
        return (vectors * numpy.sqrt(numpy.maximum(eigenvalues, 0.0))).T
