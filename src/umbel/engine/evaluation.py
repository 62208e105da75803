"""Metrics of a learner on a split, at an operating point."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from umbel.core import Batch, Learner, OperatingPoint, UmbelError
from umbel.data import Source
from umbel.engine.runtime import FabricRuntime
from umbel.metrics import relative_improvement


@dataclass(frozen=True)
class Evaluation:
    """Results on one split.

    Attributes:
        metrics: Task -> metric -> value; NaN where the split has no label for the task.
        losses: Task -> mean loss over the labelled elements; NaN where there are none, infinite where it diverged.
    """

    metrics: dict[str, dict[str, float]]
    losses: dict[str, float]

    def main(self) -> dict[str, float]:
        """Task -> its main metric."""
        return {task: next(iter(values.values())) for task, values in self.metrics.items()}


@torch.no_grad()
def evaluate(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    point: OperatingPoint | None = None,
    batch_size: int = 256,
) -> Evaluation:
    """Every sample of a split once; with several processes each takes its share of the batches.

    Args:
        learner: Left in the mode (training or evaluation) it was in.
        source: The split.
        runtime: Processes and precision.
        point: Operating point; by default the first of the learner's sweep.
        batch_size: Samples at a time.
    """
    point = learner.sweep()[0] if point is None else point
    training = learner.training
    learner.eval()
    metrics = {
        task.name: {name: make().to(runtime.device) for name, make in task.metrics.items()} for task in learner.tasks
    }
    sums = torch.zeros(len(learner.tasks), 2, dtype=torch.float64, device=runtime.device)
    for cpu_batch in source.batches(batch_size, runtime.rank, runtime.world_size):
        batch = cpu_batch.to(runtime.device)
        with runtime.autocast():
            predictions = learner.predict(batch, point)
        for i, task in enumerate(learner.tasks):
            prediction = predictions[task.name].float()
            for metric in metrics[task.name].values():
                task.update(metric, prediction, batch)
            count = task.count(batch)
            sums[i] += torch.stack([task.mean_loss(prediction, batch) * count, count])
    learner.train(training)
    totals = runtime.sum(sums).tolist()
    losses = {t.name: _mean(total, n) for t, (total, n) in zip(learner.tasks, totals, strict=True)}
    counts = [n for _, n in totals]
    return Evaluation(
        {t.name: _compute(metrics[t.name], bool(n)) for t, n in zip(learner.tasks, counts, strict=True)}, losses
    )


def _mean(total: float, count: float) -> float:
    if not count:
        return math.nan
    return math.inf if math.isnan(total) else total / count


def _compute(metrics: Mapping, labelled: bool) -> dict[str, float]:
    if not labelled:
        return dict.fromkeys(metrics, math.nan)
    with warnings.catch_warnings():
        # A process whose share holds no label of the task computes from the others' sums alone.
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
        return {name: float(metric.compute()) for name, metric in metrics.items()}


@dataclass(frozen=True)
class Monitor:
    """One number from an evaluation, greater is better: what chooses the best checkpoint.

    Attributes:
        name: "improvement", "loss" or "task/metric".
        references: For "improvement": task -> main metric to compare with. A task whose reference is 0 or not
            finite is left out.
    """

    name: str
    references: Mapping[str, float]

    def check(self, learner: Learner) -> None:
        """Before training: see whether this can be computed for the learner.

        Raises:
            UmbelError: `name` names no metric of any task, or a task has no reference.
        """
        known = ["improvement", "loss", *(f"{t.name}/{m}" for t in learner.tasks for m in t.metrics)]
        if self.name not in known:
            raise UmbelError(f"monitor {self.name!r} is not known; use {', '.join(known)}")
        for task in learner.tasks:
            if self.name == "improvement" and self.references and task.name not in self.references:
                raise UmbelError(f"monitor 'improvement': task {task.name!r} has no reference; give one for each task")

    def score(self, evaluation: Evaluation, learner: Learner) -> float:
        """The number; -inf when it is not finite.

        Raises:
            UmbelError: See `check`.
        """
        self.check(learner)
        value = self._value(evaluation, learner)
        return value if math.isfinite(value) else -math.inf

    def _value(self, evaluation: Evaluation, learner: Learner) -> float:
        loss = sum(value for value in evaluation.losses.values() if not math.isnan(value))
        if self.name == "loss":
            return -loss
        if self.name == "improvement":
            main = evaluation.main()
            gains = [
                relative_improvement(main[t.name], self.references[t.name], t.higher_is_better)
                for t in learner.tasks
                if math.isfinite(self.references[t.name]) and self.references[t.name]
            ]
            return sum(gains) / len(gains) if gains else -loss
        task, metric = next((t, m) for t in learner.tasks for m in t.metrics if f"{t.name}/{m}" == self.name)
        better = task.higher_is_better if metric == task.main_metric else _direction(task, metric)
        value = evaluation.metrics[task.name][metric]
        return value if better else -value


def _direction(task, metric: str) -> bool:
    declared = getattr(task.metrics[metric](), "higher_is_better", None)
    return task.higher_is_better if declared is None else declared


def decoded_predictions(learner: Learner, batch: Batch, runtime: FabricRuntime, point: OperatingPoint) -> dict:
    """Decoded predictions of one batch (natural units), for pictures."""
    training = learner.training
    learner.eval()
    with torch.no_grad(), runtime.autocast():
        raw = learner.predict(batch.to(runtime.device), point)
    learner.train(training)
    return {task.name: task.decode(raw[task.name].float()).cpu() for task in learner.tasks}
