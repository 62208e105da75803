"""What is sent in each stage, and what each receiver wants after each stage."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor
from torch.nn import functional as F

from umbel.core import Batch, ElementLoss, Task
from umbel.errors import UmbelError


@dataclass(frozen=True)
class Stage:
    """One part of a transmission: a layer, or a round.

    Attributes:
        uses: Channel uses; complex or real ones, as the channels have them.
        power: Mean power per use.
    """

    uses: int
    power: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.uses, bool) or not isinstance(self.uses, int) or self.uses < 1:
            raise UmbelError(f"a stage of {self.uses} channel uses; every layer or round needs at least 1 whole use")
        if not 0 < self.power < float("inf"):
            raise UmbelError(f"a stage with power {self.power}; it must be greater than 0")


@dataclass(frozen=True)
class Goal:
    """One prediction: which task, by which receiver, after which stage.

    Attributes:
        task: What is predicted. Its output is "vector", "map" or "picture".
        stage: After this stage, from 1; the receiver has then heard stages 1 to `stage`.
        receiver: Who predicts; empty where there is only one receiver.
        weight: Factor of its loss.
        shrink: For pictures: the target is the picture averaged over squares of so many pixels a side (a resolution
            pyramid). 1 is the full picture.
    """

    task: Task
    stage: int = 1
    receiver: str = ""
    weight: float = 1.0
    shrink: int = 1

    def __post_init__(self) -> None:
        if self.stage < 1 or self.shrink < 1:
            raise UmbelError(f"goal {self.task.name!r}: stage {self.stage} and shrink {self.shrink} start from 1")
        if self.shrink > 1 and self.task.output != "picture":
            raise UmbelError(f"goal {self.task.name!r}: shrink is {self.shrink}, but only a picture can be shrunk")
        if not 0 <= self.weight < float("inf"):
            raise UmbelError(f"goal {self.task.name!r}: weight is {self.weight}; give a finite number, at least 0")

    @property
    def name(self) -> str:
        """Unique within a model: "digit@2", or "alice/digit@2"."""
        return f"{self.receiver}/{self.task.name}@{self.stage}" if self.receiver else f"{self.task.name}@{self.stage}"

    def as_task(self) -> Task:
        """The task under the goal's name, with its weight in the loss and its own target."""
        target = partial(_target, self.task, self.shrink)
        loss = self.task.loss if self.weight == 1 else partial(_weighted, self.task.loss, self.weight)
        return replace(self.task, name=self.name, target=target, loss=loss)


def _target(task: Task, shrink: int, batch: Batch) -> Tensor:
    target = task.target_of(batch)
    return target if shrink == 1 else F.avg_pool2d(target, shrink)


def _weighted(loss: ElementLoss | Callable, weight: float, prediction: Tensor, target: Tensor) -> Tensor:
    return weight * loss(prediction, target)
