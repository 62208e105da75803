"""A rendered face, uncached, by kind; and what proxies, their attention and their pairs add to a training step.

Steps are those of the study (pictures, encoder, branches, batch): the forward pass, the losses and the backward pass,
without the optimizer, which is the same. By the distance to the ratio of operations one sees what is no arithmetic.
"""

import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Note, Row, compare, say, taking_turns
from umbel.core import Batch, Learner, OperatingPoint, SingleProcess
from umbel.data import MultiTaskData
from umbel.data.rendered_faces import ATTRIBUTES, rendered_faces
from umbel.data.rendered_faces.domains import STUDIED
from umbel.data.rendered_faces.samples import CHUNK, KINDS, Cell, chunk
from umbel.descent import WeightedSum
from umbel.methods import physical_proxies
from umbel.nn import build_model

LIMIT_MS, RENDERED = 10.0, 64
"""Of an uncached sample, and its side in pixels."""
SECONDS, FEWEST, MOST, WARM_UP = 60.0, 15, 60, 3
RESOLUTION, BATCH = 48, 64
OPTIONS = {"widths": (16, 32, 64), "downsample": 8, "hidden": 16}
MAIN, PROXIES = "liveness", ("depth", "reflection", "material")
OURS, BARE, PLAIN, BINARY = "proxies", "the same parts alone", "plain multi-task", "binary"
"""With everything; without attention, its regulariser and pairs; ordinary heads; the main task alone."""
UNIT = "ms CPU"


def measure() -> list[Row | Note]:
    """Rendering, then steps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [*_rendering(), *_steps()]
    finally:
        torch.set_num_threads(threads)


def _rendering() -> Iterator[Row | Note]:
    def rendered(kind: str) -> Callable[[], object]:
        numbers = itertools.count()

        def render() -> None:
            turn = next(numbers)
            domain = STUDIED[turn % len(STUDIED)]
            chunk(Cell(0, "train", domain, kind, RENDERED, "drawn"), turn // len(STUDIED))

        return render

    sides = {kind: rendered(kind) for kind in KINDS}
    times = taking_turns(sides, SECONDS, FEWEST, MOST, WARM_UP, time.process_time)
    for kind, seconds in times.items():
        each = [value / CHUNK for value in seconds]
        what = f"rendering: {kind}, {RENDERED}×{RENDERED}, a sample of a chunk of {CHUNK}"
        yield compare(what, each, [LIMIT_MS / 1e3] * len(each), "the limit", 1.0, 1e3, UNIT)


def _learner(which: str, data: MultiTaskData) -> Learner:
    shape = data.input_shape
    if which == PLAIN:
        return Learner(build_model(shape, data.tasks, "conv", vector_head="conv", **OPTIONS), data.tasks)
    only = data.only((MAIN,)) if which == BINARY else data
    proxies = () if which == BINARY else PROXIES
    more = {} if which == OURS else {"attention": "none", "kl": 0.0, "mining": 0.0}
    more |= {"attributes": ATTRIBUTES} if which == OURS else {}
    return physical_proxies(shape, only.tasks, "conv", main=MAIN, proxies=proxies, branch=32, **more, **OPTIONS)


def _step(learner: Learner, batch: Batch) -> Callable[[], None]:
    descent, runtime, point = WeightedSum(), SingleProcess(), OperatingPoint()
    learner.train()
    descent.prepare(learner)

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        descent(learner, batch, point, runtime)

    return step


def _operations(step: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def _steps() -> Iterator[Row | Note]:
    say("rendering a batch of faces")
    data = rendered_faces(size=BATCH, evaluation_size=8, resolution=RESOLUTION)
    batch = data.train.samples
    steps = {which: _step(_learner(which, data), batch) for which in (OURS, BARE, PLAIN, BINARY)}
    times = taking_turns(steps, SECONDS, FEWEST, MOST, WARM_UP, time.process_time)
    counts = {which: _operations(step) for which, step in steps.items()}
    for other in (BARE, PLAIN, BINARY):
        ratio = counts[OURS] / counts[other]
        what = f"a step with proxies, 3×{RESOLUTION}×{RESOLUTION}, batch {BATCH} (operations: {ratio:.3f})"
        yield compare(what, times[OURS], times[other], other, None, 1e3, UNIT)
