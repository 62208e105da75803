"""The target's pictures: divided into those like the source and those unlike it, and dealt out to two stages."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from umbel.core import Batch, UmbelError
from umbel.data.source import ready, seeded, shared_batch

SIMILAR, DISSIMILAR, SIMULATED = 0, 1, 2
"""What `Batch.domain` says of a target picture: like the source, unlike it, or to be put into a mosaic."""


def divide(scores: Tensor, share: float) -> Tensor:
    """Which pictures count as similar to the source: those of the greatest detection variance.

    Args:
        scores: [N], as `variance_scores` gives them.
        share: Of the pictures that are similar, above 0 and below 1; at least one is of either kind.

    Returns:
        Bool [N].

    Raises:
        UmbelError: No such share, or fewer than two pictures.
    """
    if not 0 < share < 1:
        raise UmbelError(f"share of similar pictures is {share:g}; give a number above 0 and below 1")
    if len(scores) < 2:
        raise UmbelError(
            "one picture cannot be divided into similar and dissimilar ones; give at least two, or align nothing "
            "(--align 0)"
        )
    count = min(max(round(share * len(scores)), 1), len(scores) - 1)
    similar = torch.zeros(len(scores), dtype=torch.bool)
    similar[scores.argsort(descending=True, stable=True)[:count]] = True
    return similar


class TargetPictures:
    """Pictures of the target, dealt out as the two stages want them: a `Source` without any label.

    In the first part of the steps every batch has as many similar as dissimilar pictures, in turn (so that any piece
    of it has both; batches of one have either kind in turn); afterwards it has pictures of both kinds as they come, to
    be put into mosaics. A batch of more pictures than there are is all of them.

    Args:
        samples: Pictures, in the form that detectors take them; targets are not looked at.
        similar: Bool [N]; all True: there is one kind only, and no alignment.
        steps: Of the whole training.
        simulate_from: Part of the steps after which mosaics begin; 1: never.
        targets: Name of the task of boxes, for which every picture counts as unlabelled.
    """

    def __init__(self, samples: Batch, similar: Tensor, steps: int, simulate_from: float, targets: str) -> None:
        if not len(samples):
            raise UmbelError("no picture of the target; give at least one")
        blank = torch.full((len(samples), 1, 5), math.nan)
        self.samples = Batch(samples.inputs, {targets: blank})
        self.kinds = [similar.nonzero()[:, 0], (~similar).nonzero()[:, 0]]
        self.total, self.aligning = steps, round(steps * simulate_from)

    def __len__(self) -> int:
        return len(self.samples)

    def steps(self, batch_size: int) -> int:
        """All steps of the training are one pass."""
        return self.total

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """The batches from step `start` on; see `Source`."""
        size, share = shared_batch(len(self), batch_size, rank, world_size)
        for step in range(start, self.total):
            generator = seeded(seed, epoch, step)
            index, domain = self._drawn(size, step, generator)
            batch = ready(self.samples[index[share]])
            yield Batch(batch.inputs, batch.targets, domain[share])

    def _drawn(self, size: int, step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if step >= self.aligning:
            return _some(torch.arange(len(self)), size, generator), torch.full((size,), SIMULATED)
        if not len(self.kinds[1]):
            return _some(self.kinds[0], size, generator), torch.full((size,), SIMILAR)
        domain = (torch.arange(size) + (step if size == 1 else 0)) % 2
        index = torch.empty(size, dtype=torch.int64)
        for kind, members in enumerate(self.kinds):
            index[domain == kind] = _some(members, int((domain == kind).sum()), generator)
        return index, domain

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every picture once, in order; see `Source`."""
        for start in range(rank * batch_size, len(self), world_size * batch_size):
            yield ready(self.samples[start : start + batch_size])


def _some(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many of them, each as often as the others or once more, in a random order."""
    rounds = max(1, -(-count // len(members)))
    return torch.cat([members[torch.randperm(len(members), generator=generator)] for _ in range(rounds)])[:count]
