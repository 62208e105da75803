"""Metrics of a learner on a split, at an operating point."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.core import Batch, Learner, OperatingPoint, UmbelError, unknown
from umbel.data import Source, seeded
from umbel.engine.runtime import FabricRuntime, seed_default
from umbel.metrics import relative_improvement


@dataclass(frozen=True)
class Evaluation:
    """Results on one split.

    Attributes:
        metrics: Task -> metric -> value; NaN where the split has no label for the task, or where the model does not
            predict it at this point (after a stage that was not sent, say).
        losses: Task -> mean loss over the labelled elements; NaN where there are none, infinite where it diverged.
    """

    metrics: dict[str, dict[str, float]]
    losses: dict[str, float]

    def main(self) -> dict[str, float]:
        """Task -> its main metric."""
        return {task: next(iter(values.values())) for task, values in self.metrics.items()}


@contextmanager
def evaluating(learner: Learner, runtime: FabricRuntime, seed: int, rank: int = 0) -> Iterator[None]:
    """Evaluation mode without gradients, and randomness (a channel's noise, say) of its own; then all as it was.

    Args:
        learner: What is evaluated.
        runtime: Its device.
        seed: Of the randomness.
        rank: Of the process, which draws its own.
    """
    training, cuda = learner.training, runtime.device.type == "cuda"
    learner.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[runtime.device] if cuda else []):
        seed_default(seeded(seed, rank, 4).initial_seed(), runtime.device)
        try:
            yield
        finally:
            learner.train(training)


def evaluate(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    point: OperatingPoint | None = None,
    batch_size: int = 256,
    *,
    seed: int = 0,
    draws: int = 1,
) -> Evaluation:
    """Every sample of a split once; with several processes each takes its share of the batches.

    Args:
        learner: Left in the mode (training or evaluation) it was in.
        source: The split.
        runtime: Processes and precision.
        point: Operating point; by default the first of the learner's sweep.
        batch_size: Samples at a time.
        seed: Of whatever is random in the model (noise of a channel). The same seed gives the same numbers.
        draws: How many times each sample is seen, each time with noise of its own.
    """
    point = learner.sweep()[0] if point is None else point
    metrics = {
        task.name: {name: make().to(runtime.device) for name, make in task.metrics.items()} for task in learner.tasks
    }
    sums = torch.zeros(len(learner.tasks), 2, dtype=torch.float64, device=runtime.device)
    _check_draws(draws)
    with evaluating(learner, runtime, seed, runtime.rank):
        for _ in range(draws):
            for cpu_batch in source.batches(batch_size, runtime.rank, runtime.world_size):
                batch = cpu_batch.to(runtime.device)
                with runtime.autocast():
                    predictions = learner.predict(batch, point)
                _add(learner, metrics, predictions, batch, sums)
    totals = runtime.sum(sums).tolist()
    losses = {t.name: _mean(total, n) for t, (total, n) in zip(learner.tasks, totals, strict=True)}
    counts = [n for _, n in totals]
    return Evaluation(
        {t.name: compute_metrics(metrics[t.name], bool(n)) for t, n in zip(learner.tasks, counts, strict=True)}, losses
    )


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise UmbelError(f"draws is {draws}; every sample must be seen at least once")


def _add(learner: Learner, metrics: Mapping, predictions: Mapping[str, Tensor], batch: Batch, sums: Tensor) -> None:
    """Feed a batch to the metrics; add each task's sum of losses and number of labels to its row of `sums` [T, 2]."""
    for task, row in zip(learner.tasks, sums, strict=True):
        if task.name not in predictions:
            continue
        prediction = predictions[task.name].float()
        for metric in metrics[task.name].values():
            task.update(metric, prediction, batch)
        count = task.count(batch)
        row.add_(torch.stack([task.mean_loss(prediction, batch) * count, count]))


@dataclass(frozen=True)
class Predictions:
    """Raw predictions of a whole split, for whatever needs every sample (a rule that decides when to stop, say).

    Attributes:
        raw: Task -> predictions [draws * N, ...], float32 on the CPU, draw after draw.
        targets: Task -> targets [draws * N, ...], with missing labels as in `Batch`.
    """

    raw: dict[str, Tensor]
    targets: dict[str, Tensor]


def predict_split(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    point: OperatingPoint | None = None,
    batch_size: int = 256,
    *,
    tasks: Iterable[str] | None = None,
    seed: int = 0,
    draws: int = 1,
) -> Predictions:
    """All predictions of a split. Every process computes the whole of it, with the same noise.

    Args:
        learner: Left in the mode it was in.
        source: The split.
        runtime: Device and precision.
        point: Operating point; by default the first of the learner's sweep.
        batch_size: Samples at a time.
        tasks: Names of the tasks to keep (pictures take memory); None keeps all that are predicted at this point.
        seed: Of whatever is random in the model; another draw of the same sample has other noise.
        draws: How many times each sample is predicted.

    Raises:
        UmbelError: A task that the learner does not have, or does not predict at this point.
    """
    known = {task.name: task for task in learner.tasks}
    for name in (chosen := list(known if tasks is None else tasks)):
        if name not in known:
            raise unknown("task", name, known)
    _check_draws(draws)
    point = learner.sweep()[0] if point is None else point
    raw: dict[str, list[Tensor]] = {name: [] for name in chosen}
    targets: dict[str, list[Tensor]] = {name: [] for name in chosen}
    with evaluating(learner, runtime, seed):
        for _ in range(draws):
            for batch in source.batches(batch_size):
                with runtime.autocast():
                    predictions = learner.predict(batch.to(runtime.device), point)
                if tasks is None:
                    chosen = [name for name in chosen if name in predictions]
                for name in chosen:
                    if name not in predictions:
                        raise UmbelError(f"task {name!r} is not predicted at {point}")
                    raw[name].append(predictions[name].float().cpu())
                    targets[name].append(known[name].target_of(batch))
    return Predictions({n: torch.cat(raw[n]) for n in chosen}, {n: torch.cat(targets[n]) for n in chosen})


def _mean(total: float, count: float) -> float:
    if not count:
        return math.nan
    return math.inf if math.isnan(total) else total / count


def compute_metrics(metrics: Mapping, labelled: bool) -> dict[str, float]:
    """Values of torchmetrics metrics over all processes.

    Args:
        metrics: Name -> metric.
        labelled: Whether any process fed them a label; NaN for all if not.
    """
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
            raise unknown("monitor", self.name, known)
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


def decoded_predictions(
    learner: Learner, batch: Batch, runtime: FabricRuntime, point: OperatingPoint, seed: int = 0
) -> dict[str, Tensor]:
    """Decoded predictions of one batch (natural units), for pictures."""
    with evaluating(learner, runtime, seed), runtime.autocast():
        raw = learner.predict(batch.to(runtime.device), point)
    return {task.name: task.decode(raw[task.name].float()).cpu() for task in learner.tasks}
