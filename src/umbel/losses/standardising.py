"""Standard units: what a regression's network predicts, and back to natural units; both in enough digits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.core import labelled
from umbel.losses.elementwise import standardised_squared_error

_FAR = 100.0  # a centre so many scales from 0 costs predictions in float32 two of their seven digits


def standardised_error(prediction: Tensor, target: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """The squared error in standard units. A target in double precision is centred in it; the loss is single."""
    error = standardised_squared_error(prediction, target, centre, scale)
    return error if prediction.dtype == torch.float64 else error.float()


def precision_of(centre: Tensor, scale: Tensor) -> torch.dtype:
    """Of natural units: float32, or float64 where the centre is so far from 0 that float32 loses what was learnt."""
    return torch.float64 if bool((centre.abs() > _FAR * scale).any()) else torch.float32


def natural_units(prediction: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Raw predictions in natural units, of the type that `precision_of` says."""
    kind = precision_of(centre, scale)
    return prediction.to(kind) * scale.to(prediction.device, kind) + centre.to(prediction.device, kind)


def moments(targets: Sequence[Tensor], outputs: int) -> dict[str, Tensor]:
    """Mean ("centre") and standard deviation ("scale") of the labelled values of each output, double [K].

    An output whose values are all alike has scale 1, and one without any has centre 0, too.

    Args:
        targets: [n, K, ...] or, for one output, [n], in batches; missing labels included.
        outputs: K; 1 gives numbers without an axis.
    """
    count, summed, squares = (torch.zeros(outputs, dtype=torch.float64) for _ in range(3))
    for values, mask in map(_by_output, targets):
        count += mask.sum(0)
        summed += values.sum(0)
    centre = summed / count.clamp(min=1)
    for values, mask in map(_by_output, targets):
        squares += torch.where(mask, values - centre, 0).square().sum(0)
    scale = (squares / count.clamp(min=1)).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    return {"centre": centre if outputs > 1 else centre[0], "scale": scale if outputs > 1 else scale[0]}


def _by_output(target: Tensor) -> tuple[Tensor, Tensor]:
    """Values in double precision, 0 where missing, and which are labelled: both [values, K]."""
    mask = labelled(target)
    values = torch.where(mask, target, torch.zeros_like(target)).double()
    values, mask = (x.movedim(1, -1).reshape(-1, x.shape[1]) if x.ndim > 1 else x[:, None] for x in (values, mask))
    return values, mask
