"""What the layers of one forward pass must know: handed down by a context variable, so each thread has its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.core.modes import modes_kept


class Call(NamedTuple):
    """One call of a layer, and how many channels it read and wrote."""

    layer: nn.Module
    channels_in: int
    channels_out: int


@dataclass
class Sums:
    """Sums of what a batch normalisation was given, in double precision, over all batches so far.

    Attributes:
        count: Values in each channel.
        total: Their sums [C].
        squares: Sums of their squares [C].
    """

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """Add a batch [B, C, ...]."""
        axes = [axis for axis in range(x.ndim) if axis != 1]
        values = x.detach().double()
        self.count += x.numel() // x.shape[1]
        self.total = self.total + values.sum(axes)
        self.squares = self.squares + values.square().sum(axes)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean [C] and unbiased variance [C], as running statistics are."""
        mean = self.total / self.count
        spread = (self.squares - self.count * mean.square()).clamp(min=0)
        return mean, spread / max(1, self.count - 1)


@dataclass(frozen=True)
class Setting:
    """The configuration of one forward pass of one `Slimmable`.

    Attributes:
        width: Of the outputs of its layers.
        row: Of the tables of batch-norm statistics; None for the full configuration, which has the running ones.
        calls: Where every layer notes its call; None: nowhere.
        sums: Batch normalisations use the statistics of the batch, and add it to their entry here; None: they do not.
    """

    width: float
    row: int | None
    calls: list[Call] | None = None
    sums: dict[nn.Module, Sums] | None = None

    def note(self, layer: nn.Module, channels_in: int, channels_out: int) -> None:
        """Remember a call, if someone asked for it."""
        if self.calls is not None:
            self.calls.append(Call(layer, channels_in, channels_out))


_CURRENT: ContextVar[Setting | None] = ContextVar("the setting of the running forward pass", default=None)


def current() -> Setting:
    """The setting of the forward pass that is running in this thread.

    Raises:
        UmbelError: None is: the layer was not called by its `Slimmable`.
    """
    setting = _CURRENT.get()
    if setting is None:
        raise UmbelError("a slimmable layer was called by itself; call the Slimmable that holds it, with a point")
    return setting


@contextmanager
def running(setting: Setting) -> Iterator[None]:
    """Make a setting known to the layers called inside."""
    token = _CURRENT.set(setting)
    try:
        yield
    finally:
        _CURRENT.reset(token)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part of `module` in evaluation mode and without gradients, then each in the mode that it had."""
    with modes_kept(module), torch.no_grad():
        module.eval()
        yield
