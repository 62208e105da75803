"""What several kinds of task ask of their arguments."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.arguments import names, whole_number
from umbel.errors import UmbelError, shown


def labels_of(labels: Sequence[str] | int, least: int, name: str) -> tuple[str, ...]:
    """The labels; for a number "0", "1" and so on."""
    what = f"task {name!r}: labels"
    if hasattr(labels, "__index__"):
        return tuple(map(str, range(whole_number(labels, what, least))))
    listed = tuple(labels) if isinstance(labels, str) else names(labels, what)
    if len(listed) < least:
        raise UmbelError(f"task {name!r}: {len(listed)} label(s); at least {least} are needed")
    return listed


def numbers_of(value: object, what: str) -> Tensor:
    """A number, or several, in double precision."""
    try:
        return torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UmbelError(f"{what} is {shown(value)}; give a number, or a tensor of numbers") from error
