"""What a split holds in a few numbers, so that a run that goes on can tell whether its data is still the same."""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from umbel.data.source import Source, TensorSource

_PERIOD = 9973
"""Of the weights of a sum in which places matter; a prime, so that rows and columns do not fall on it."""
_TOLERANCE = 1e-6


def fingerprint(source: Source) -> dict[str, Any]:
    """Plain values that tell a split from another one.

    Of a set held in memory: number, shape, type and content of all inputs and targets. Whole numbers and bytes count
    exactly; of other numbers two weighted sums, which another machine's arithmetic leaves alike to six digits. Of a set
    that is read item by item: its number of samples.

    Args:
        source: The split.
    """
    said: dict[str, Any] = {"samples": len(source)}
    if isinstance(source, TensorSource):
        samples = source.samples
        inputs = {"input": samples.inputs} if isinstance(samples.inputs, Tensor) else samples.inputs
        tensors = {**inputs, **{f"target {name}": target for name, target in samples.targets.items()}}
        said["content"] = {name: _content(tensor) for name, tensor in tensors.items()}
    return said


def _content(tensor: Tensor) -> dict[str, Any]:
    about: dict[str, Any] = {"shape": list(tensor.shape), "type": str(tensor.dtype).split(".")[-1]}
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else torch.zeros(0, dtype=torch.uint8)
        return about | {"sha256": hashlib.sha256(flat.numpy()).hexdigest()}
    known = torch.nan_to_num(tensor.reshape(-1).double(), nan=0.0)
    places = torch.arange(len(known)).remainder_(_PERIOD).add_(1).double()
    gaps = int(torch.isnan(tensor).sum())
    return about | {"missing": gaps, "sums": [float(known.abs().sum()), float(known @ places)]}


def same_content(before: Any, now: Any) -> bool:
    """Whether two fingerprints are of one split, sums being compared to six digits.

    Args:
        before: As `fingerprint` gave it, perhaps from a file.
        now: Likewise.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return before.keys() == now.keys() and all(same_content(before[name], now[name]) for name in now)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(same_content(b, n) for b, n in zip(before, now, strict=True))
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    return before == now
