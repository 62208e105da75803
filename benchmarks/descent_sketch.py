"""How far the sketched Gramian is from the exact one, beside how far that moves from one mini-batch to the next.

Sixteen questions about real digits (which one it is; six groupings of the ten), at the start, after 40 and after 150
steps of a plain descent.
"""

import itertools
import statistics
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.descent_nets import CONV, Setting, make_learner, resnet, runtime_of, transformer
from benchmarks.descent_peers import POINT, descent_step
from benchmarks.measure import Row, compare, say
from umbel.core import Batch, Learner
from umbel.data import load_data
from umbel.descent import WeightedSum
from umbel.descent.gramian import measure_gramian

MOMENTS, BATCHES, BATCH = (0, 40, 150), 6, 64
SKETCHES, USUAL, TARGET = (8, 16, 32), 16, 0.15
SHAPE = (1, 16, 16)
GROUPS = ((0, 2, 4, 6, 8), (0, 1, 2, 3, 4), (2, 3, 5, 7), (0, 3, 6, 9), (0, 6, 8, 9), (1, 4, 7))
QUESTIONS = (*((digit,) for digit in range(10)), *GROUPS)
"""A task for each: is the digit one of these?"""

_TRANSFORMER = transformer(16, BATCH, 96).but(options={"width": 96, "patch": SHAPE[-1] // 4})
SETTINGS = tuple(
    setting.but(batch=BATCH, tasks=len(QUESTIONS), shape=SHAPE) for setting in (CONV, resnet(16, BATCH), _TRANSFORMER)
)


def batches(setting: Setting) -> Iterator[Batch]:
    """Digits at 16 x 16 pixels with the sixteen answers, without end."""
    source = load_data("digits", resolution=SHAPE[-1]).train
    for epoch in itertools.count():
        for batch in source.train_batches(setting.batch, 0, epoch):
            digits = batch.targets["digit"]
            answers = {f"task{i}": torch.isin(digits, torch.tensor(q)).long() for i, q in enumerate(QUESTIONS)}
            yield Batch(batch.inputs, answers).to(runtime_of(setting).device)


def distance(one: Tensor, other: Tensor) -> float:
    """Relative error of `one`, in the Frobenius norm of `other`, in percent."""
    return 100 * float((one - other).norm() / other.norm())


def at_moment(learner: Learner, stream: Iterator[Batch], setting: Setting, moment: int) -> list[Row]:
    """Errors of every size of sketch over some batches, a new sketch for each, beside the change between batches."""
    found: dict[int, list[float]] = {directions: [] for directions in SKETCHES}
    changes: list[float] = []
    runtime, batch = runtime_of(setting), next(stream)
    gramian = measure_gramian(learner, batch, POINT, runtime)
    for seed in range(BATCHES):
        for directions, errors in found.items():
            estimate = measure_gramian(learner, batch, POINT, runtime, "sketched", directions, seed)
            errors.append(distance(estimate, gramian))
        batch = next(stream)
        following = measure_gramian(learner, batch, POINT, runtime)
        changes.append(distance(following, gramian))
        gramian = following
    when = f"{setting}, digits 16x16, after {moment} steps"
    rows: list[Row] = []
    limit = [100 * TARGET] * BATCHES
    for directions, errors in found.items():
        what = f"{when}: error of a sketch, {directions} directions"
        rows.append(compare(what, errors, changes, "change to the next mini-batch", None, 1, "%"))
        if directions == USUAL:
            rows.append(compare(what, errors, limit, "the limit", 1.0, 1, "%"))
    usual, change = statistics.median(found[USUAL]), statistics.median(changes)
    say(f"{when}: a sketch of {USUAL} directions is {usual:.1f} % off; the next mini-batch {change:.0f} %")
    return rows


def of_setting(setting: Setting) -> list[Row]:
    """Train, and stop three times to measure."""
    learner, stream, runtime = make_learner(setting), batches(setting), runtime_of(setting)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-3)
    rows, done = [], 0
    for moment in MOMENTS:
        while done < moment:
            descent_step(WeightedSum(), learner, next(stream), runtime)()
            optimizer.step()
            done += 1
        rows += at_moment(learner, stream, setting, moment)
    return rows


def measure() -> list[Row]:
    return [row for setting in SETTINGS for row in of_setting(setting)]
