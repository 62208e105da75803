"""Laws of aggregators as named asserts. `aggregate` maps a Jacobian [T, P] to a vector [P]."""

from collections.abc import Callable

import torch
from torch import Tensor

Aggregate = Callable[[Tensor], Tensor]


def assert_permutation(aggregate: Aggregate, jacobian: Tensor, tolerance: float = 1e-6) -> None:
    """The order of the tasks does not matter."""
    turned = jacobian[torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(0))]
    _close(aggregate(turned), aggregate(jacobian), tolerance)


def assert_scale(aggregate: Aggregate, jacobian: Tensor, factor: float, power: float, tolerance: float = 1e-6) -> None:
    """Gradients times c give the update times c^power: 1 when it keeps their scale, 0 when it fixes its own."""
    _close(aggregate(factor * jacobian), factor**power * aggregate(jacobian), tolerance)


def assert_non_conflict(aggregate: Aggregate, jacobian: Tensor, tolerance: float = 1e-3) -> None:
    """To first order the update increases no loss: every gradient has a product >= 0 with it."""
    update = aggregate(jacobian)
    products = jacobian @ update
    allowed = tolerance * jacobian.norm(dim=1) * jacobian.norm(dim=1).max()
    assert (products >= -allowed).all(), products


def assert_linear_under_scaling(aggregate: Aggregate, jacobian: Tensor, tolerance: float = 1e-3) -> None:
    """c -> aggregate(diag(c) J) is linear for c > 0: a louder task is heard in proportion."""
    generator = torch.Generator().manual_seed(1)
    one, other = torch.rand(2, len(jacobian), 1, generator=generator, dtype=jacobian.dtype) + 0.1
    alone = 2 * aggregate(one * jacobian) + 3 * aggregate(other * jacobian)
    _close(aggregate((2 * one + 3 * other) * jacobian), alone, tolerance)


def assert_in_row_space(aggregate: Aggregate, jacobian: Tensor, tolerance: float = 1e-6) -> None:
    """The update is a combination of the gradients."""
    update = aggregate(jacobian)
    weights = torch.linalg.lstsq(jacobian.T, update.unsqueeze(1)).solution
    _close((jacobian.T @ weights).squeeze(1), update, tolerance)


def assert_agrees_without_conflict(aggregate: Aggregate, jacobian: Tensor, tolerance: float = 1e-3) -> None:
    """Where no two gradients oppose each other the update is the mean of the gradients, up to a factor."""
    assert (jacobian @ jacobian.T >= 0).all(), "this Jacobian has conflicts"
    update, mean = aggregate(jacobian), jacobian.mean(0)
    _close(update / update.norm(), mean / mean.norm(), tolerance)


def _close(one: Tensor, other: Tensor, tolerance: float) -> None:
    error = (one - other).norm() / other.norm().clamp(min=1e-12)
    assert error <= tolerance, f"relative difference {error:.2g}"
