"""Batches that hold samples of several sources beside each other: labelled and unlabelled, source and target domain."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from umbel.core import Batch, Task, join_batches, missing_label
from umbel.data.source import Source, seeded
from umbel.errors import UmbelError


class SideBySide:
    """Several sources as one: every training batch holds samples of each, in fixed parts.

    `batch.domain` is the number of the source that a sample comes from; a target that a source lacks is missing
    there. An epoch is one pass over the source that takes the most steps; shorter ones begin anew, each pass in
    another order. What a step holds depends on (seed, epoch, step) alone, and the shares of several processes make up
    the batch of one, as the sources themselves promise.

    Args:
        sources: At least two, with inputs of one form; held in memory or streamed.
        parts: How the batch is divided; (3, 1) takes three samples of the first for one of the second. Equal parts by
            default.
        tasks: Only where targets differ in size (`Task.padding`): the tasks that they belong to.

    Raises:
        UmbelError: Fewer than two sources, parts that do not fit, or no source has a target that another one has.
    """

    def __init__(
        self, sources: Sequence[Source], parts: Sequence[float] | None = None, tasks: Sequence[Task] = ()
    ) -> None:
        self.sources = tuple(sources)
        self.parts = tuple(1.0 for _ in sources) if parts is None else tuple(parts)
        if len(self.sources) < 2:
            raise UmbelError(f"{len(self.sources)} source(s) side by side; give at least two")
        if len(self.parts) != len(self.sources) or not all(0 < part < float("inf") for part in self.parts):
            raise UmbelError(f"parts are {self.parts}; give one number greater than 0 for each of {len(self.sources)}")
        self.paddings = {task.name: task.padding for task in tasks}
        self._blanks: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def sizes(self, batch_size: int) -> list[int]:
        """How many samples of each source a batch holds, of all processes together.

        Raises:
            UmbelError: Some source would have none.
        """
        total, passed, bounds = sum(self.parts), 0.0, [0]
        for part in self.parts:
            passed += part
            bounds.append(round(batch_size * passed / total))
        sizes = [after - before for before, after in itertools.pairwise(bounds)]
        if min(sizes) < 1:
            raise UmbelError(f"a batch of {batch_size} samples holds none of source {sizes.index(0)}; use a larger one")
        return sizes

    def steps(self, batch_size: int) -> int:
        """Training batches in one epoch."""
        return max(s.steps(size) for s, size in zip(self.sources, self.sizes(batch_size), strict=True))

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """One epoch from step `start`; see `Source`."""
        steps, sizes = self.steps(batch_size), self.sizes(batch_size)
        streams = [
            _endless(source, size, _own_seed(seed, number), epoch * steps + start, rank, world_size)
            for number, (source, size) in enumerate(zip(self.sources, sizes, strict=True))
        ]
        for _ in range(start, steps):
            yield join_batches([next(stream) for stream in streams], self.paddings)

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every sample of the first source, then of the second, ..., unaugmented; see `Source`."""
        blanks = self._blank_targets()
        for number, source in enumerate(self.sources):
            for batch in source.batches(batch_size, rank, world_size):
                absent = {name: b.expand(len(batch), *b.shape[1:]) for name, b in blanks.items()}
                domain = torch.full((len(batch),), number)
                yield replace(batch, targets={**absent, **batch.targets}, domain=domain)

    def _blank_targets(self) -> Mapping[str, Tensor]:
        """Target name -> a missing one [1, ...], for the targets that some source does not have."""
        if self._blanks is None:
            firsts = [next(iter(source.batches(1))).targets for source in self.sources]
            examples = {name: target for first in reversed(firsts) for name, target in first.items()}
            self._blanks = {
                name: torch.full_like(target, missing_label(target.dtype, f"target {name!r}"))
                for name, target in examples.items()
                if not all(name in first for first in firsts)
            }
        return self._blanks


def _own_seed(seed: int, number: int) -> int:
    """Two sources of one length must not be shuffled alike."""
    return seeded(seed, number, 5).initial_seed()


def _endless(source: Source, size: int, seed: int, step: int, rank: int, world_size: int) -> Iterator[Batch]:
    """The batches of one source from its `step`-th on, epoch after epoch."""
    epoch, start = divmod(step, source.steps(size))
    while True:
        given = 0
        for batch in source.train_batches(size, seed, epoch, start, rank, world_size):
            given += 1
            yield batch
        if not given:
            raise UmbelError(f"a source gave no batch for step {start + 1} of its epoch {epoch}; its `steps` says more")
        epoch, start = epoch + 1, 0
