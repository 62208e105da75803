"""The table of latency: what every part of a slimmable model costs in time, on this machine, as it is exported."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from umbel.control.parts import build_parts
from umbel.control.timing import (
    Backend,
    Chain,
    check_backend,
    clocked,
    interleave,
    machine_name,
    random_input,
    typical_ms,
)
from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import Slimmable

_ROUNDS, _LIMIT_SECONDS = 60, 10.0
_LEAST_WORK = 0.05  # of a head's time, however short it is against a call


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
    repeats: int = _ROUNDS,
    limit_seconds: float = _LIMIT_SECONDS,
    point: OperatingPoint | None = None,
    say: Callable[[str], None] | None = None,
) -> Latency:
    """Time every part of a slimmable model at every width, on the processor, with the threads that torch has now.

    Every part is timed as it is exported: dense, norms folded, in evaluation mode (its statistics need not be
    calibrated; they do not matter for time). The parts run *inside the chain*, encoder and then one head after the
    other, for each pair of widths, and only the clock is read in between, so that every part finds the caches as they
    are in use. All pairs of widths take turns, and an entry is the lower quartile of its passes. Heads with the same
    layers, sizes and link are timed once: twenty equal heads cost as much as one.

    Sums of entries are then fitted to whole models, of which two are timed with each encoder width in the same turns:
    all heads narrowest, and all heads widest. First the call of a part of its own, where a whole model has none (ONNX
    Runtime: 5 microseconds, several times the work of a tiny head), is taken from every head; then all entries with
    that encoder width are scaled by the same factor, a few per cent for torch and for large networks, up to 20 % where
    heads share work (ONNX Runtime pools the features of twenty heads once). So fitted, sums were within 10 % of the
    times of networks with mixed widths, down to networks of 10 microseconds; unfitted, up to 2.5 times too large.

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
    wholes = [(we, wd) for we in widths for wd in (widths[0], widths[-1])]
    parts = build_parts(model, groups, wholes, x, backend, point or OperatingPoint())
    chains = {pair: _chain(parts.encoders[pair[0]], heads, parts.inputs) for pair, heads in parts.heads.items()}
    timed = [*chains.values(), *(clocked(partial(parts.wholes[pair], parts.inputs)) for pair in wholes)]
    timed += [clocked(parts.empty)] if parts.empty else []
    with torch.inference_mode():
        passes = interleave(timed, repeats, limit_seconds, say)
    by_pair = dict(zip(chains, passes, strict=False))
    encoder = np.array([typical_ms(np.concatenate([by_pair[we, wd][:, 0] for wd in widths])) for we in widths])
    heads = np.empty((len(model.task_names), len(widths), len(widths)))
    for place, names in enumerate(groups, start=1):
        times = [[typical_ms(by_pair[we, wd][:, place]) for wd in widths] for we in widths]
        heads[[model.task_names.index(name) for name in names]] = times
    whole = np.array([typical_ms(each) for each in passes[len(chains) : len(chains) + len(wholes)]])
    call = typical_ms(passes[-1]) if parts.empty else 0.0
    entries = fitted(encoder, heads, whole.reshape(len(widths), 2), call)
    return Latency(*entries, machine_name(backend), batch_size, backend)


def fitted(
    encoder: np.ndarray, heads: np.ndarray, whole: np.ndarray, call: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Entries whose sums are the times of whole models; all above 0.

    Args:
        encoder: Milliseconds [We].
        heads: Likewise [T, We, Wd].
        whole: Likewise of whole models, with all heads narrowest and with all heads widest [We, 2].
        call: Likewise of a call that does nothing; heads in a whole model have none.
    """
    heads = np.maximum(heads - call, heads * _LEAST_WORK)
    sums = encoder[:, None] + heads.sum(0)[:, [0, -1]]
    factors = (whole / sums).mean(1)
    return encoder * factors, heads * factors[:, None]


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


def _chain(encode: Callable[[Any], Any], heads: Sequence[Callable[[Any], Any]], x: Any) -> Chain:
    def chain() -> list[float]:
        stamps = [time.perf_counter()]
        features = encode(x)
        stamps.append(time.perf_counter())
        kept = []  # as a model keeps its predictions: their memory is not used again at once
        for head in heads:
            kept.append(head(features))
            stamps.append(time.perf_counter())
        return np.diff(stamps).tolist()

    return chain
