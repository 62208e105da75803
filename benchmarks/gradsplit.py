"""GradSplit against plain joint training of the same network, and against one masked backward pass for each task.

Timed are the forward pass and all that a descent does to write gradients, without the optimizer.
"""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Row, compare, interleaved
from umbel.core import Batch, Descent, Learner, OperatingPoint, SingleProcess
from umbel.descent import GradSplit, WeightedSum
from umbel.descent.gradsplit import stream_plan
from umbel.nn import build_model
from umbel.tasks import classification

BATCH, TURNS, WARM_UP = 24, 24, 3
WIDTH, BLOCKS = 32, (1, 1, 1, 1)
HALF = ("stages.2", "stages.3")
CLASSES = [str(i) for i in range(10)]


def one_way(tasks: int) -> torch.Tensor:
    """Each group also accepts the task before its own."""
    return torch.eye(tasks).bool() | torch.eye(tasks).bool().roll(1, 1).triu()


def pair(tasks: int) -> torch.Tensor:
    """The first two share their groups."""
    accept = torch.eye(tasks).bool()
    accept[0, 1] = accept[1, 0] = True
    return accept


MATRICES: dict[str, Callable[[int], torch.Tensor]] = {
    "own": lambda tasks: torch.eye(tasks).bool(),
    "one way": one_way,
    "pair": pair,
    "all": lambda tasks: torch.ones(tasks, tasks).bool(),
}
TARGETS = {(3, "own"): 1.5, (5, "own"): 1.75, (2, "all"): 1.05, (3, "all"): 1.05, (5, "all"): 1.05}
TARGET_MASK, TARGET_NAIVE = 1.05, 1 / 1.7


def make_learner(tasks: int, norm: str) -> Learner:
    kinds = [classification(f"task{i}", CLASSES) for i in range(tasks)]
    model = build_model((3, 32, 32), kinds, "resnet", width=WIDTH, blocks=BLOCKS, norm=norm)
    return Learner(model, kinds).train()


def make_batch(tasks: int, one_label: bool) -> Batch:
    generator = torch.Generator().manual_seed(0)
    targets = {f"task{i}": torch.randint(0, 10, (BATCH,), generator=generator) for i in range(tasks)}
    if one_label:
        for index, target in enumerate(targets.values()):
            target[torch.arange(BATCH) % tasks != index] = -1
    return Batch(torch.rand(BATCH, 3, 32, 32, generator=generator), targets)


def step(descent: Descent, tasks: int, norm: str = "batch", one_label: bool = False) -> Callable[[], None]:
    """A function that writes the gradients of one batch."""
    learner, batch = make_learner(tasks, norm), make_batch(tasks, one_label)
    point, runtime = OperatingPoint(), SingleProcess()
    descent.prepare(learner)

    def run() -> None:
        learner.zero_grad(set_to_none=True)
        descent(learner, batch, point, runtime)

    return run


def flops(run: Callable[[], None]) -> float:
    """Operations of one step, after a first that may hold checks."""
    run()
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def against_plain(tasks: int, name: str, layers: tuple[str, ...] | float = HALF) -> list[Row]:
    """Streams against the plain step, against the limit, and what each computes.

    The limit: (2 + S)/3 of the plain pass for what is split, the plain pass for the rest. It counts an input gradient
    in every stream for every split layer; the first ones need only one, so that it can be passed.
    """
    accept = MATRICES[name](tasks)
    streams, plain = step(GradSplit(accept, layers, "streams"), tasks), step(WeightedSum(), tasks)
    carried = stream_plan(accept).streams
    what = f"streams, T = {tasks}, {name} (S = {carried}), {'half of the blocks' if layers == HALF else 'all'} split"
    mine, theirs = interleaved(streams, plain, TURNS, WARM_UP)
    target = TARGETS.get((tasks, name)) if layers == HALF else None
    rows = [compare(what, mine, theirs, "plain", target, 1e3, "ms")]
    if carried > 1:
        limit = 1 + share_of_split(layers) * (carried - 1) / 3
        rows.append(
            compare(f"... against {limit:.3f} of plain", mine, [limit * t for t in theirs], "limit", None, 1e3, "ms")
        )
        counted = [[flops(run)] for run in (streams, plain)]
        rows.append(compare("... operations of convolutions", *counted, "plain", limit, 1e-9, "GFLOP"))
    return rows


def share_of_split(layers: tuple[str, ...] | float) -> float:
    """How much of the encoder's forward pass is in the split layers."""
    encoder = make_learner(2, "batch").model.encoder
    with FlopCounterMode(display=False, depth=3) as counter:
        encoder(torch.rand(BATCH, 3, 32, 32))
    total = counter.get_total_flops()
    named = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    return 1.0 if isinstance(layers, float) else sum(named[f"ResNetEncoder.{name}"] for name in layers) / total


def against_naive(tasks: int) -> Row:
    """Streams against T masked backward passes."""
    streams, naive = (step(GradSplit("own", HALF, engine), tasks) for engine in ("streams", "naive"))
    values = interleaved(streams, naive, TURNS // 2, WARM_UP)
    target = TARGET_NAIVE if tasks == 3 else None
    return compare(f"streams, T = {tasks}, own", *values, "naive", target, 1e3, "ms")


def masked(tasks: int, name: str) -> Row:
    """One label a sample, group norm: the mask against the plain step."""
    mask = step(GradSplit(MATRICES[name](tasks), HALF, "sample_mask"), tasks, "group", one_label=True)
    plain = step(WeightedSum(), tasks, "group", one_label=True)
    what = f"sample_mask, T = {tasks}, {name}, one label a sample, group norm"
    return compare(what, *interleaved(mask, plain, TURNS, WARM_UP), "plain", TARGET_MASK, 1e3, "ms")


def measure() -> list[Row]:
    rows = [row for tasks in (2, 3, 5) for name in MATRICES for row in against_plain(tasks, name)]
    rows += against_plain(3, "own", 1.0)
    rows += [against_naive(tasks) for tasks in (2, 3, 5)]
    return rows + [masked(tasks, name) for tasks in (2, 3, 5) for name in ("own", "one way")]
