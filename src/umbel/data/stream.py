"""Any map-style `torch.utils.data.Dataset` as a source: streamed through workers, or loaded once."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from umbel.core import Batch, Task, pad_inputs, pad_targets
from umbel.data.items import Form, Item, Items, read_item
from umbel.data.source import MultiTaskData, TensorSource, ready, seeded, shared_batch
from umbel.errors import UmbelError


class _Read(Dataset):
    """Items of one pass. Random transforms draw from generators seeded by (seed, epoch, item), whoever reads it."""

    def __init__(self, dataset: Items, tasks: Sequence[Task], seed: int, epoch: int) -> None:
        self.dataset, self.tasks, self.seed, self.epoch = dataset, tasks, seed, epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Item | UmbelError:
        state = int(seeded(self.seed, self.epoch, number, 2).initial_seed())
        python, array = random.getstate(), np.random.get_state()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(state)
                random.seed(state)
                np.random.seed(state % 2**32)
                return read_item(self.dataset, self.tasks, number)
        except UmbelError as error:  # an exception would come out of a worker with its traceback as text
            return error
        finally:
            random.setstate(python)
            np.random.set_state(array)


@dataclass(frozen=True)
class _Collate:
    """Items -> batch, with blanks where a label is missing."""

    form: Form

    def __call__(self, items: Sequence[Item | UmbelError]) -> Batch | UmbelError:
        for item in items:
            if isinstance(item, UmbelError):
                return item
        try:
            return self._joined(items)
        except UmbelError as error:
            return error

    def _joined(self, items: Sequence[Item]) -> Batch:
        parts = [{"": i.inputs} if isinstance(i.inputs, Tensor) else i.inputs for i in items]
        for item, part in zip(items, parts, strict=True):
            if part.keys() != parts[0].keys():
                raise UmbelError(
                    f"item {items[0].number} has the inputs {sorted(parts[0])}, item {item.number} has {sorted(part)}"
                )
        numbers = [item.number for item in items]
        inputs: dict[str, Tensor] = {}
        for name in parts[0]:
            inputs |= self._input(name, list(zip(numbers, [part[name] for part in parts], strict=True)))
        targets = {name: self._target(name, blank, items) for name, blank in self.form.blanks.items()}
        domain = torch.tensor([item.domain for item in items])
        return Batch(inputs.get("", inputs), targets, domain)

    def _input(self, name: str, tensors: Sequence[tuple[int, Tensor]]) -> dict[str, Tensor]:
        """One input of all items, with its sizes beside it where items differ in size."""
        if (name or "input") in self.form.ragged:
            return pad_inputs(name or "input", [tensor for _, tensor in tensors])
        return {name: _stack(tensors, f"input {name!r}" if name else "input")}

    def _target(self, name: str, blank: Tensor, items: Sequence[Item]) -> Tensor:
        """One target of all items, the blank where it is missing."""
        if name not in self.form.ragged:
            return _stack([(item.number, item.targets.get(name, blank)) for item in items], f"target {name!r}")
        if not any(name in item.targets for item in items):
            return torch.stack([blank] * len(items))
        return pad_targets([item.targets.get(name) for item in items], self.form.ragged[name])


def _stack(tensors: Sequence[tuple[int, Tensor]], what: str) -> Tensor:
    number, first = tensors[0]
    for other, tensor in tensors:
        _same_form(what, number, first, other, tensor)
    return torch.stack([tensor for _, tensor in tensors])


def _same_form(what: str, number: int, first: Tensor, other: int, tensor: Tensor) -> None:
    if tensor.shape != first.shape or tensor.dtype != first.dtype:
        raise UmbelError(
            f"{what} of item {number} is {tuple(first.shape)} {first.dtype}, that of item {other} is"
            f" {tuple(tensor.shape)} {tensor.dtype}; resize or convert them to the same, or name it in `ragged`"
        )


class StreamSource:
    """A data set that is read item by item, in this process or in workers, a batch at a time.

    The order and the random numbers of per-item transforms (those of torch, numpy and `random`) depend on the seed, the
    epoch and the item only, so a run resumes anywhere and does not change with the number of workers or processes. The
    order is that of a `TensorSource` of the same length.

    Args:
        dataset: Map-style; see `read_item` for what its items may be.
        tasks: What is to be learnt.
        workers: Processes that read ahead; 0 reads in this one.
        form: Stands in for missing labels; None finds out, which reads items until every task has shown a label.
        ragged: Inputs and tasks whose samples differ in size, by name (a single input is "input"): they are padded as
            `Batch` says, and the inputs become a mapping with the sizes in it. A `form` that is given says it itself.

    Raises:
        UmbelError: The data set has no length or no items, or a task has no label in any item.
    """

    def __init__(
        self,
        dataset: Items,
        tasks: Sequence[Task],
        workers: int = 0,
        form: Form | None = None,
        ragged: Collection[str] = (),
    ) -> None:
        _check(dataset)
        self.dataset = dataset
        self.tasks = tuple(tasks)
        self.workers = workers
        self.form = form or Form.of(dataset, self.tasks, ragged)

    def __len__(self) -> int:
        return len(self.dataset)

    def steps(self, batch_size: int) -> int:
        """Training batches in one epoch."""
        return max(1, len(self) // batch_size)

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> Iterator[Batch]:
        """One epoch in a random order; see `Source`."""
        order = torch.randperm(len(self), generator=seeded(seed, epoch))
        size, share = shared_batch(len(self), batch_size, rank, world_size)
        picks = [order[i * size : (i + 1) * size][share].tolist() for i in range(start, self.steps(batch_size))]
        yield from map(ready, self.read(picks, seed, epoch))

    def batches(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Every sample once, in order; see `Source`. Random transforms, if any, draw the same numbers at every call."""
        starts = range(rank * batch_size, len(self), world_size * batch_size)
        yield from map(ready, self.read([list(range(i, min(i + batch_size, len(self)))) for i in starts], 0, -1))

    def read(self, picks: Sequence[Sequence[int]], seed: int, epoch: int) -> Iterator[Batch]:
        """The named items, a batch for each group; bytes stay bytes."""
        items = _Read(self.dataset, self.tasks, seed, epoch)
        loader = DataLoader(
            items, batch_sampler=picks, collate_fn=_Collate(self.form), num_workers=self.workers, generator=seeded(seed)
        )
        for batch in loader:
            if isinstance(batch, UmbelError):
                raise batch
            yield batch


def _check(dataset: Items) -> None:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise UmbelError(
            f"a {type(dataset).__name__} cannot be read in any order; give a map-style data set, with __len__ and"
            " __getitem__"
        )
    if not len(dataset):
        raise UmbelError("a data set without samples cannot be used")


def from_dataset(
    dataset: Items, tasks: Sequence[Task], workers: int = 0, form: Form | None = None, ragged: Collection[str] = ()
) -> StreamSource:
    """Any map-style data set as a streamed source; the arguments are those of `StreamSource`."""
    return StreamSource(dataset, tasks, workers, form, ragged)


def in_memory(
    dataset: Items, tasks: Sequence[Task], workers: int = 0, form: Form | None = None, ragged: Collection[str] = ()
) -> TensorSource:
    """A map-style data set, read once and held in memory; random per-item transforms are frozen at their first draw.

    Args:
        dataset: Map-style; see `umbel.data.items.read_item` for what its items may be.
        tasks: What is to be learnt.
        workers: Processes that read; 0 reads in this one.
        form: Stands in for missing labels; None finds out.
        ragged: As `StreamSource`; all samples are padded to the largest of the set.

    Raises:
        UmbelError: As `StreamSource`, or two items differ in size or type.
    """
    source = StreamSource(dataset, tasks, workers, form, ragged)
    count = len(source)
    size = count if source.form.ragged else 256  # how large the largest is shows at the end
    picks = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    held: Batch | None = None
    for pick, batch in zip(picks, source.read(picks, 0, -1), strict=True):
        if held is None:
            held = batch.map(lambda tensor: tensor.new_empty((count, *tensor.shape[1:])))
        _write(held, batch, pick[0])
    return TensorSource(held)


def _write(held: Batch, batch: Batch, start: int) -> None:
    """Copy a batch into its place among all samples."""
    whole, part = _tensors(held), _tensors(batch)
    if whole.keys() != part.keys():
        raise UmbelError(f"item {start} has other inputs than item 0: {sorted(part)}, not {sorted(whole)}")
    for name, tensor in part.items():
        _same_form(name, 0, whole[name][0], start, tensor[0])
        whole[name][start : start + len(tensor)] = tensor


def _tensors(batch: Batch) -> dict[str, Tensor]:
    inputs = {"input": batch.inputs} if isinstance(batch.inputs, Tensor) else batch.inputs
    named = {f"input {name!r}" if name != "input" else name: tensor for name, tensor in inputs.items()}
    return named | {f"target {name!r}": tensor for name, tensor in batch.targets.items()} | {"domain": batch.domain}


def data_from_datasets(
    name: str,
    tasks: Sequence[Task],
    train: Items,
    validation: Items,
    test: Items,
    workers: int = 0,
    in_memory: bool = True,
    ragged: Collection[str] = (),
    title: str = "",
    note: str = "",
) -> MultiTaskData:
    """A data set with its splits from three map-style data sets.

    Args:
        name: For reports.
        tasks: What is to be learnt, in the order of the tables.
        train: Items to learn from; see `umbel.data.items.read_item` for their forms.
        validation: Items that choose checkpoints.
        test: Items looked at once, at the end.
        workers: Processes that read.
        in_memory: Read each set once and hold it. Otherwise items are read again in every epoch, as data sets need that
            are too large or whose transforms are random.
        ragged: Inputs and tasks whose samples differ in size; see `StreamSource`.
        title: One line for reports.
        note: Source, licence, caveats.

    Raises:
        UmbelError: As `StreamSource`; a task needs a label among the training items.
    """
    for dataset in (train, validation, test):
        _check(dataset)
    form = Form.of(train, tasks, ragged)
    make = _held if in_memory else from_dataset
    splits = {
        split: make(dataset, tasks, workers, form)
        for split, dataset in (("train", train), ("validation", validation), ("test", test))
    }
    inputs = read_item(train, tasks, 0).inputs
    first = inputs if isinstance(inputs, Tensor) else next(iter(inputs.values()))
    return MultiTaskData(name, title or name, tuple(tasks), **splits, input_shape=tuple(first.shape), note=note)


_held = in_memory
