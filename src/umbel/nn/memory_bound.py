"""Networks that cannot fit into memory are refused before any of it is asked for."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from umbel.core.machine import machine_bytes
from umbel.errors import UmbelError

MOST_TENSORS = 5_000
"""More tensors than this no network of ours has; making them takes long, one by one."""


@contextmanager
def memory_bound(what: str, copies: int = 1, limit: int | None = None) -> Iterator[None]:
    """Inside, tensors that together need more memory than there is are refused before they are made.

    What is made with a size (`torch.empty`, as modules make their weights) is counted, and never given back. On the
    device "meta" nothing is counted.

    Args:
        what: For the message, as in "encoder 'mlp'".
        copies: How often the weights are kept: 3 for a training (weights, gradients, moments of the optimizer).
        limit: Bytes that there are; None: the machine's.

    Raises:
        UmbelError: Too large; says how large, and how much there is.
    """
    with _Counted(what, copies, machine_bytes() if limit is None else limit):
        yield


class _Counted(TorchDispatchMode):
    """Adds up the tensors that are made."""

    def __init__(self, what: str, copies: int, limit: int) -> None:
        super().__init__()
        self.what, self.copies, self.limit = what, copies, limit
        self.bytes = self.tensors = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        arguments = function._schema.arguments
        if arguments and arguments[0].name == "size" and args and str(kwargs.get("device", "cpu")) != "meta":
            width = torch.empty((), dtype=kwargs.get("dtype") or torch.get_default_dtype(), device="meta").itemsize
            self.bytes += width * math.prod(max(int(size), 0) for size in args[0])
            self.tensors += 1
            self._check()
        return function(*args, **kwargs)

    def _check(self) -> None:
        if (needed := self.bytes * self.copies) > self.limit:
            kept = "" if self.copies == 1 else f", {self.copies} times its weights to be trained,"
            raise UmbelError(
                f"{self.what} needs at least {needed / 2**30:,.0f} GiB of memory{kept} and there are "
                f"{self.limit / 2**30:,.0f}; make it smaller"
            )
        if self.tensors > MOST_TENSORS:
            raise UmbelError(f"{self.what} has more than {MOST_TENSORS:,} tensors of weights; make it less deep")
