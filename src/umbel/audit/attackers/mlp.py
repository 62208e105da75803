"""A multi-layer perceptron: what any function of all numbers together can tell."""

import math
from functools import partial

from torch import nn

from umbel.audit.attackers.fitting import Recipe, Standardised, best_of, raw_shape
from umbel.audit.problem import Answer, Problem

# Widths of the hidden layers, dropout, weight decay.
_QUICK = (((128, 128), 0.0, 1e-3), ((128, 128), 0.3, 1e-1))
_FULL = (*_QUICK, ((256, 256, 256), 0.2, 1e-2))
_VARIANTS = {"quick": _QUICK, "full": _FULL}
_STEPS = {"quick": 300, "full": 800}


class MLP:
    """Two or three hidden layers on standardised features; width, dropout and weight decay tuned."""

    name = "mlp"
    varies = True

    def fits(self, problem: Problem) -> bool:
        """Where samples, not positions, have targets."""
        return not problem.is_dense

    def train(self, problem: Problem) -> Answer:
        """See `Attacker.train`."""
        return best_of(
            [
                (partial(_network, problem, widths, dropout), Recipe(_STEPS[problem.effort], decay=decay))
                for widths, dropout, decay in _VARIANTS[problem.effort]
            ],
            problem,
        )


def _network(problem: Problem, widths: tuple[int, ...], dropout: float) -> nn.Module:
    standard = Standardised(problem.features)
    shape = raw_shape(problem.task, problem.targets)
    layers: list[nn.Module] = [standard]
    before = standard.centre.shape[1]
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, math.prod(shape)), nn.Unflatten(1, shape))
