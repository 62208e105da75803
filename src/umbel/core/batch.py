"""A batch: inputs, and for every task a target in which a sentinel marks what is not labelled."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from umbel.errors import unknown

Inputs = Tensor | Mapping[str, Tensor]
"""One tensor [B, ...], or several by name, each with the samples along its first axis."""


@dataclass(frozen=True)
class Batch:
    """Samples with the targets of every task.

    A missing label is written into the target itself: **NaN in floating-point targets, a negative number in
    integer ones**. It may stand for a whole sample, one output or one pixel. Whatever carries it adds
    nothing to that task's loss or metric, in every descent. Unlabelled samples, partly labelled sets and
    several sets with one task each are therefore ordinary batches.

    **Samples of different size** (series, pictures, sets of boxes) are padded at the end of each axis to the largest:

    - inputs with zeros, and their sizes stand beside them under a name of their own: `inputs["series"]` [B, T, F] and
      `inputs["series/size"]` int64 [B, 2]. `core.pad_inputs` makes both, `core.lengths_of` and `core.sizes_of` read
      them back, `core.within` says which elements are real. Sizes are one row a sample, so that slices, pieces,
      devices and processes treat them like any input.
    - targets with the missing label, so that what is behind the end teaches nothing (`core.pad_targets`). Where the
      end itself says something (no further box), the task names another number: `Task.padding`.

    A batch may have no sample at all (Poisson sampling): its tensors are [0, ...].

    Attributes:
        inputs: A tensor [B, ...] or a mapping of such tensors.
        targets: Task name -> target [B, ...]. A task may derive its target from the batch instead
            (see `Task.target`), and then needs no entry.
        domain: Which set or domain each sample comes from, int64 [B]; zeros when there is only one.
    """

    inputs: Inputs
    targets: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    domain: Tensor | None = None

    def __len__(self) -> int:
        first = self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values()))
        return len(first)

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with `function` applied to every tensor in it."""
        inputs = (
            function(self.inputs)
            if isinstance(self.inputs, Tensor)
            else {name: function(tensor) for name, tensor in self.inputs.items()}
        )
        targets = {name: function(tensor) for name, tensor in self.targets.items()}
        return Batch(inputs, targets, None if self.domain is None else function(self.domain))

    def __getitem__(self, index: slice | Tensor) -> "Batch":
        """The samples that `index` (a slice, or int64 or bool [n]) picks."""
        return self.map(lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def chunks(self, count: int) -> Iterator["Batch"]:
        """`count` consecutive pieces of (nearly) equal size; some are empty where there are fewer samples than that.

        Always so many, since every process must compute as many pieces as the others, whatever its share of a batch.
        """
        if count == 1:
            yield self
            return
        bounds = [round(i * len(self) / count) for i in range(count + 1)]
        for start, stop in itertools.pairwise(bounds):
            yield self[start:stop]

    def target(self, name: str) -> Tensor:
        """The target of one task.

        Raises:
            UmbelError: The batch has no target of that name.
        """
        if name not in self.targets:
            raise unknown("target", name, self.targets)
        return self.targets[name]
