"""A network with its decoding inside: what the files hold takes bytes of pictures and gives natural units."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from umbel.control.timing import AtPoint
from umbel.core import MultiTaskModel, OperatingPoint, Task
from umbel.data.task_records import TaskRecord
from umbel.losses.standardising import precision_of


class Answering(nn.Module):
    """Inputs -> decoded predictions by task.

    Args:
        model: The network, in evaluation mode.
        point: Where it is run.
        tasks: Its tasks.
        pictures: Whether inputs are pictures of bytes 0 to 255, which the network gets as 0 to 1.
    """

    def __init__(self, model: MultiTaskModel, point: OperatingPoint, tasks: Sequence[Task], pictures: bool) -> None:
        super().__init__()
        self.network = AtPoint(model, point)
        self.pictures = pictures
        self.decoders = nn.ModuleList([decoder_of(task) for task in tasks])
        self.names = [task.name for task in tasks]
        self.eval()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Task -> its answer.

        Args:
            x: uint8 [B, C, H, W] of pictures; otherwise what the network takes.
        """
        predictions: Mapping[str, Tensor] = self.network(x.float() / 255 if self.pictures else x)
        return {name: decode(predictions[name]) for name, decode in zip(self.names, self.decoders, strict=True)}


def decoder_of(task: Task) -> nn.Module:
    """What makes natural units of a task's raw predictions; nothing, of a task that was made by hand."""
    record = TaskRecord.of(task)
    if record.answers == "values":
        return _Natural(record.centre, record.scale)
    return nn.Identity() if record.answers == "code" else _Decoding(task)


class _Natural(nn.Module):
    """Raw predictions in natural units, as `umbel.tasks.regression` decodes them: in double far from 0."""

    def __init__(self, centre: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        exact = [torch.tensor(numbers, dtype=torch.float64) for numbers in (centre, scale)]
        self.kind = precision_of(*exact)
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", exact[0].to(self.kind), persistent=False)
        self.register_buffer("scale", exact[1].to(self.kind), persistent=False)

    def forward(self, prediction: Tensor) -> Tensor:
        return prediction.to(self.kind) * self.scale + self.centre


class _Decoding(nn.Module):
    """The decoding of a task that has no numbers of its own."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.decode = task.decode

    def forward(self, prediction: Tensor) -> Tensor:
        return self.decode(prediction)
