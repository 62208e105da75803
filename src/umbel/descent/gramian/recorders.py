"""What is made of the gradients that come by a site, one for each task."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.descent.gramian.sites import Site


class Recorder(ABC):
    """Gets the gradient of a site's output in the walk of every task.

    Args:
        site: Where it stands.

    Attributes:
        task: The number of the walk.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.task = 0

    @abstractmethod
    def add(self, gradient: Tensor) -> None:
        """Take the gradient of the output of this task's loss."""

    def passed(self, gradients: tuple[Tensor | None, ...]) -> None:
        """A walk is at the site: called by autograd before it goes on below."""
        if gradients[0] is not None:
            self.add(gradients[0])


class Deltas(Recorder):
    """Keeps the deltas: the Gramian follows from them and the inputs, and so does every weighted sum of the gradients.

        <g_i, g_j> = <Δ_i, (A Aᵀ) Δ_j>,      Σ_t w_t g_t = (Σ_t w_t Δ_t)ᵀ A

    which costs N (K + T C) multiplications for each of the N rows, where T weight gradients cost T K C.

    Args:
        site: It must have a matrix of inputs (`unfolds`).
        tasks: T.
    """

    def __init__(self, site: Site, tasks: int) -> None:
        super().__init__(site)
        self._tasks = tasks
        self._deltas: Tensor | None = None
        self._shape = torch.Size()

    def add(self, gradient: Tensor) -> None:
        """Copy it."""
        delta = self.site.delta_matrix(gradient)
        if self._deltas is None:
            self._deltas = delta.new_zeros(self._tasks, *delta.shape)
            self._shape = gradient.shape
        self._deltas[self.task].copy_(delta)

    def gramian(self) -> Float[Tensor, "T T"] | None:
        """What the weight adds to the Gramian; None when no walk came by."""
        if self._deltas is None:
            return None
        inputs = self.site.input_matrix().to(self._deltas.dtype)
        seen = torch.matmul(inputs @ inputs.T, self._deltas)
        return _wide(self._deltas.flatten(1)) @ _wide(seen.flatten(1)).T

    def teach(self, weights: Float[Tensor, " T"]) -> None:
        """Set the weight's `.grad` to Σ_t w_t g_t; None stays where no walk came by."""
        if self._deltas is None:
            return
        delta = weights.to(self._deltas) @ self._deltas.flatten(1)
        if self.site.is_convolution:
            batch, channels, *places = self._shape
            gradient = delta.view(batch, *places, channels).movedim(-1, 1)
        else:
            gradient = delta.view(self._shape)
        self.site.parameter.grad = self.site.weight_gradient(gradient)

    def drop(self) -> None:
        """Let go of the deltas."""
        self._deltas = None


class Sketch(Recorder):
    """Keeps each task's gradient in a few random directions: S = Δᵀ(AΩᵀ)/√R, so that E[S_i · S_j] = <g_i, g_j>.

    Args:
        site: Where.
        directions: Ω [R, K], entries ±1: the same for all tasks (and all processes) of a step.
        out: [T, C R], where it writes; zero before.
    """

    def __init__(self, site: Site, directions: Float[Tensor, "R K"], out: Float[Tensor, "T Q"]) -> None:
        super().__init__(site)
        self._projected = site.projected(directions) * len(directions) ** -0.5
        self._out = out.view(len(out), site.outputs, len(directions))

    def add(self, gradient: Tensor) -> None:
        """Project it."""
        projected = self._projected.to(gradient.dtype)
        if self.site.is_convolution and gradient.is_contiguous():
            maps = gradient.flatten(2)
            sketch = torch.bmm(maps, projected.view(len(maps), -1, projected.shape[1])).sum(0, dtype=self._out.dtype)
        else:
            sketch = self.site.delta_matrix(gradient).T @ projected
        self._out[self.task].copy_(sketch)


def _wide(tensor: Tensor) -> Tensor:
    """At least float32: sums of bf16 products lose too much."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
