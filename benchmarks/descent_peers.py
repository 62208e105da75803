"""The sides of the benchmarks of descents: a plain step, TorchJD, Umbel's engines; and whether they agree.

A side is a function that does one step: forward pass, losses, gradients, their aggregation, `.grad` written. No
optimizer.
"""

import copy
import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torchjd import aggregation
from torchjd.autojac import jac_to_grad, mtl_backward

from benchmarks.descent_nets import Setting, make_batch, make_learner, runtime_of
from benchmarks.measure import Note
from umbel.core import Batch, Descent, Learner, OperatingPoint, Runtime, SingleProcess
from umbel.descent import Jacobian, WeightedSum, make_descent

Side = Callable[[], object]

POINT = OperatingPoint()
PLAIN, DEFAULT, ONE_BY_ONE, LEAN = "plain", "TorchJD default", "TorchJD chunk 1", "TorchJD chunk 1, lean"
TORCHJD: Mapping[str, dict] = {
    DEFAULT: {},
    ONE_BY_ONE: {"chunk": 1},
    LEAN: {"chunk": 1, "by_gramian": True},
}
"""Ways to use TorchJD -> arguments of `torchjd_step`. The lean one is its own option for less memory."""

TIMED = (DEFAULT, ONE_BY_ONE)
"""Those that are timed; the faster of them in a run is "TorchJD's best"."""

EXACT = ("auto", "rows", "ghost")
ENGINES = (*EXACT, "sketched", "features")
AGGREGATORS: Mapping[str, tuple[str, str]] = {"aligned-mtl": ("AlignedMTL", ""), "upgrad": ("UPGrad", "quadprog")}
"""The catalogue's name -> the class in `torchjd.aggregation`, and the package that TorchJD's own needs."""

AGREEMENT = 1e-8

ONE_THREAD = torch.get_num_threads() == 1 and not torch.cuda.is_available()
CLOCK, UNIT = (time.process_time, "ms CPU") if ONE_THREAD else (time.perf_counter, "ms")
"""With one thread the processor's time for this process alone, so that others on the machine do not count."""


def available(name: str) -> bool:
    """Whether TorchJD's own aggregator can be used here."""
    package = AGGREGATORS[name][1]
    return not package or importlib.util.find_spec(package) is not None


def jacobian_descent(engine: str, aggregator: str) -> Descent:
    """Umbel's descent with one of its engines."""
    return Jacobian(make_descent(aggregator).aggregator, engine=engine)


def descent_step(descent: Descent, learner: Learner, batch: Batch, runtime: Runtime) -> Side:
    """A step of any descent of ours."""
    descent.prepare(learner)

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        descent.zero_grad(set_to_none=True)
        descent(learner, batch, POINT, runtime)

    return step


def torchjd_step(
    learner: Learner,
    batch: Batch,
    runtime: Runtime,
    aggregator: str,
    chunk: int | None = None,
    by_gramian: bool = False,
) -> Side:
    """A step of TorchJD as its documentation has it: the encoder's output splits shared from own parameters.

    Args:
        learner: Model, tasks and losses are ours.
        batch: Likewise.
        runtime: For the precision of the forward pass.
        aggregator: Of `AGGREGATORS`.
        chunk: `parallel_chunk_size`; None, its default, differentiates all tasks at once by vmap.
        by_gramian: `optimize_gramian_computation`, which does not join the Jacobians of the parameters.
    """
    model, shared = learner.model, learner.shared_parameters()
    own = [list(model.heads[task.name].parameters()) for task in learner.tasks]
    combine = getattr(aggregation, AGGREGATORS[aggregator][0])()

    def step() -> None:
        learner.zero_grad(set_to_none=True)
        with runtime.autocast():
            features = model.encoder(batch.inputs)
            losses = learner.task_losses(model.decode(features, POINT), batch)
        mtl_backward(
            list(losses.values()),
            features=features,
            tasks_params=own,
            shared_params=shared,
            parallel_chunk_size=chunk,
        )
        jac_to_grad(shared, combine, optimize_gramian_computation=by_gramian)

    return step


def sides_of(
    setting: Setting,
    engines: tuple[str, ...] = ENGINES,
    torchjd: tuple[str, ...] = TIMED,
    aggregator: str = "aligned-mtl",
) -> dict[str, Side]:
    """Plain, TorchJD's and ours by name, each on its own copy of the same net (a compiled encoder is shared)."""
    learner, batch, runtime = make_learner(setting), make_batch(setting), runtime_of(setting)

    def own() -> Learner:
        return learner if setting.compiled else copy.deepcopy(learner)

    sides = {PLAIN: descent_step(WeightedSum(), own(), batch, runtime)}
    for name in torchjd:
        sides[name] = torchjd_step(own(), batch, runtime, aggregator, **TORCHJD[name])
    for engine in engines:
        sides[engine] = descent_step(jacobian_descent(engine, aggregator), own(), batch, runtime)
    return {name: _finished(side, runtime.device) for name, side in sides.items()}


def _finished(side: Side, device: torch.device) -> Side:
    """The side, waiting for the device if that works on by itself."""

    def step() -> None:
        side()
        torch.cuda.synchronize(device)

    return step if device.type == "cuda" else side


def working(
    sides: dict[str, Side], where: str, may_fail: Iterable[str] = TORCHJD
) -> tuple[dict[str, Side], list[Note]]:
    """The sides that do a step, and what the others raise.

    Args:
        sides: By name; each does one step.
        where: For the notes.
        may_fail: Those that may raise; an error of any other goes on.
    """
    works, notes = {}, []
    for name, side in sides.items():
        try:
            side()
        except Exception as error:
            if name not in may_fail:
                raise
            notes.append(Note(f"{where}: {name}", told(error)))
        else:
            works[name] = side
    return works, notes


def told(error: Exception) -> str:
    """What an error says first, in one line that fits into a table."""
    return f"{type(error).__name__}: {str(error).splitlines()[0].split('. ')[0].replace('|', '/')}"


def check_agreement(setting: Setting, aggregator: str = "aligned-mtl") -> None:
    """All exact ways give the same gradients in float64, on two samples and three tasks.

    Raises:
        AssertionError: They differ; names the side.
    """
    small = setting.but(batch=4, tasks=3, bf16=False, channels_last=False, compiled=False)
    learner, batch = make_learner(small, torch.float64), make_batch(small, torch.float64)
    runtime = SingleProcess(device=runtime_of(setting).device)
    ways = {name: torchjd_step(learner, batch, runtime, aggregator, **TORCHJD[name]) for name in TORCHJD}
    for engine in EXACT:
        ways[engine] = descent_step(jacobian_descent(engine, aggregator), learner, batch, runtime)
    expected = _gradients(learner, ways.pop(ONE_BY_ONE))
    for name, way in ways.items():
        error = float((_gradients(learner, way) - expected).norm() / expected.norm())
        if not error < AGREEMENT:
            raise AssertionError(f"{small}: gradients of {name} differ from TorchJD's by {error:.1e}")


def _gradients(learner: Learner, step: Side) -> Tensor:
    """All gradients after a step, [P]."""
    step()
    return torch.cat([parameter.grad.reshape(-1) for parameter in learner.parameters()])
