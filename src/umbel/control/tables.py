"""What every configuration of a trained network does and costs, measured on data and counted on its dense networks."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from umbel.control.latency import Latency
from umbel.core import Batch, Learner, OperatingPoint, Task, UmbelError, at_point
from umbel.data import Source
from umbel.engine import FabricRuntime, evaluating
from umbel.engine.evaluation import compute_metrics
from umbel.nn import Slimmable, cost_of, recalibrate
from umbel.search import ConfigurationTable, TaskMetric

SAMPLES = 2048
"""How many training samples batch-norm statistics are measured on, if there are so many."""
_KINDS = ("macs", "parameters", "bytes")


def grid_points(learner: Learner) -> list[list[OperatingPoint]]:
    """Every encoder width (rows) with every head width, the same for all heads (columns).

    Whatever else the model's parts read (the signal-to-noise ratio of a link) is as in validation.

    Raises:
        UmbelError: The encoder or a head is not slimmable.
    """
    model = learner.model
    parts = [getattr(model, "encoder", None), *(model.heads[t.name] for t in learner.tasks)]
    if not all(isinstance(part, Slimmable) for part in parts):
        raise UmbelError(
            "this network was not trained with widths, so there is nothing to turn; train it with --widths"
        )
    names, widths = [t.name for t in learner.tasks], model.encoder.widths
    usual = learner.sweep()[0]
    return [[usual.with_values(width=w, head_widths=dict.fromkeys(names, v)) for v in widths] for w in widths]


def calibrate(
    learner: Learner,
    train: Source,
    runtime: FabricRuntime,
    *,
    samples: int = SAMPLES,
    batch_size: int = 256,
    points: Sequence[OperatingPoint] | None = None,
) -> None:
    """Measure the batch-norm statistics of all configurations on training batches, as training drew them.

    With several processes each measures all of it, so that they stay the same.

    Args:
        learner: With a slimmable model.
        train: The training split; its augmentation stays on, as it is while running statistics are taken.
        runtime: Device and precision.
        samples: At most so many.
        batch_size: Samples at a time.
        points: Only these configurations; None is the whole grid.
    """
    inputs = training_inputs(train, runtime, samples, batch_size)
    with runtime.autocast():
        recalibrate(learner.model, inputs, points)


def training_inputs(train: Source, runtime: FabricRuntime, samples: int, batch_size: int = 256) -> list[Tensor]:
    """Inputs of some training batches, on the device: the same on every process and in every call.

    Args:
        train: The training split.
        runtime: The device.
        samples: At least so many, if there are; whole batches.
        batch_size: Samples in each.
    """
    inputs: list[Tensor] = []
    for batch in train.train_batches(min(batch_size, len(train)), seed=0, epoch=0):
        inputs.append(batch.to(runtime.device).inputs)
        if sum(map(len, inputs)) >= samples:
            break
    return inputs


def quality_table(
    learner: Learner, source: Source, runtime: FabricRuntime, batch_size: int = 256, seed: int = 0
) -> np.ndarray:
    """The main metric of every task at every encoder width and head width: [T, We, Wd].

    Heads do not see each other, so this is the quality of all We * Wd^T configurations. See `main_metrics`.

    Raises:
        UmbelError: A network without widths, or a configuration without batch-norm statistics.
    """
    return main_metrics(learner, source, runtime, grid_points(learner), batch_size, seed)


def main_metrics(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    points: Sequence[Sequence[OperatingPoint]],
    batch_size: int = 256,
    seed: int = 0,
) -> np.ndarray:
    """The main metric of every task at rows of operating points: [T, rows, columns].

    The encoder runs once for each row, and a head only on the samples that are labelled for its task.

    Args:
        learner: With a `MultiTaskModel`.
        source: The split.
        runtime: Processes and precision.
        points: Points of one row give the encoder the same features; all rows are equally long.
        batch_size: Samples at a time.
        seed: Of whatever is random in the model's links.

    Returns:
        NaN for a task without any label in the split.
    """
    metrics = [[[_main_metric(task, runtime) for _ in row] for row in points] for task in learner.tasks]
    counts = torch.zeros(len(learner.tasks), dtype=torch.float64, device=runtime.device)
    with evaluating(learner, runtime, seed, runtime.rank):
        for batch in source.batches(batch_size, runtime.rank, runtime.world_size):
            _add_batch(learner, batch.to(runtime.device), runtime, points, metrics, counts)
    flat = {task.name: dict(enumerate(itertools.chain(*m))) for task, m in zip(learner.tasks, metrics, strict=True)}
    pairs = zip(flat.values(), runtime.sum(counts).tolist(), strict=True)
    values = [list(compute_metrics(of_task, bool(count)).values()) for of_task, count in pairs]
    return np.array(values).reshape(len(metrics), len(points), -1)


def _main_metric(task: Task, runtime: FabricRuntime):
    return next(iter(task.metrics.values()))().to(runtime.device)


def _add_batch(
    learner: Learner, batch: Batch, runtime: FabricRuntime, points: list, metrics: list, counts: Tensor
) -> None:
    """Feed a batch to the metrics [T][We][Wd]; add how many samples have a label to `counts` [T]."""
    chosen = [_labelled_rows(task, batch) for task in learner.tasks]
    counts += torch.stack([rows.sum() for rows in chosen])
    for place, row in enumerate(points):
        with runtime.autocast():
            features = at_point(learner.model.encoder, batch.inputs, row[0])
        for task, rows, of_task in zip(learner.tasks, chosen, metrics, strict=True):
            if not bool(rows.any()):
                continue
            every = bool(rows.all())
            part, own = (batch, features) if every else (batch[rows], features[rows])
            for point, metric in zip(row, of_task[place], strict=True):
                with runtime.autocast():
                    prediction = learner.model.decode(own, point, [task.name])[task.name]
                task.update(metric, prediction.float(), task.target_of(part))


def _labelled_rows(task: Task, batch: Batch) -> Tensor:
    """Which samples have a label of the task: bool [B]."""
    return task.labelled(task.target_of(batch)).reshape(len(batch), -1).any(1)


def configuration_table(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    latency: Latency | None = None,
    batch_size: int = 256,
) -> ConfigurationTable:
    """Quality on a split (validation, for whatever is to be chosen by it) and counted cost of every configuration.

    Args:
        learner: With a slimmable, calibrated model.
        source: The split.
        runtime: Processes and precision.
        latency: Measured times, if they are known; see `measure_latency`.
        batch_size: Samples at a time.
    """
    points = grid_points(learner)
    quality = quality_table(learner, source, runtime, batch_size)
    encoder, heads = _counted(learner, points)
    table = ConfigurationTable(
        encoder_widths=learner.model.encoder.widths,
        head_widths=learner.model.encoder.widths,
        tasks=tuple(task.name for task in learner.tasks),
        metrics={task.name: TaskMetric(task.main_metric, task.higher_is_better) for task in learner.tasks},
        quality=quality,
        encoder_costs=encoder,
        head_costs=heads,
    )
    return table if latency is None else with_latency(table, latency)


def with_latency(table: ConfigurationTable, latency: Latency) -> ConfigurationTable:
    """The same table with times of one machine; times that it had before are replaced."""
    return ConfigurationTable(
        table.encoder_widths,
        table.head_widths,
        table.tasks,
        table.metrics,
        table.quality,
        {**table.encoder_costs, "latency_ms": latency.encoder},
        {**table.head_costs, "latency_ms": latency.heads},
        latency.machine,
        latency.batch_size,
    )


def with_quality(table: ConfigurationTable, quality: np.ndarray) -> ConfigurationTable:
    """The same table with another split's qualities [T, We, Wd]."""
    costs = table.encoder_costs, table.head_costs
    widths = table.encoder_widths, table.head_widths
    return ConfigurationTable(*widths, table.tasks, table.metrics, quality, *costs, table.machine, table.batch_size)


def _counted(learner: Learner, points: list) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    model = learner.model
    encoder = [cost_of(model.encoder, point=row[0]) for row in points]
    heads = [[[cost_of(model.heads[t.name], point=p) for p in row] for row in points] for t in learner.tasks]

    def table(read: Callable) -> tuple[np.ndarray, np.ndarray]:
        return np.array([read(c) for c in encoder]), np.array([[[read(c) for c in r] for r in t] for t in heads])

    tables = {kind: table(lambda cost, kind=kind: getattr(cost, kind)) for kind in _KINDS}
    return {kind: pair[0] for kind, pair in tables.items()}, {kind: pair[1] for kind, pair in tables.items()}
