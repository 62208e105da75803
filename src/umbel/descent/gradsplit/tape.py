"""Where in autograd's graph each watched layer's output is, without touching the model."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge
from torch.utils.hooks import RemovableHandle

from umbel.descent.graph import edge_of


class Call(NamedTuple):
    """One call of a layer in a forward pass.

    Attributes:
        module: The layer.
        edge: Where the gradient of its output arrives. Taken before anything can change the output in place.
    """

    module: nn.Module
    edge: GradientEdge


class Tape:
    """Notes every call of the watched layers while it is open; forward hooks only, removed at the end.

    Args:
        modules: What to watch.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._modules = tuple(modules)
        self._handles: list[RemovableHandle] = []
        self._calls: list[Call] = []

    def __enter__(self) -> "Tape":
        # before all other hooks: a user's hook may return something different from what the layer does
        self._handles = [module.register_forward_hook(self._note, prepend=True) for module in self._modules]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._calls = [], []

    def _note(self, module: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad and torch.is_grad_enabled():
            self._calls.append(Call(module, edge_of(output)))

    def take(self) -> list[Call]:
        """The calls noted so far, in order; the tape goes on empty."""
        calls, self._calls = self._calls, []
        return calls
