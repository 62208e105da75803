"""Logistic and linear regression: what a straight line can tell."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from umbel.audit.attackers.decoders import coarse_size, resized
from umbel.audit.attackers.fitting import Recipe, Standardised, best_of, judged
from umbel.audit.judging import better
from umbel.audit.problem import Answer, Problem

_STRENGTHS = {"quick": (1e-1, 1e-3, 1e-5), "full": (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6)}
_ROUNDS = {"quick": 25, "full": 60}
_DENSE_BATCH = 32
_DENSE_STEPS = {"quick": 150, "full": 500}


class Linear:
    """One layer on standardised features by the task's own loss, with the strength of its L2 penalty tuned.

    A dense task is answered at each position of a map from what the map has there, and brought to the target's size.
    """

    name = "linear"
    varies = False

    def fits(self, problem: Problem) -> bool:
        """Always."""
        return True

    def train(self, problem: Problem) -> Answer:
        """See `Attacker.train`."""
        if problem.is_dense:
            steps = _DENSE_STEPS[problem.effort]
            return best_of(
                [(partial(_Positions, problem), Recipe(steps, rate=1e-2, decay=0.0, batch=_DENSE_BATCH))], problem
            )
        network = _Vector(problem)
        best, weights = math.nan, {name: value.clone() for name, value in network.state_dict().items()}
        for strength in _STRENGTHS[problem.effort]:  # from simple to free, each from where the last one ended
            _minimise(network, problem, strength, _ROUNDS[problem.effort])
            score = judged(network, problem)
            if better(problem.task, score, best):
                best, weights = score, {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(weights)
        return network.eval()


class _Vector(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.standard = Standardised(problem.features)
        self.shape = problem.targets.shape[1:] if problem.targets.is_floating_point() else (problem.task.outputs,)
        self.layer = nn.Linear(self.standard.centre.shape[1], math.prod(self.shape))
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(self.standard(features)).reshape(len(features), *self.shape)


def _minimise(network: "_Vector", problem: Problem, strength: float, rounds: int) -> None:
    """L-BFGS on all training samples: the mean loss and the penalty."""
    inputs, layer = network.standard(problem.features), network.layer
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=rounds, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        raw = layer(inputs).reshape(len(inputs), *network.shape)
        loss = problem.task.mean_loss(raw, problem.targets) + 0.5 * strength * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


class _Positions(nn.Module):
    """A linear map at each position, or to a coarse map from features without positions."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.size, outputs = problem.size, problem.task.outputs
        self.standard = Standardised(problem.features, by_channel=problem.is_map)
        self.coarse = None if problem.is_map else coarse_size(self.size)
        channels = self.standard.centre.shape[1]
        self.layer: nn.Module = (
            nn.Conv2d(channels, outputs, 1)
            if self.coarse is None
            else nn.Sequential(
                nn.Linear(channels, outputs * math.prod(self.coarse)), nn.Unflatten(1, (outputs, *self.coarse))
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        return resized(self.layer(self.standard(features)), self.size)
