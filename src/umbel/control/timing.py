"""Time of one pass of a network on this machine, and what this machine is called."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from umbel.control.onnx_file import as_functions, open_session, require_onnx
from umbel.core import MultiTaskModel, OperatingPoint, PointModule, UmbelError, unknown
from umbel.report import describe_environment

Backend = Literal["torch", "onnxruntime"]
"""What runs a network: torch as it is (convolutions in channels_last), or ONNX Runtime."""

BACKENDS = ("torch", "onnxruntime")
QUANTILE = 0.25  # see `typical_ms`
_FEWEST_ROUNDS, _MOST_IN_A_ROW, _ROW_SECONDS, _LONG_SECONDS, _SAY_SECONDS = 4, 4, 0.004, 0.02, 2.0
_TYPES = {
    "tensor(uint8)": torch.uint8,
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
}

Chain = Callable[[], list[float]]
"""Runs stages one after the other and gives the seconds of each."""


def machine_name(backend: Backend = "torch") -> str:
    """This machine as a table of latency names it: processor, threads, and what runs the network with its version.

    Examples:
        >>> machine_name()
        '..., ... torch 2...'

    Raises:
        UmbelError: An unknown backend, or one that is not installed.
    """
    check_backend(backend)
    threads = torch.get_num_threads()
    runs = f"torch {torch.__version__}" if backend == "torch" else f"onnxruntime {version('onnxruntime')}"
    return f"{describe_environment()['cpu']}, {threads} thread{'s' if threads > 1 else ''}, {runs}"


def check_backend(backend: str) -> None:
    """Stop when there is no such backend.

    Raises:
        UmbelError: It is unknown or not installed.
    """
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    if backend == "onnxruntime":
        require_onnx("timing with ONNX Runtime")


def time_model(
    model: nn.Module | Path | str,
    input_shape: Sequence[int],
    batch_size: int = 1,
    backend: Backend = "torch",
    repeats: int = 200,
    limit_seconds: float = 2.0,
    point: OperatingPoint | None = None,
) -> float:
    """Milliseconds of one pass of a whole network on the processor, in the state of steady use.

    Comparable with the sums of `measure_latency`: the same preparation, warm-up and statistic.

    Args:
        model: What `dense_model` gives, any module, or a slimmable model with a `point`; run in evaluation mode, and
            copied, not changed. Or an exported file: `model.pt2` (run by torch) or `model.onnx` (by ONNX Runtime).
            Open only files that you trust.
        input_shape: Of one sample; an ONNX file that takes columns knows its own.
        batch_size: Samples in a pass.
        backend: What runs a module; a file's ending decides for itself.
        repeats: Rounds of a few passes.
        limit_seconds: Fewer rounds when they would take longer, but at least four.
        point: For a model that reads one.

    Raises:
        UmbelError: A file that is not there or of another kind, or a backend that is not installed.
    """
    if isinstance(model, Path | str):
        run, given = _open(Path(model), input_shape, batch_size)
    else:
        check_backend(backend)
        x = random_input(input_shape, batch_size)
        (run,), (given,) = runners([model], [x], backend, point)
    with torch.inference_mode():
        return typical_ms(interleave([clocked(lambda: run(given))], repeats, limit_seconds)[0][:, 0])


def _open(path: Path, shape: Sequence[int], batch_size: int) -> tuple[Callable[[Any], Any], Any]:
    """What runs an exported file, and inputs of the kinds that it takes."""
    if not path.is_file():
        raise UmbelError(f"{path} does not exist; give model.pt2 or model.onnx of an export")
    if path.suffix == ".pt2":
        program = torch.export.load(path)
        dtype = program.example_inputs[0][0].dtype
        return program.module(), channels_last(_of_type(random_input(shape, batch_size), dtype))
    if path.suffix != ".onnx":
        raise UmbelError(f"{path} cannot be timed; give model.pt2 or model.onnx of an export")
    check_backend("onnxruntime")
    session = open_session(path)
    given = {}
    for port in session.get_inputs():
        x = random_input(shape if len(port.shape) > 1 else (), batch_size)
        texts = np.full(batch_size, "", dtype=object)
        given[port.name] = texts if "string" in port.type else _of_type(x, _TYPES[port.type]).numpy()
    return lambda inputs: session.run(None, inputs), given


def _of_type(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers in 0..1 in another type; as bytes 0 to 255."""
    return (x * 256).to(dtype) if dtype == torch.uint8 else x.to(dtype)


def random_input(shape: Sequence[int], batch_size: int, seed: int = 0) -> Tensor:
    """Inputs in 0..1 [batch_size, *shape], the same for the same seed.

    Raises:
        UmbelError: The batch size is not above 0.
    """
    if batch_size < 1:
        raise UmbelError(f"batch size is {batch_size}; it must be at least 1")
    return torch.rand(batch_size, *shape, generator=torch.Generator().manual_seed(seed))


def runners(
    modules: Sequence[nn.Module], inputs: Sequence[Tensor], backend: Backend, point: OperatingPoint | None = None
) -> tuple[list[Callable[[Any], Any]], list[Any]]:
    """What runs each module on a backend, and each one's input as it takes it. Modules are copied."""
    fixed = [AtPoint(copy.deepcopy(module).cpu(), point).eval() for module in modules]
    if backend == "onnxruntime":
        return as_functions(fixed, inputs), [x.numpy() for x in inputs]
    return [channels_last(module).forward for module in fixed], [channels_last(x) for x in inputs]


class AtPoint(nn.Module):
    """A module with the operating point that it is run at inside it, so that it is a function of its input alone."""

    def __init__(self, module: nn.Module, point: OperatingPoint | None = None) -> None:
        super().__init__()
        self.module = module
        self.point = point or OperatingPoint()
        self.training = module.training

    def forward(self, x: Tensor) -> Any:
        """The module's output at the point."""
        return self.module(x, self.point) if isinstance(self.module, MultiTaskModel | PointModule) else self.module(x)


def channels_last(value: Any) -> Any:
    """A module (changed) or a tensor with pictures stored as convolutions read them fastest."""
    if isinstance(value, Tensor) and value.ndim != 4:
        return value
    return value.to(memory_format=torch.channels_last)


def clocked(run: Callable[[], object]) -> Chain:
    """The chain of one stage."""

    def chain() -> list[float]:
        began = time.perf_counter()
        run()
        return [time.perf_counter() - began]

    return chain


def interleave(
    chains: Sequence[Chain],
    repeats: int,
    limit_seconds: float = math.inf,
    say: Callable[[str], None] | None = None,
) -> list[np.ndarray]:
    """Seconds of every stage of every chain [passes, stages], all chains in turn so that drift meets all alike.

    In each round every chain runs a few times in a row, as a network in use does, and the first of them, which finds
    another chain's data in the caches, is dropped. Chains of more than 20 ms evict their own data and run once.

    Args:
        chains: What to time.
        repeats: Rounds.
        limit_seconds: Fewer rounds when they would take longer, but at least four.
        say: Told how far it is, every two seconds.
    """
    for chain in chains:
        chain()
    once = [sum(chain()) for chain in chains]
    rows = [1 if s > _LONG_SECONDS else 2 + min(_MOST_IN_A_ROW - 1, int(_ROW_SECONDS / max(s, 1e-9))) for s in once]
    round_seconds = sum(seconds * row for seconds, row in zip(once, rows, strict=True))
    rounds = min(repeats, max(_FEWEST_ROUNDS, int(min(limit_seconds / max(round_seconds, 1e-9), repeats))))
    taken: list[list[list[float]]] = [[] for _ in chains]
    said = time.monotonic()
    for turn in range(rounds):
        for index in range(len(chains)) if turn % 2 == 0 else reversed(range(len(chains))):
            row = [chains[index]() for _ in range(rows[index])]
            taken[index] += row[1:] or row
        if say is not None and time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"latency: {turn + 1} of {rounds} rounds")
    return [np.array(passes) for passes in taken]


def typical_ms(seconds: np.ndarray) -> float:
    """Milliseconds of a typical pass: the lower quartile, which other work on the machine moves little."""
    return float(np.quantile(seconds, QUANTILE)) * 1e3
