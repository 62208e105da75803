"""A training step of private features against one of plain links: what gates and the loss of dependence cost.

Timed are the forward pass, the losses and the backward pass, without the optimizer, which is the same.
"""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Note, Row, compare, taking_turns
from umbel.core import Batch, Learner, OperatingPoint, SingleProcess, Task
from umbel.descent import WeightedSum
from umbel.methods import plain_links, private_features, without_decorrelation, without_gates
from umbel.tasks import classification

TARGET = 1.10
SECONDS, FEWEST, MOST, WARM_UP = 60.0, 15, 60, 3
NETWORKS = {
    "pairs of digits, 1×28×56, batch 128, 3 tasks": ((1, 28, 56), 128, (10, 10, 4), {}),
    "faces, 3×64×64, batch 64, 3 tasks": ((3, 64, 64), 64, (2, 5, 10), {}),
}
"""Input shape, batch size, classes of the tasks, options of the encoder (the usual one for pictures)."""


def _tasks(classes: tuple[int, ...]) -> list[Task]:
    return [classification(f"task{i}", [str(c) for c in range(count)]) for i, count in enumerate(classes)]


def _batch(shape: tuple[int, ...], samples: int, classes: tuple[int, ...]) -> Batch:
    generator = torch.Generator().manual_seed(0)
    targets = {f"task{i}": torch.randint(count, (samples,), generator=generator) for i, count in enumerate(classes)}
    return Batch(torch.rand(samples, *shape, generator=generator), targets)


def _step(learner: Learner, batch: Batch):
    descent, runtime, point = WeightedSum(), SingleProcess(), OperatingPoint()
    learner.train()
    descent.prepare(learner)

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        descent(learner, batch, point, runtime)

    return step


def _flops(step) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure() -> list[Row | Note]:
    rows: list[Row | Note] = []
    for name, (shape, samples, classes, options) in NETWORKS.items():
        tasks, batch = _tasks(classes), _batch(shape, samples, classes)
        learners = {
            "private features": private_features(shape, tasks, **options),
            "with covariance": private_features(shape, tasks, kind="covariance", **options),
            "gates alone": without_decorrelation(shape, tasks, **options),
            "loss alone": without_gates(shape, tasks, **options),
            "plain links": plain_links(shape, tasks, **options),
        }
        steps = {which: _step(learner, batch) for which, learner in learners.items()}
        times = taking_turns(steps, SECONDS, FEWEST, MOST, WARM_UP, time.process_time)
        counts = {which: _flops(step) for which, step in steps.items()}
        for which in list(learners)[:-1]:
            target = TARGET if which == "private features" else None
            limit = counts[which] / counts["plain links"]
            what = f"{which}: {name} (by FLOPs at least {limit:.3f})"
            rows.append(compare(what, times[which], times["plain links"], "plain links", target, 1e3, "ms CPU"))
    return rows
