"""What is attacked at one operating point: the samples that attackers use, as the frozen network releases them."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

from umbel.audit import Observed, are_pictures, observe, receivers_of
from umbel.core import OperatingPoint, Task, UmbelError
from umbel.core.machine import machine_bytes
from umbel.data import MultiTaskData, Source, TensorSource
from umbel.data.pictures import subset
from umbel.data.source import first_samples
from umbel.engine import FabricRuntime
from umbel.recipes.auditing.leaks import ITSELF
from umbel.recipes.auditing.subject import Subject

SPLITS = ("train", "validation", "test")
_PART_OF_MEMORY = 4  # what is observed may take a quarter of it; attackers need the rest
_BYTES = 4  # of a number


Cell = list[tuple[str, ...]]
"""Groups of receivers that hold the same features together."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of a split that attackers use.

    Attributes:
        source: The split; where samples can be picked, only those.
        count: So many, from the beginning.
    """

    source: Source
    count: int


def samples_of(data: MultiTaskData, most: int) -> dict[str, Samples]:
    """Split -> its samples, drawn at random where the split is in memory, else the first ones.

    Args:
        data: What is audited on.
        most: Training samples at most; of validation and test a third of it each.
    """
    samples = {}
    for split in SPLITS:
        source: Source = getattr(data, split)
        count = min(len(source), most if split == "train" else max(most // 3, 1))
        if isinstance(source, TensorSource) and count < len(source):
            source = source.select(subset(len(source), count))
        samples[split] = Samples(source, count)
    return samples


def check_room(subject: Subject, samples: dict[str, Samples], point: OperatingPoint, runtime: FabricRuntime) -> None:
    """Refuse what would not fit into memory, before it is computed.

    Raises:
        UmbelError: Says how much it is.
    """
    first = next(iter(samples.values())).source
    seen = observe(subject.learner, first, runtime, point, most=len(first_samples(first, 2)))
    apart = {id(features): features for features in (seen.inputs, *seen.features.values())}
    each = sum(tensor[0].numel() for tensor in apart.values()) * _BYTES
    needed, limit = each * sum(some.count for some in samples.values()), machine_bytes() // _PART_OF_MEMORY
    if needed > limit:
        fewer = max(10, int(samples["train"].count * limit / needed))
        raise UmbelError(
            f"features and inputs of {sum(some.count for some in samples.values()):,} samples need "
            f"{needed / 2**30:.1f} GiB, more than a quarter of the memory; audit fewer with --most {fewer}"
        )


class Attacked:
    """A frozen network at one operating point, observed when it is first asked for.

    Args:
        subject: The network.
        samples: Of each split.
        runtime: Device and precision.
        point: The operating point.
        releases: How many releases of each sample attackers average.
    """

    def __init__(
        self,
        subject: Subject,
        samples: dict[str, Samples],
        runtime: FabricRuntime,
        point: OperatingPoint,
        releases: int,
    ) -> None:
        self.subject, self.samples, self.runtime = subject, samples, runtime
        self.point, self.releases = point, releases

    @cached_property
    def observed(self) -> dict[str, Observed]:
        """Split -> what was released of it, each with noise of its own."""
        return {
            split: observe(
                self.subject.learner,
                some.source,
                self.runtime,
                self.point,
                seed=seed,
                releases=self.releases,
                most=some.count,
            )
            for seed, (split, some) in enumerate(self.samples.items())
        }

    @property
    def unserved(self) -> tuple[Task, ...]:
        """Tasks that nobody's features are meant for."""
        served = {name for tasks in self.observed["train"].serves.values() for name in tasks}
        return tuple(task for task in self.subject.learner.tasks if task.name not in served)

    @property
    def inputs(self) -> dict[str, Observed]:
        """Split -> the input itself, as what somebody got for the tasks that nobody's features are meant for."""
        names = tuple(task.name for task in self.unserved)
        return {
            split: dataclasses.replace(seen, features={ITSELF: seen.inputs.float()}, serves={ITSELF: names})
            for split, seen in self.observed.items()
        }

    @cached_property
    def cells(self) -> list[Cell]:
        """Groups of receivers that attack, those with the very same features in one list."""
        cells: dict[tuple[int, ...], Cell] = {}
        train = self.observed["train"]
        for group in receivers_of(self.observed["train"]):
            parts = tuple(dict.fromkeys(id(train.features[name]) for name in group))
            cells.setdefault(parts, []).append(group)
        return list(cells.values())

    @property
    def has_pictures(self) -> bool:
        """Whether inputs are pictures, so that how well they are rebuilt can be judged."""
        return are_pictures(self.observed["test"].inputs)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of who gets what."""
        features = self.observed["test"].features
        notes = []
        if len(features) > 1 and len({id(one) for one in features.values()}) == 1:
            notes.append(
                "All tasks get the very same features, so that nothing is kept from any of them: each task's features "
                "tell every other task as well as its own."
            )
        if unserved := [task.name for task in self.unserved]:
            notes.append(
                f"Nobody gets features that are meant for {', '.join(unserved)}: the ceilings are what the same "
                "attackers tell from the input itself."
            )
        if len(self.subject.learner.tasks) == 1 and not unserved:
            notes.append("There is one task only: nothing can be inferred across tasks, only the input be rebuilt.")
        return notes
