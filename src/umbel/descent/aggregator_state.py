"""State of stateful TorchJD aggregators, some of which keep it outside their `state_dict`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from umbel.descent.torch_internals import own_buffers

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def make_room(aggregator: nn.Module, prefix: str, state: Mapping[str, Any]) -> None:
    """Give the buffers of stateful modules, None before their first call, the shape of what is about to be loaded."""
    for path, module in aggregator.named_modules():
        if not hasattr(module, "reset"):
            continue
        buffers = own_buffers(module)
        for name, buffer in buffers.items():
            saved = state.get(f"{prefix}{path}{'.' if path else ''}{name}")
            if saved is None:
                buffers[name] = None
            elif buffer is None or buffer.shape != saved.shape:
                buffers[name] = torch.empty_like(saved)


def pack(aggregator: nn.Module) -> Tensor:
    """The Python attributes that change while it runs, as bytes in a tensor (plain data, no code): uint8 [n].

    These are the attributes of modules with a `reset` method, without settings (hidden by a property) and without
    what has no plain form (a solver's compiled problem).
    """
    state: dict[str, dict[str, Any]] = {}
    for path, module in aggregator.named_modules():
        if not hasattr(module, "reset"):
            continue
        values = {name: _plain(value) for name, value in vars(module).items() if not _is_setting(module, name)}
        state[path] = {name: value for name, value in values.items() if value is not None}
    text = json.dumps(state, sort_keys=True)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def unpack(aggregator: nn.Module, packed: Tensor) -> None:
    """The inverse of `pack`, into an aggregator with the same settings."""
    state = json.loads(bytes(packed.cpu().tolist()).decode())
    for path, values in state.items():
        module: Any = aggregator.get_submodule(path)
        for name, value in values.items():
            setattr(module, name, _value(value))
        if hasattr(module, "_init_optim_problem") and module.step:
            module._init_optim_problem()  # NashMTL makes its problem in the first step only


def _is_setting(module: nn.Module, name: str) -> bool:
    return name in _OF_EVERY_MODULE or isinstance(getattr(type(module), name.lstrip("_"), None), property)


def _plain(value: Any) -> Any:
    """[kind, content], or None for what cannot be written."""
    if value is None or isinstance(value, bool | int | float | str):
        return ["value", value]
    if isinstance(value, torch.dtype):
        return ["dtype", str(value).removeprefix("torch.")]
    if isinstance(value, torch.device):
        return ["device", str(value)]
    if isinstance(value, numpy.ndarray):
        return ["array", [str(value.dtype), list(value.shape), value.tobytes().hex()]]
    if isinstance(value, tuple):
        parts = [_plain(part) for part in value]
        return None if None in parts else ["tuple", parts]
    return None


def _value(plain: Sequence[Any]) -> Any:
    kind, content = plain
    if kind == "dtype":
        return getattr(torch, content)
    if kind == "device":
        return torch.device(content)
    if kind == "array":
        dtype, shape, digits = content
        return numpy.frombuffer(bytes.fromhex(digits), dtype=dtype).reshape(shape).copy()
    return tuple(_value(part) for part in content) if kind == "tuple" else content
