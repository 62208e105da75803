"""Training and evaluation mode of every part of a module, kept and given back."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Whatever happens inside, every part of `module` is afterwards in the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        restore_modes(modes)


def restore_modes(modes: dict[nn.Module, bool]) -> None:
    """Give each module its mode, and touch nothing else."""
    for part, mode in modes.items():
        part.training = mode
