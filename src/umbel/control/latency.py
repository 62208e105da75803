"""The table of latency: what every part of a slimmable model costs in time, on this machine, as it is exported."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from umbel.control.timing import (
    Backend,
    Chain,
    check_backend,
    interleave,
    machine_name,
    random_input,
    runners,
    typical_ms,
)
from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import Slimmable
from umbel.nn.slimming.dense import shrunk_copy

_LIMIT_SECONDS = 12.0


@dataclass(frozen=True)
class Latency:
    """Milliseconds of every part of a model at every width: the `latency_ms` of a `ConfigurationTable`.

    Attributes:
        encoder: The encoder at each of its widths [We].
        heads: Each head, with the link before it, at each pair of the encoder's width and its own [T, We, Wd]; tasks
            in the order of the model's `task_names`.
        machine: Where, with how many threads and by what they were measured; see `machine_name`.
        batch_size: Samples in one pass.
        backend: What ran the parts.
    """

    encoder: np.ndarray
    heads: np.ndarray
    machine: str
    batch_size: int
    backend: Backend


def measure_latency(
    model: MultiTaskModel,
    *,
    batch_size: int = 1,
    backend: Backend = "torch",
    repeats: int = 15,
    limit_seconds: float = _LIMIT_SECONDS,
    point: OperatingPoint | None = None,
    say: Callable[[str], None] | None = None,
) -> Latency:
    """Time every part of a slimmable model at every width, on the processor, with the threads that torch has now.

    Every part is timed as it is exported: dense, norms folded, in evaluation mode (its statistics need not be
    calibrated; they do not matter for time). The parts run *inside the whole chain*, encoder and then one head after
    the other, for each pair of widths, and only the clock is read in between. So every part finds the caches as they
    are in use, and the sums of entries are the times of whole models without any correction; parts that are timed by
    themselves, over and over, are up to 6 % off and drift apart while the machine's load changes.

    All pairs of widths take turns, and an entry is the lower quartile of its passes. Heads with the same layers, sizes
    and link are timed once: twenty equal heads cost as much as one.

    Args:
        model: Encoder and all heads are `Slimmable`, with the same grid of widths. It is not changed.
        batch_size: Samples in one pass.
        backend: "torch", or "onnxruntime" (the extra `export`), for which all parts are first written as ONNX: some
            seconds more.
        repeats: Rounds in which every configuration is timed.
        limit_seconds: Fewer rounds when they would take longer, but at least four.
        point: What links read, if there are any that read one; its widths do not count.
        say: Told about progress when it takes over two seconds.

    Raises:
        UmbelError: A part that is no `Slimmable`, grids that differ, or a backend that is not installed.
    """
    check_backend(backend)
    widths = _grid(model)
    x = random_input(model.encoder.input_shape, batch_size).to(_dtype(model))
    groups = equal_heads(model)
    if say is not None and backend == "onnxruntime":
        say(f"latency: writing {len(widths) * (1 + len(groups) * len(widths))} parts as ONNX")
    with torch.no_grad():
        chains = _chains(model, groups, widths, x, backend, point or OperatingPoint())
    with torch.inference_mode():
        passes = dict(zip(chains, interleave(list(chains.values()), repeats, limit_seconds, say), strict=True))
    encoder = [typical_ms(np.concatenate([passes[we, wd][:, 0] for wd in widths])) for we in widths]
    heads = np.empty((len(model.task_names), len(widths), len(widths)))
    for place, names in enumerate(groups, start=1):
        times = [[typical_ms(passes[we, wd][:, place]) for wd in widths] for we in widths]
        heads[[model.task_names.index(name) for name in names]] = times
    return Latency(np.array(encoder), heads, machine_name(backend), batch_size, backend)


def _grid(model: MultiTaskModel) -> tuple[float, ...]:
    """The widths of all parts."""
    parts = {"the encoder": model.encoder} | {f"head {name!r}": model.heads[name] for name in model.task_names}
    for name, part in parts.items():
        if not isinstance(part, Slimmable):
            raise UmbelError(f"{name} of this model is not slimmable; make it so with slimmable(...)")
        if part.widths != model.encoder.widths:
            raise UmbelError(
                f"{name} has widths {part.widths}, the encoder {model.encoder.widths}; give all the same grid"
            )
    return model.encoder.widths


def _dtype(model: MultiTaskModel) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def equal_heads(model: MultiTaskModel) -> list[list[str]]:
    """Tasks grouped by heads (with their links) of the same layers and sizes, which take the same time."""
    groups: dict[Hashable, list[str]] = {}
    for name in model.task_names:
        link = model.links[name] if name in model.links else nn.Identity()
        groups.setdefault((_structure(link), _structure(model.heads[name])), []).append(name)
    return list(groups.values())


def _structure(module: nn.Module) -> Hashable:
    """What a module's time depends on: its parts, their sizes and settings, not their values."""
    return tuple((name, type(part), _settings(part), _shapes(part)) for name, part in module.named_modules())


def _settings(part: nn.Module) -> str:
    plain = {name: value for name, value in vars(part).items() if not name.startswith("_")}
    for name in ("training", "head_of", "norms"):
        plain.pop(name, None)
    return repr(sorted(plain.items(), key=lambda pair: pair[0]))


def _shapes(part: nn.Module) -> Hashable:
    values = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
    return tuple((name, tuple(value.shape), value.dtype) for name, value in values)


def _chains(
    model: MultiTaskModel,
    groups: list[list[str]],
    widths: tuple[float, ...],
    x: Tensor,
    backend: Backend,
    point: OperatingPoint,
) -> Mapping[tuple[float, float], Chain]:
    """For every pair of widths, the encoder and then one head of each group."""
    names = [group[0] for group in groups]
    encoders = {we: shrunk_copy(model.encoder, OperatingPoint(width=we), fold=True).cpu() for we in widths}
    modules, inputs = [encoders[we] for we in widths], [x] * len(widths)
    for we in widths:
        features = encoders[we](x)
        for wd in widths:
            modules += [_branch(model, name, we, wd) for name in names]
            inputs += [features] * len(names)
    runs, given = runners(modules, inputs, backend, point)
    encoder_runs, head_runs = runs[: len(widths)], iter(runs[len(widths) :])
    return {
        (we, wd): _chain([encoder_run, *(next(head_runs) for _ in names)], given[0])
        for we, encoder_run in zip(widths, encoder_runs, strict=True)
        for wd in widths
    }


def _branch(model: MultiTaskModel, name: str, we: float, wd: float) -> nn.Module:
    """A link and a head at a pair of widths, as a model runs them."""
    point = OperatingPoint(width=we, head_widths={name: wd})
    links = {name: model.links[name]} if name in model.links else {}
    head = shrunk_copy(model.heads[name], point, fold=True).cpu()
    return MultiTaskModel(nn.Identity(), {name: head}, links).eval()


def _chain(runs: list[Callable[[Any], Any]], x: Any) -> Chain:
    encode, *heads = runs

    def chain() -> list[float]:
        stamps = [time.perf_counter()]
        features = encode(x)
        stamps.append(time.perf_counter())
        for head in heads:
            head(features)
            stamps.append(time.perf_counter())
        return np.diff(stamps).tolist()

    return chain
