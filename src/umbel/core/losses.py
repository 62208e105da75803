"""Named losses of one batch."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from umbel.errors import UmbelError


class Losses(Mapping[str, Tensor]):
    """Name -> scalar loss, in a fixed order: one for each task, then whatever a learner adds.

    A loss that bears no task's name is *auxiliary*: a penalty, a term of distillation. Descents settle the tasks among
    themselves and add the gradient of the auxiliary losses as it is. What is to be settled as a task is made one.

    A loss is the mean over the elements that `Learner.counts` counts for it; a loss of another name is a mean
    over samples. With a graph behind them they are what a descent differentiates; detached they are what is logged.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            if value.ndim:
                raise UmbelError(f"loss {name!r} has shape {tuple(value.shape)}; a loss is a scalar")
        self._values = dict(values)

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Losses({', '.join(f'{n}={v.item():.4g}' for n, v in self._values.items())})"

    def stack(self) -> Tensor:
        """The values in order: [T]."""
        return torch.stack([value.float() if value.dtype == torch.bfloat16 else value for value in self.values()])

    def scaled(self, factors: Tensor) -> "Losses":
        """Each loss times its factor, in its own precision; factors [T] in the order of the names."""
        pairs = zip(self._values.items(), factors, strict=True)
        return Losses({n: v * f.to(v.device, torch.promote_types(v.dtype, torch.float32)) for (n, v), f in pairs})

    @classmethod
    def of(cls, names: Iterator[str] | list[str], values: Tensor) -> "Losses":
        """Losses from names and values [T], detached."""
        return cls(dict(zip(names, values.detach().unbind(), strict=True)))
