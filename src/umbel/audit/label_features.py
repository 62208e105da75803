"""Labels of tasks as features: what those know who have the answers that the features are meant for."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from umbel.audit.forms import form_of, numbers_of
from umbel.core import Task, labelled

_LEVELS = 16  # that values are cut into
_SIDE = 32  # positions along the longer side of maps of labels
_ALONE = 8  # as few numbers can be told apart one by one; more make one code for each sample


class LabelCodes:
    """One whole number for each combination of labels: classes and yes/no as they are, values in 16 levels.

    Args:
        tasks: Whose labels.
        targets: Task -> targets of training samples, which set the levels.
        size: Of the maps that codes are given as; None: one code for each sample.
    """

    def __init__(self, tasks: Sequence[Task], targets: Mapping[str, Tensor], size: tuple[int, int] | None) -> None:
        self.tasks, self.size = tasks, size
        self.levels: dict[str, Tensor] = {}
        counts = []
        for task in tasks:
            target = targets[task.name]
            if target.is_floating_point():
                numbers = target.movedim(1, -1).reshape(-1, target.shape[1]) if target.ndim > 1 else target[:, None]
                ends = torch.linspace(0, 1, _LEVELS + 1)[1:-1].to(numbers)
                self.levels[task.name] = torch.nanquantile(numbers[:100_000], ends, dim=0)
                counts += [_LEVELS + 1] * numbers.shape[1]
            else:
                counts.append(task.outputs + 1)
        self.count = math.prod(counts)

    @staticmethod
    def fits(tasks: Sequence[Task], targets: Mapping[str, Tensor], dense: bool) -> bool:
        """Whether every task has few numbers, for each sample or, where codes may be maps, for each position."""
        for task in tasks:
            target = targets[task.name]
            if (target.ndim >= 3 and not dense) or target.ndim not in (1, 2, 3, 4) or target.dtype == torch.bool:
                return False
            if target.is_floating_point() and target.ndim > 1 and target.shape[1] > _ALONE:
                return False
        return True

    def __call__(self, targets: Mapping[str, Tensor]) -> Tensor:
        """Codes [n], or [n, H, W], int64."""
        codes: Tensor | None = None
        for task in self.tasks:
            for part, count in self._parts(task, targets[task.name]):
                placed = part if self.size is None else _as_map(part, self.size)
                codes = placed if codes is None else codes * count + placed
        assert codes is not None
        return codes

    def _parts(self, task: Task, target: Tensor) -> list[tuple[Tensor, int]]:
        if not target.is_floating_point():
            return [(torch.where(target >= 0, target, task.outputs).long(), task.outputs + 1)]
        columns = target.movedim(1, 0) if target.ndim > 1 else target[None]
        ends = self.levels[task.name]
        return [
            (torch.where(column.isnan(), _LEVELS, torch.bucketize(column, ends[:, i].contiguous())), _LEVELS + 1)
            for i, column in enumerate(columns)
        ]


def _as_map(codes: Tensor, size: tuple[int, int]) -> Tensor:
    """Codes [n] or [n, h, w] as [n, H, W]."""
    if codes.ndim == 1:
        return codes[:, None, None].expand(-1, *size)
    return F.interpolate(codes[:, None].double(), size, mode="nearest-exact")[:, 0].long()


def label_columns(tasks: Sequence[Task], targets: Mapping[str, Tensor]) -> Tensor:
    """Labels as numbers of each sample, [n, columns] float32; of maps the mean and spread of each channel."""
    columns = []
    for task in tasks:
        numbers, known = _numbers(task, targets[task.name])
        if numbers.ndim > 2:
            share = known.expand_as(numbers).flatten(2).float()
            flat = numbers.flatten(2)
            mean = (flat * share).sum(2) / share.sum(2).clamp(min=1)
            spread = ((flat - mean[:, :, None]).square() * share).sum(2) / share.sum(2).clamp(min=1)
            columns += [mean, spread.sqrt()]
        else:
            columns += [numbers, known.float()]
    return torch.cat(columns, 1)


def label_maps(tasks: Sequence[Task], targets: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """Labels as maps [n, C, h, w] float32, up to 32 positions along a side; labels of samples are all over the map."""
    factor = max(max(size) / _SIDE, 1)
    small = max(round(size[0] / factor), 1), max(round(size[1] / factor), 1)
    maps = []
    for task in tasks:
        for part in _numbers(task, targets[task.name]):
            if part.ndim > 2:
                maps.append(F.adaptive_avg_pool2d(part.float(), small))
            else:
                maps.append(part.float()[:, :, None, None].expand(-1, -1, *small))
    return torch.cat(maps, 1)


def _numbers(task: Task, target: Tensor) -> tuple[Tensor, Tensor]:
    """[n, K, ...] float32, 0 where missing, and which are labelled."""
    form = form_of(task, target)
    if form is not None:
        return numbers_of(task, form, target)
    known = labelled(target)
    numbers = torch.where(known, target, torch.zeros_like(target)).float()
    return (numbers[:, None], known[:, None]) if target.ndim == 1 else (numbers, known)
