"""How attackers that are networks learn: AdamW with a rate that rises and falls, the best weights by validation."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umbel.audit.judging import better, score_of
from umbel.audit.problem import Problem
from umbel.core import Task

_LEAST_BATCH = 32  # a sixteenth of the samples from there on
_VALIDATIONS = 12
_PASSES = 50  # beyond which a small set is only learnt by heart
_WARM = 0.15  # of the steps, in which the rate rises


@dataclass(frozen=True)
class Recipe:
    """How one variant of a network learns.

    Attributes:
        steps: Of the optimizer, at most; 50 passes are enough.
        rate: Peak learning rate.
        decay: Decoupled weight decay.
        batch: Samples in a step, at most.
    """

    steps: int
    rate: float = 3e-3
    decay: float = 1e-4
    batch: int = 512


def learn(network: nn.Module, problem: Problem, recipe: Recipe) -> float:
    """Train a network that reads features as released; it ends with the weights that were best on validation.

    Args:
        network: Features [n, ...] -> raw predictions. Its randomness, and that of batches, is the default generator's.
        problem: What it learns.
        recipe: How.

    Returns:
        Its score on validation.
    """
    size = min(max(len(problem) // 16, _LEAST_BATCH), recipe.batch, len(problem))
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay, fused=True)
    steps = min(recipe.steps, _PASSES * -(-len(problem) // size))
    every = max(steps // _VALIDATIONS, 1)
    best, weights = math.nan, copy.deepcopy(network.state_dict())
    order = torch.randperm(len(problem))
    at = 0
    whole = problem.task.weigh is None and bool(problem.task.labelled(problem.targets).all())
    for step in range(steps):
        if at + size > len(order):
            order, at = torch.randperm(len(problem)), 0
        some = order[at : at + size]
        at += size
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _share(step, steps)
        optimizer.zero_grad(set_to_none=True)
        _loss(problem, whole, network(problem.features[some]), problem.targets[some]).backward()
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == steps:
            score = judged(network, problem)
            if better(problem.task, score, best):
                best, weights = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    network.eval()
    return best


def _loss(problem: Problem, whole: bool, raw: Tensor, target: Tensor) -> Tensor:
    """The task's mean loss, without its care for missing labels where there are none: it costs as much as a layer."""
    return problem.task.loss(raw, target).mean() if whole else problem.task.mean_loss(raw, target)


def _share(step: int, steps: int) -> float:
    """Of the peak rate: a linear rise, then half a cosine."""
    done = (step + 1) / steps
    if done < _WARM:
        return done / _WARM
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM))) + 1e-3


def judged(network: nn.Module, problem: Problem) -> float:
    """Its score on validation; the network is left in training mode."""
    network.eval()
    score = score_of(problem.task, network, problem.held_features, problem.held_targets)
    network.train()
    return score


def best_of(variants: Sequence[tuple[Callable[[], nn.Module], Recipe]], problem: Problem) -> nn.Module:
    """Train each variant of a network and take the one that is best on validation."""
    best, winner = math.nan, None
    for make, recipe in variants:
        network = make()
        score = learn(network, problem, recipe)
        if winner is None or better(problem.task, score, best):
            best, winner = score, network
    assert winner is not None
    return winner


class Standardised(nn.Module):
    """Features with mean 0 and variance 1: each number by itself, flat, or each channel of maps.

    Args:
        features: Of training samples, [n, ...].
        by_channel: Keep maps [n, C, h, w] as they are and scale channels; otherwise [n, numbers].
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, by_channel: bool = False) -> None:
        super().__init__()
        self.by_channel = by_channel
        flat = features.movedim(1, -1).flatten(0, -2) if by_channel else features.flatten(1)
        centre, spread = flat.mean(0), flat.std(0, correction=0)
        spread = torch.where(spread > 1e-6 * (1 + centre.abs()), spread, 1.0)
        shape = (1, -1, 1, 1) if by_channel else (1, -1)
        self.register_buffer("centre", centre.reshape(shape))
        self.register_buffer("scale", spread.reshape(shape))

    def forward(self, features: Tensor) -> Tensor:
        """[n, C, h, w] or [n, numbers]."""
        return ((features if self.by_channel else features.flatten(1)) - self.centre) / self.scale


def raw_shape(task: Task, targets: Tensor) -> tuple[int, ...]:
    """Shape of one sample's raw prediction."""
    return tuple(targets.shape[1:]) if targets.is_floating_point() else (task.outputs, *targets.shape[1:])
