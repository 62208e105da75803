"""Label maps: the boundaries derived from them, and the statistics of depth maps."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from umbel.errors import UmbelError, unknown

_ALL, _FIRST, _REST = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS = (((_ALL, _FIRST), (_ALL, _REST)), ((_ALL, _ALL, _FIRST), (_ALL, _ALL, _REST)))
"""Index pairs that lay each pixel over the one below it, and over the one to its right."""


def chosen_tasks(names: Sequence[str] | str, known: Iterable[str], where: str) -> tuple[str, ...]:
    """The tasks of a set that a user chose, by name: several, or one as a plain text.

    Args:
        names: What the user wrote.
        known: The tasks that the set offers.
        where: Name of the set, for errors.

    Raises:
        UmbelError: An unknown task, or none.
    """
    known, chosen = tuple(known), (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in known:
            raise unknown("task", name, known)
    if not chosen:
        raise UmbelError(f"{where}: no task; name one or more of {', '.join(known)}")
    return chosen


def boundaries_of(labels: Int[Tensor, "N H W"], void: int | None = -1) -> Float[Tensor, "N 1 H W"]:
    """1 where one of a pixel's four neighbours has another label, else 0; NaN where the pixel or a neighbour is void.

    Args:
        labels: Classes or instances.
        void: The label that stands for "unknown"; None when every label counts.
    """
    differs = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
    unknown = torch.zeros_like(differs) if void is None else labels == void
    near_unknown = unknown.clone()
    for one, other in _NEIGHBOURS:
        unequal = labels[one] != labels[other]
        differs[one] |= unequal
        differs[other] |= unequal
        near_unknown[one] |= unknown[other]
        near_unknown[other] |= unknown[one]
    return differs.float().masked_fill_(near_unknown, torch.nan)[:, None]


def centre_and_scale(target: Float[Tensor, "*shape"]) -> tuple[float, float]:
    """Mean and standard deviation of the labelled values; (0, 1) when there are too few or all are equal."""
    known = target[~torch.isnan(target)].double()
    scale = float(known.std()) if len(known) > 1 else 0.0
    return (float(known.mean()), scale) if scale > 0 else (0.0, 1.0)
