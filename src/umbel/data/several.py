"""Several sets with their own tasks joined into one: labels that a set does not have are missing."""

from collections.abc import Sequence

from torch import Tensor

from umbel.core import Batch, Task, join_batches
from umbel.data.side_by_side import SideBySide
from umbel.data.source import Augmentation, MultiTaskData, TensorSource
from umbel.errors import UmbelError


class ByDomain:
    """Each sample is augmented as its own set wants it.

    Args:
        parts: The augmentation of each domain, by number; None leaves its samples alone.
    """

    def __init__(self, parts: Sequence[Augmentation | None]) -> None:
        self.parts = tuple(parts)
        self.draws = max((part.draws for part in self.parts if part is not None), default=0)

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The changed batch; see `Augmentation`."""
        pictures, targets = batch.inputs.clone(), {name: target.clone() for name, target in batch.targets.items()}
        for number, part in enumerate(self.parts):
            chosen = (batch.domain == number).nonzero()[:, 0]
            if part is None or not len(chosen):
                continue
            changed = part(batch[chosen], uniform[chosen.to(uniform.device), : part.draws])
            pictures[chosen] = changed.inputs
            for name, target in changed.targets.items():
                targets[name][chosen] = target
        return Batch(pictures, targets, batch.domain)


def several(
    sets: Sequence[MultiTaskData], name: str, title: str, parts: Sequence[float] | None = None
) -> MultiTaskData:
    """One set that holds the samples of all, split by split; each keeps its labels and lacks those of the others.

    `Batch.domain` is the number of the set that a sample comes from. A task that several sets have under one name
    is one task; for a regression, centre and scale are those of the first set that has it. Targets of no task
    (attributes) stay and are missing in sets that lack them, except those called like a task of another set.

    Args:
        sets: At least two, held in memory, with samples of one shape and type.
        name: Of the joined set.
        title: Of the joined set, one line.
        parts: How every training batch is divided among the sets, (1, 1) for halves; None draws batches from all
            samples together, so that a set comes as often as it is large.

    Raises:
        UmbelError: The sets do not fit together.
    """
    _check(sets)
    tasks = _tasks(sets)
    splits: dict[str, TensorSource | SideBySide] = {}
    for split in ("train", "validation", "test"):
        sources = [getattr(data, split) for data in sets]
        own = [_own(source.samples, data, tasks) for source, data in zip(sources, sets, strict=True)]
        if split == "train" and parts is not None:
            each = [TensorSource(samples, source.augment) for samples, source in zip(own, sources, strict=True)]
            splits[split] = SideBySide(each, parts)
            continue
        augment = ByDomain([source.augment for source in sources])
        splits[split] = TensorSource(join_batches(own), augment if augment.draws else None)
    notes = " ".join(f"[{number} = {data.name}] {data.note}" for number, data in enumerate(sets))
    note = f"Several sets joined; labels that a set does not have are missing. {notes}"
    warnings = tuple(dict.fromkeys(warning for data in sets for warning in data.warnings))
    shape = sets[0].input_shape
    return MultiTaskData(name, title, tuple(tasks.values()), **splits, input_shape=shape, note=note, warnings=warnings)


def _check(sets: Sequence[MultiTaskData]) -> None:
    if len(sets) < 2:
        raise UmbelError(f"{len(sets)} set(s) to join; give at least two")
    first = sets[0]
    for data in sets:
        if data.input_shape != first.input_shape:
            raise UmbelError(
                f"{data.name!r} has inputs of shape {data.input_shape}, {first.name!r} of {first.input_shape}; "
                "give both the same `resolution`"
            )
        for source in (data.train, data.validation, data.test):
            if not isinstance(source, TensorSource) or not isinstance(source.samples.inputs, Tensor):
                raise UmbelError(f"{data.name!r} is not held in memory as one tensor; only such sets can be joined")
            if isinstance(source.augment, ByDomain):
                raise UmbelError(f"{data.name!r} is itself joined from several sets; join all of them at once")
            if source.samples.inputs.dtype != first.train.samples.inputs.dtype:
                raise UmbelError(f"{data.name!r} and {first.name!r} hold inputs of different types; convert one")


def _tasks(sets: Sequence[MultiTaskData]) -> dict[str, Task]:
    """All tasks by name, in order of appearance; a name that comes twice must mean the same."""
    tasks: dict[str, Task] = {}
    for data in sets:
        for task in data.tasks:
            known = tasks.setdefault(task.name, task)
            if (known.kind, known.outputs, known.labels) != (task.kind, task.outputs, task.labels):
                raise UmbelError(
                    f"task {task.name!r} of {data.name!r} differs in kind or labels from that of another set; rename it"
                )
    return tasks


def _own(samples: Batch, data: MultiTaskData, tasks: dict[str, Task]) -> Batch:
    """Without the targets of tasks that the set was not asked to teach, though it has labels for them."""
    own = {task.name for task in data.tasks}
    targets = {name: target for name, target in samples.targets.items() if name in own or name not in tasks}
    return Batch(samples.inputs, targets)
