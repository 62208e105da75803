"""Metrics of a learner on a split, at an operating point."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from umbel.core import Batch, Evaluation, Learner, OperatingPoint, Task, UmbelError, join_padded, missing_label, unknown
from umbel.core.modes import modes_kept
from umbel.core.seeding import own_randomness
from umbel.data import Source, seeded
from umbel.engine.runtime import FabricRuntime


@contextmanager
def evaluating(learner: Learner, runtime: FabricRuntime, seed: int, rank: int = 0) -> Iterator[None]:
    """Evaluation mode without gradients, and randomness (a channel's noise, say) of its own; then all as it was.

    Args:
        learner: What is evaluated.
        runtime: Its device.
        seed: Of the randomness.
        rank: Of the process, which draws its own.
    """
    own = own_randomness(seeded(seed, rank, 4).initial_seed(), runtime.device)
    with modes_kept(learner), torch.no_grad(), own:
        learner.eval()
        yield


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
        learner: Each part is left in the mode (training or evaluation) it was in.
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
    sums = torch.zeros(len(learner.tasks), 3, dtype=torch.float64, device=runtime.device)
    _check_draws(draws)
    with evaluating(learner, runtime, seed, runtime.rank):
        for _ in range(draws):
            for cpu_batch in source.batches(batch_size, runtime.rank, runtime.world_size):
                if not len(cpu_batch):
                    continue
                batch = cpu_batch.to(runtime.device)
                with runtime.autocast():
                    predictions = learner.predict(batch, point)
                _add(learner, metrics, predictions, batch, sums)
    totals = runtime.sum(sums).tolist()
    losses = {t.name: _mean(total, weight) for t, (total, weight, _) in zip(learner.tasks, totals, strict=True)}
    counts = [n for _, _, n in totals]
    return Evaluation(
        {t.name: compute_metrics(metrics[t.name], bool(n)) for t, n in zip(learner.tasks, counts, strict=True)}, losses
    )


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise UmbelError(f"draws is {draws}; every sample must be seen at least once")


def _add(
    learner: Learner,
    metrics: Mapping[str, Mapping[str, Any]],
    predictions: Mapping[str, Tensor],
    batch: Batch,
    sums: Tensor,
) -> None:
    """Feed a batch to the metrics; add each task's sum of losses, weight and number of labels to `sums` [T, 3]."""
    for task, row in zip(learner.tasks, sums, strict=True):
        if task.name not in predictions:
            continue
        prediction, target = predictions[task.name].float(), task.target_of(batch)
        for metric in metrics[task.name].values():
            task.update(metric, prediction, target)
        weight = task.weight(target)
        row.add_(torch.stack([task.mean_loss(prediction, target) * weight, weight, task.count(target)]))


@dataclass(frozen=True)
class Predictions:
    """Raw predictions of a whole split, for whatever needs every sample (a rule that decides when to stop, say).

    Attributes:
        raw: Task -> predictions [draws * N, ...], float32 on the CPU, draw after draw. Where batches
            differ in size, NaN is behind the end of the shorter ones.
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
    return Predictions(
        {n: join_padded(raw[n], math.nan) for n in chosen}, {n: _joined_targets(known[n], targets[n]) for n in chosen}
    )


def _joined_targets(task: Task, targets: list[Tensor]) -> Tensor:
    """[N, ...]; those of a batch with shorter samples are padded as the task wants it."""
    if targets[0].dtype == torch.bool:  # cannot be padded
        return torch.cat(targets)
    return join_padded(targets, missing_label(targets[0].dtype) if task.padding is None else task.padding)


def _mean(total: float, count: float) -> float:
    if not count:
        return math.nan
    return math.inf if math.isnan(total) else total / count


def compute_metrics(metrics: Mapping[str, Any], labelled: bool) -> dict[str, float]:
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


def metrics_of(task: Task, prediction: Tensor, target: Tensor) -> dict[str, float]:
    """Every metric of a task over predictions that are all at hand, as `predict_split` gives them; NaN without a label.

    Args:
        task: Whose.
        prediction: Raw, [N, ...].
        target: [N, ...], missing labels included.
    """
    metrics = {name: make() for name, make in task.metrics.items()}
    for metric in metrics.values():
        task.update(metric, prediction, target)
    return compute_metrics(metrics, bool(task.count(target)))


def decoded_predictions(
    learner: Learner, batch: Batch, runtime: FabricRuntime, point: OperatingPoint, seed: int = 0
) -> dict[str, Tensor]:
    """Decoded predictions of one batch (natural units), for pictures."""
    with evaluating(learner, runtime, seed), runtime.autocast():
        raw = learner.predict(batch.to(runtime.device), point)
    return {task.name: task.decode(raw[task.name].float()).cpu() for task in learner.tasks}
