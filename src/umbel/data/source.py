"""Where batches come from: sets held in memory as tensors, indexed a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from umbel.arguments import plain_name
from umbel.core import Batch, Task, UmbelError, unknown
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import TableDescription

_LOOK_AT = 10_000  # samples of a streamed set, for the scales of its tasks


class Source(Protocol):
    """A split of a data set.

    What a training batch holds depends on (seed, epoch, step) only, so training can resume anywhere.
    """

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def steps(self, batch_size: int) -> int:
        """Training batches in one epoch. An incomplete last batch is dropped; a set smaller than one batch is one."""
        ...

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """One epoch in a random order, augmented, from step `start`.

        Args:
            batch_size: Of all processes together; each gets its consecutive share of every batch.
            seed: Seed of the run.
            epoch: From 0; another order in each.
            start: First step to give (to resume within an epoch).
            rank: This process.
            world_size: Number of processes; divides the batch size.
        """
        ...

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every sample once, in order and unaugmented; whole batches are dealt out to the processes in turn."""
        ...


class Augmentation(Protocol):
    """A random change of a batch, computed on tensors.

    Attributes:
        draws: How many uniform random numbers a sample needs.
    """

    draws: int

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The changed batch.

        Args:
            batch: n samples; pictures are float [n, C, H, W] in 0 to 1.
            uniform: [n, draws], each in [0, 1).
        """
        ...


def seeded(*parts: int) -> torch.Generator:
    """A generator whose stream depends on all the given whole numbers."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = ((state ^ (part + 0x7F4A7C15)) * 0xBF58476D1CE4E5B9) % 2**64
        state ^= state >> 31
    return torch.Generator().manual_seed(state % 2**63)


def as_float(tensor: Tensor) -> Tensor:
    """Bytes 0 to 255 as float 0 to 1; anything else as it is."""
    return tensor.float().div_(255) if tensor.dtype == torch.uint8 else tensor


def ready(batch: Batch) -> Batch:
    """Byte pictures as floats; targets as they are."""
    inputs = batch.inputs
    inputs = as_float(inputs) if isinstance(inputs, Tensor) else {n: as_float(t) for n, t in inputs.items()}
    return replace(batch, inputs=inputs)


def first_samples(source: Source, count: int) -> Batch:
    """The first samples of a split, in order and unaugmented; all of them where there are fewer.

    Args:
        source: The split.
        count: How many, at least 1.

    Raises:
        UmbelError: Fewer than 1.
    """
    if count < 1:
        raise UmbelError(f"the first {count} samples of a split; at least 1 is needed")
    return next(iter(source.batches(count)))[slice(0, count)]


def shared_batch(samples: int, batch_size: int, rank: int, world_size: int) -> tuple[int, slice]:
    """The size of every training batch of a set, and which part of it a process takes.

    Raises:
        UmbelError: There is less than one sample for each process.
    """
    size = min(batch_size, samples)
    if size < world_size:
        raise UmbelError(f"a batch of {size} samples is too small for {world_size} processes; use fewer processes")
    return size, slice(rank * size // world_size, (rank + 1) * size // world_size)


class TensorSource:
    """A whole split in memory: no per-sample Python, no worker processes.

    Args:
        batch: All samples. Pictures may be uint8 (a quarter of the memory); they become float 0 to 1 when batched.
        augment: Applied to training batches only.
    """

    def __init__(self, batch: Batch, augment: Augmentation | None = None) -> None:
        if not len(batch):
            raise UmbelError("a data set without samples cannot be used")
        self.samples = batch
        self.augment = augment

    def __len__(self) -> int:
        return len(self.samples)

    def steps(self, batch_size: int) -> int:
        """Training batches in one epoch."""
        return max(1, len(self) // batch_size)

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """One epoch in a random order; see `Source`."""
        size, share = shared_batch(len(self), batch_size, rank, world_size)
        order = torch.randperm(len(self), generator=seeded(seed, epoch))
        for step in range(start, self.steps(batch_size)):
            batch = ready(self.samples[order[step * size : (step + 1) * size][share]])
            if self.augment is not None:
                uniform = torch.rand(size, self.augment.draws, generator=seeded(seed, epoch, step, 1))
                batch = self.augment(batch, uniform[share])
            yield batch

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every sample once, in order; see `Source`."""
        for start in range(rank * batch_size, len(self), world_size * batch_size):
            yield ready(self.samples[start : start + batch_size])

    def select(self, index: Tensor) -> "TensorSource":
        """The samples that `index` (int64 or bool) picks."""
        return TensorSource(self.samples[index], self.augment)


class PoissonSource(TensorSource):
    """Every sample is in a batch with the same probability, by itself: what the accounting of privacy assumes.

    Batches have `batch_size` samples on average (of all processes together); they vary in size and may be empty, as
    may the share of a process. A sample may come several times in an epoch, or not at all.
    """

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """As many batches as an ordinary epoch has; see `Source`."""
        for step in range(start, self.steps(batch_size)):
            drawn = torch.rand(len(self), generator=seeded(seed, epoch, step, 6)) < self.probability(batch_size)
            picked = drawn.nonzero()[:, 0]
            count = len(picked)
            share = slice(rank * count // world_size, (rank + 1) * count // world_size)
            batch = ready(self.samples[picked[share]])
            if self.augment is not None and len(batch):
                uniform = torch.rand(count, self.augment.draws, generator=seeded(seed, epoch, step, 1))
                batch = self.augment(batch, uniform[share])
            yield batch

    def probability(self, batch_size: int) -> float:
        """How likely a sample is to be in a batch: q in the accounting."""
        return min(1.0, batch_size / len(self))


def poisson(source: Source) -> PoissonSource:
    """The same samples, each drawn into a batch by itself.

    Args:
        source: A split held in memory.

    Raises:
        UmbelError: It is read item by item, or draws its batches in a way of its own.
    """
    if isinstance(source, PoissonSource):
        return source
    if isinstance(source, TensorSource) and type(source).train_batches is TensorSource.train_batches:
        return PoissonSource(source.samples, source.augment)
    raise UmbelError(
        f"samples of a {type(source).__name__} cannot be drawn by themselves (Poisson sampling); hold them in memory, "
        "as umbel.data.in_memory does"
    )


@dataclass(frozen=True)
class MultiTaskData:
    """A data set with its tasks and its three splits.

    What tasks leave open (the scale of a regression, balanced class weights) is taken from the training split when the
    set is made: learners are made of its `tasks`.

    Attributes:
        name: As on the command line.
        title: One line for reports.
        tasks: In the order of the tables; with what they take from the training split.
        train: What is learnt from.
        validation: Chooses checkpoints and settings.
        test: Looked at once, at the end.
        input_shape: Of one sample: (C, H, W) for pictures, (F,) for tables, (T, F) for series.
        note: Source, licence, citation and caveats, for the report.
        warnings: What a reader must know before trusting the scores, one sentence each; reports show them.
        reading: How something new becomes a sample, where the shape of one does not say it: a row of a table, a picture
            of any shape. None for all other sets.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    train: Source
    validation: Source
    test: Source
    input_shape: tuple[int, ...]
    note: str = ""
    warnings: tuple[str, ...] = ()
    reading: TableDescription | PaddedPictures | None = None

    def __post_init__(self) -> None:
        plain_name(self.name, "the data set")
        if any(task.from_training is not None for task in self.tasks):
            object.__setattr__(self, "tasks", _fitted(self.tasks, self.train))

    @property
    def inputs(self) -> TableDescription | PaddedPictures | PlainInputs:
        """How something new becomes an input: kept with every run."""
        return self.reading or PlainInputs.of(self.input_shape)

    def task(self, name: str) -> Task:
        """The task called `name`."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise unknown("task", name, [task.name for task in self.tasks])

    def only(self, names: Sequence[str]) -> "MultiTaskData":
        """The same set with some of its tasks; samples that have no label for any of them are left out.

        Samples are left out of sets held in memory; a streamed set keeps them, and they teach nothing.
        """
        tasks = tuple(self.task(name) for name in names)
        splits = {split: _labelled_part(getattr(self, split), tasks) for split in ("train", "validation", "test")}
        return replace(self, tasks=tasks, **splits)


def _fitted(tasks: Sequence[Task], train: Source) -> tuple[Task, ...]:
    """The tasks with what they take from the training split: all of one in memory, else a part drawn at random."""
    if isinstance(train, TensorSource):
        parts = [train.samples]
    else:
        parts, seen = [], 0
        for batch in train.train_batches(min(_LOOK_AT, len(train), 256), seed=0, epoch=0):
            targets = {task.name: task.target_of(batch) for task in tasks if task.from_training is not None}
            parts.append(Batch(torch.empty(len(batch), 0), targets))  # without inputs, which may be large
            seen += len(batch)
            if seen >= _LOOK_AT:
                break
    return tuple(t if t.from_training is None else t.fitted([t.target_of(part) for part in parts]) for t in tasks)


def _labelled_part(source: Source, tasks: tuple[Task, ...]) -> Source:
    if not isinstance(source, TensorSource):
        return source
    samples = source.samples
    used = torch.zeros(len(samples), dtype=torch.bool)
    for task in tasks:
        used |= task.labelled(task.target_of(samples)).reshape(len(samples), -1).any(1)
    return source if bool(used.all()) else source.select(used)
