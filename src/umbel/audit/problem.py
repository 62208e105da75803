"""What an attacker is given and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from umbel.audit.forms import Form, form_of
from umbel.audit.settings import Effort
from umbel.core import Task

Answer = Callable[[Tensor], Tensor]
"""Features [n, ...] as they were released -> raw predictions of the task, [n, ...]."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A task to infer from features: samples to train on, and others to choose by.

    Attributes:
        task: What is inferred; its loss, decoding and main metric.
        features: Of training samples, [n, ...] float32; [n, C, h, w] are maps.
        targets: Theirs, [n, ...], missing labels included. Every sample has a label.
        held_features: Of validation samples.
        held_targets: Theirs.
        effort: How much an attacker tries.
        seed: Of its randomness.
    """

    task: Task
    features: Tensor
    targets: Tensor
    held_features: Tensor
    held_targets: Tensor
    effort: Effort
    seed: int

    def __len__(self) -> int:
        return len(self.features)

    @property
    def is_map(self) -> bool:
        """Whether features have positions."""
        return self.features.ndim == 4 and self.features[0, 0].numel() > 1

    @property
    def is_dense(self) -> bool:
        """Whether there is a target at each position of a picture."""
        return self.targets.ndim >= 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a dense target."""
        return size_of(self.targets)

    @property
    def form(self) -> Form | None:
        """Classes, yes/no or values; None for any other target."""
        return form_of(self.task, self.targets)

    def with_seed(self, seed: int) -> "Problem":
        """The same with other randomness."""
        return replace(self, seed=seed)


class Attacker(Protocol):
    """One way to infer a task from features.

    Attributes:
        name: On pages and in settings.
        varies: Whether its seed changes what it learns; one that does not vary is trained once for all seeds.
    """

    name: str
    varies: bool

    def fits(self, problem: Problem) -> bool:
        """Whether it can read these features and answer this task."""
        ...

    def train(self, problem: Problem) -> Answer:
        """Learn from the training samples; variants are chosen by the main metric on the validation samples."""
        ...


def size_of(maps: Tensor) -> tuple[int, int]:
    """Height and width of maps [n, ..., H, W]."""
    return maps.shape[-2], maps.shape[-1]


def with_labels(task: Task, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Those samples that have a label at all."""
    known = task.labelled(targets).reshape(len(targets), -1).any(1)
    return (features, targets) if bool(known.all()) else (features[known], targets[known])
