"""Probabilities that can be believed, of a yes/no answer: Platt scaling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.arguments import tensors
from umbel.core import UmbelError

_LEAST_SCALE = 1e-3  # of standardised logits: the order of scores stays, however little they say
_DECAY = 1e-6
_STEPS = 50


@dataclass(frozen=True)
class PlattScaling:
    """p = sigmoid(scale · logit + shift); the order of the logits stays.

    Attributes:
        scale: Above 0.
        shift: In logits of the probability.
    """

    scale: float
    shift: float

    def probability(self, logits: Tensor) -> Tensor:
        """The calibrated probability of a yes, float64, of any shape."""
        return torch.sigmoid(logits.double() * self.scale + self.shift)


def fit_platt(logits: Tensor, kinds: Tensor) -> PlattScaling:
    """The scale and shift that make the answers of validation samples most likely.

        minimise  -mean t log p + (1 - t) log(1 - p),   p = sigmoid(a z + b)

    with t = (n₊ + 1) / (n₊ + 2) for each of the n₊ live samples and 1 / (n₋ + 2) for each attack, as Platt has it, so
    that classes which are told apart wholly do not make the scale infinite. By Newton's method, with a decay of 1e-6,
    on standardised logits. Where a greater logit says less of live, the scale is held just above 0.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    Args:
        logits: [n], finite; of samples that chose nothing in the network's weights.
        kinds: int64 [n]: 0 is a yes (live), greater a no, negative missing.

    Raises:
        UmbelError: Other shapes, logits that are not finite, or one class only.
    """
    tensors("fit_platt", logits=logits, kinds=kinds)
    if logits.ndim != 1 or logits.shape != kinds.shape or kinds.is_floating_point():
        raise UmbelError(
            f"fit_platt: logits of shape {list(logits.shape)} and kinds of shape {list(kinds.shape)}; give [n] and "
            "whole numbers [n]"
        )
    known = kinds >= 0
    logits, live = logits[known].detach().double(), kinds[known] == 0
    count = int(live.sum())
    if not 0 < count < len(live):
        raise UmbelError(f"fit_platt: {len(live):,} samples of one class; calibration needs both")
    if not bool(torch.isfinite(logits).all()):
        raise UmbelError("fit_platt: logits that are not finite; did the training diverge?")
    wanted = torch.where(live, (count + 1) / (count + 2), 1 / (len(live) - count + 2)).double()
    centre, spread = logits.mean(), logits.std().clamp(min=1e-12)
    z = (logits - centre) / spread
    slope, shift = _newton(torch.stack([z, torch.ones_like(z)], 1), wanted)
    if slope < _LEAST_SCALE:
        slope = _LEAST_SCALE
        shift = _newton(torch.ones_like(z)[:, None], wanted, slope * z)[0]
    scale = slope / float(spread)
    return PlattScaling(scale, shift - scale * float(centre))


def _newton(columns: Tensor, wanted: Tensor, offset: Tensor | float = 0.0) -> list[float]:
    """The weights [k] of the columns [n, k] of a logistic regression on shares of yes [n]; steps too far are halved."""

    def cost(weights: Tensor) -> Tensor:
        logit = columns @ weights + offset
        return (torch.nn.functional.softplus(logit) - wanted * logit).mean() + _DECAY * weights.square().sum() / 2

    weights = columns.new_zeros(columns.shape[1])
    for _ in range(_STEPS):
        p = torch.sigmoid(columns @ weights + offset)
        gradient = columns.T @ (p - wanted) / len(columns) + _DECAY * weights
        curvature = (columns * (p * (1 - p))[:, None]).T @ columns / len(columns)
        step = torch.linalg.solve(curvature + _DECAY * torch.eye(len(weights)).to(weights), gradient)
        before, length = cost(weights), 1.0
        while length > 1e-6 and not bool(cost(weights - length * step) <= before):
            length /= 2
        weights = weights - length * step
        if float(step.abs().max()) < 1e-10:
            break
    return weights.tolist()
