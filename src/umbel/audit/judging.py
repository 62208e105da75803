"""How good answers are by a task's main metric, and how far that depends on the samples and seeds at hand."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from umbel.audit.problem import Answer
from umbel.core import Task
from umbel.data import seeded

_GROUPS = 200  # resampling groups of samples leaves 1/200 of the variance out
_NUMBERS = 2**24  # of raw predictions at a time
_COSTLY = 100  # resamples of a metric that must be computed from its samples
_CONFIDENCE = 0.95


def better(task: Task, score: float, than: float) -> bool:
    """Whether a score of the main metric is better; NaN is worse than anything."""
    if math.isnan(score):
        return False
    return math.isnan(than) or (score > than if task.higher_is_better else score < than)


def score_of(task: Task, answer: Answer, features: Tensor, targets: Tensor) -> float:
    """The main metric of answers; NaN without a label.

    Args:
        task: Whose.
        answer: Of an attacker.
        features: [n, ...].
        targets: [n, ...], missing labels included.
    """
    metric = task.metrics[task.main_metric]()
    for raw, target in _answers(task, answer, features, targets, 1):
        task.update(metric, raw, target)
    return _value(metric) if bool(task.count(targets)) else math.nan


def _answers(
    task: Task, answer: Answer, features: Tensor, targets: Tensor, multiple: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Raw predictions and targets, a number of samples at a time that is a multiple of the given one."""
    each = max(targets[:1].numel(), 1) * (1 if targets.is_floating_point() else task.outputs)
    size = max(_NUMBERS // each // multiple, 1) * multiple
    with torch.no_grad():
        for some, target in zip(features.split(size), targets.split(size), strict=True):
            yield answer(some).float(), target


def _value(metric: Any) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
        return float(metric.compute())


@dataclass(frozen=True, eq=False)
class Tally:
    """What a main metric counted in each group of test samples, so that groups can be drawn anew.

    Attributes:
        task: Whose main metric.
        metric: The main metric, to compute with.
        states: Name of a count -> [groups, ...], where counts of groups add up; empty for other metrics.
        parts: Raw predictions and targets of each group, where they do not.
    """

    task: Task
    metric: Any
    states: Mapping[str, Tensor]
    parts: Sequence[tuple[Tensor, Tensor]]

    def __len__(self) -> int:
        return len(self.parts) or len(next(iter(self.states.values())))

    @property
    def is_quick(self) -> bool:
        """Whether a resample costs next to nothing."""
        return bool(self.states)

    def scores(self, drawn: Tensor) -> Tensor:
        """The metric of groups that were drawn so many times each: [resamples, groups] int64 -> [resamples] float64."""
        if not self.states:
            return torch.tensor([self._recomputed(row) for row in drawn], dtype=torch.float64)
        sums = {
            name: torch.tensordot(drawn.double(), state.double(), 1).to(state.dtype)
            for name, state in self.states.items()
        }
        values = []
        for row in range(len(drawn)):
            self.metric.reset()
            for name, summed in sums.items():
                setattr(self.metric, name, summed[row])
            values.append(_value(self.metric))
        return torch.tensor(values, dtype=torch.float64)

    def _recomputed(self, drawn: Tensor) -> float:
        self.metric.reset()
        chosen = torch.arange(len(drawn)).repeat_interleave(drawn).tolist()
        raw, target = (torch.cat([self.parts[index][side] for index in chosen]) for side in (0, 1))
        self.task.update(self.metric, raw, target)
        return _value(self.metric)


def tally(task: Task, answer: Answer, features: Tensor, targets: Tensor) -> Tally:
    """Count by groups.

    Args:
        task: Whose.
        answer: Of an attacker.
        features: [n, ...], in an order that means nothing.
        targets: [n, ...], missing labels included.
    """
    size = math.ceil(len(features) / _GROUPS)
    whole, states, parts = task.metrics[task.main_metric](), [], []
    for raw, target in _answers(task, answer, features, targets, size):
        for of_group, wanted in zip(raw.split(size), target.split(size), strict=True):
            metric = task.metrics[task.main_metric]()
            task.update(metric, of_group, wanted)
            task.update(whole, of_group, wanted)
            states.append(dict(metric.metric_state))
            parts.append((of_group, wanted))
    joined = _added_up(states, dict(whole.metric_state))
    return Tally(task, whole, joined, [] if joined else parts)


def _added_up(states: list[dict[str, Any]], whole: dict[str, Any]) -> dict[str, Tensor]:
    """States of groups, stacked, if their sums are the state of all; empty otherwise."""
    joined: dict[str, Tensor] = {}
    for name, state in whole.items():
        if not isinstance(state, Tensor) or any(one[name].shape != state.shape for one in states):
            return {}
        joined[name] = torch.stack([one[name] for one in states])
        if not torch.allclose(joined[name].double().sum(0), state.double(), rtol=1e-3, equal_nan=True):
            return {}
    return joined


def interval(tallies: Sequence[Tally], resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean score of attackers of several seeds: a bootstrap over samples and seeds.

    Groups of test samples are drawn with replacement, the same for all seeds, and then seeds. What few drawn seeds
    deviate from their mean is multiplied by sqrt(S / (S - 1)), without which S seeds would seem to agree too well.

    Args:
        tallies: Of each seed's attacker on the same test samples; the same object where it is the same attacker.
        resamples: How often; at most 100 where the metric must be computed from samples.
        seed: Of the draws.
    """
    generator = seeded(seed, 14)
    groups, count = len(tallies[0]), len(tallies)
    resamples = resamples if all(one.is_quick for one in tallies) else min(resamples, _COSTLY)
    stretch = math.sqrt(count / (count - 1)) if count > 1 else 0.0
    different = list({id(one): one for one in tallies}.values())
    place = [[id(one) for one in different].index(id(one)) for one in tallies]
    picked = torch.randint(groups, (resamples, groups), generator=generator)
    drawn = torch.zeros(resamples, groups, dtype=torch.int64).scatter_add_(1, picked, torch.ones_like(picked))
    values = torch.stack([one.scores(drawn) for one in different])[place]
    some = values.gather(0, torch.randint(count, (count, resamples), generator=generator))
    means = values.mean(0) + stretch * (some.mean(0) - values.mean(0))
    usable = means[~means.isnan()]
    if not len(usable):
        return math.nan, math.nan
    ends = torch.tensor([(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2], dtype=torch.float64)
    low, high = torch.quantile(usable, ends).tolist()
    return low, high
