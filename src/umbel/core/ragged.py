"""Samples of different sizes in one batch: padded tensors, and what says where each sample ends."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from umbel.core.batch import Batch, Inputs
from umbel.errors import UmbelError

_SUFFIX = "/size"


def missing_label(dtype: torch.dtype, what: str = "a target") -> float | int:
    """What marks a missing label in a target of some type: NaN in floating point, -1 in integers.

    Raises:
        UmbelError: The type is bool, which cannot mark one.
    """
    if dtype == torch.bool:
        raise UmbelError(f"{what} is of type bool, which cannot mark a missing label; use int64")
    return float("nan") if dtype.is_floating_point else -1


def pad(tensors: Sequence[Tensor], value: float = 0, what: str = "tensor") -> tuple[Tensor, Tensor]:
    """Tensors of different sizes as one, each at the beginning of its place.

    Args:
        tensors: B of them, with the same number of axes A and the same type.
        value: What is behind the end of the shorter ones.
        what: What they are, for the error.

    Returns:
        [B, ...], every axis as long as the longest (at least 1), and the sizes int64 [B, A].

    Raises:
        UmbelError: They differ in type or number of axes, or there are none.
    """
    if not tensors:
        raise UmbelError(f"no {what} to pad; give at least one")
    first = tensors[0]
    for number, tensor in enumerate(tensors):
        if tensor.ndim != first.ndim or tensor.dtype != first.dtype:
            raise UmbelError(
                f"{what} 0 is {tuple(first.shape)} {first.dtype}, {what} {number} is {tuple(tensor.shape)} "
                f"{tensor.dtype}; only sizes may differ, not the number of axes or the type"
            )
    sizes = torch.tensor([tensor.shape for tensor in tensors], dtype=torch.int64).reshape(len(tensors), first.ndim)
    longest = sizes.amax(0).clamp(min=1).tolist()
    padded = first.new_full((len(tensors), *longest), value)
    for place, tensor in zip(padded, tensors, strict=True):
        place[tuple(slice(length) for length in tensor.shape)] = tensor
    return padded, sizes


def pad_inputs(name: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Inputs of different sizes, padded with zeros, with their sizes beside them.

    Args:
        name: Name of the input.
        tensors: One for each sample: series [T_i, F], pictures [C, H_i, W_i], ...

    Returns:
        `{name: [B, ...], name/size: int64 [B, axes]}`, to be put among the `inputs` of a `Batch`.

    Raises:
        UmbelError: See `pad`.
    """
    padded, sizes = pad(tensors, what=f"input {name!r}")
    return {name: padded, name + _SUFFIX: sizes}


def pad_targets(tensors: Sequence[Tensor | None], padding: float | None = None) -> Tensor:
    """Targets of different sizes as one tensor [B, ...].

    Args:
        tensors: One for each sample; None is a sample without label, filled with the missing label throughout.
        padding: What is behind the end of the shorter ones: the task's `padding`. None is the missing label.

    Raises:
        UmbelError: No sample has a label, or see `pad`.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    if not present:
        raise UmbelError("no sample has a target to pad; give at least one that is not None")
    absent = missing_label(present[0].dtype)
    padded, _ = pad(present, absent if padding is None else padding, "target")
    whole = padded.new_full((len(tensors), *padded.shape[1:]), absent)
    whole[[i for i, tensor in enumerate(tensors) if tensor is not None]] = padded
    return whole


def sizes_of(inputs: Inputs, name: str) -> Tensor:
    """The sizes of each sample of a padded input: int64 [B, axes].

    Raises:
        UmbelError: Nothing says how large its samples are.
    """
    if isinstance(inputs, Tensor) or name + _SUFFIX not in inputs:
        raise UmbelError(f"input {name!r} has no sizes beside it; pad it with pad_inputs, or name it in `ragged`")
    return inputs[name + _SUFFIX]


def lengths_of(inputs: Inputs, name: str) -> Tensor:
    """How long each sample of a padded input is along its first axis (steps of a series, say): int64 [B].

    Raises:
        UmbelError: See `sizes_of`.
    """
    return sizes_of(inputs, name)[:, 0]


def within(sizes: Tensor, shape: Sequence[int]) -> Tensor:
    """Which elements of a padded tensor belong to the samples.

    Args:
        sizes: int64 [B, A], or lengths [B] for one axis.
        shape: The A padded lengths.

    Returns:
        Bool [B, *shape].
    """
    sizes = sizes.unsqueeze(1) if sizes.ndim == 1 else sizes
    inside = torch.ones(len(sizes), *shape, dtype=torch.bool, device=sizes.device)
    for axis, length in enumerate(shape):
        view = [1] * (len(shape) + 1)
        view[axis + 1] = length
        places = torch.arange(length, device=sizes.device).view(view)
        inside &= places < sizes[:, axis].view(-1, *[1] * len(shape))
    return inside


def join_padded(tensors: Sequence[Tensor], value: float) -> Tensor:
    """Tensors [n_i, ...] one after the other, those with shorter axes padded at their end with `value`."""
    longest = torch.tensor([tensor.shape[1:] for tensor in tensors]).amax(0).tolist() if tensors[0].ndim > 1 else []
    if all(list(tensor.shape[1:]) == longest for tensor in tensors):
        return torch.cat(list(tensors))
    joined = tensors[0].new_full((sum(map(len, tensors)), *longest), value)
    start = 0
    for tensor in tensors:
        joined[(slice(start, start + len(tensor)), *(slice(length) for length in tensor.shape[1:]))] = tensor
        start += len(tensor)
    return joined


def join_batches(batches: Sequence[Batch], paddings: Mapping[str, float | None] | None = None) -> Batch:
    """Batches one after the other, as one. `domain` is the number of the batch that a sample comes from.

    A target that one of them does not have is missing there.

    Args:
        batches: With inputs of one form. Inputs with sizes beside them may differ in size.
        paddings: Targets that may differ in size -> the `padding` of their task.

    Raises:
        UmbelError: Inputs or targets do not fit together.
    """
    parts = [{"": b.inputs} if isinstance(b.inputs, Tensor) else b.inputs for b in batches]
    for number, part in enumerate(parts):
        if part.keys() != parts[0].keys():
            raise UmbelError(f"part 0 has the inputs {sorted(parts[0])}, part {number} has {sorted(part)}")
    inputs = {
        name: _joined(
            [part[name] for part in parts], f"input {name!r}" if name else "input", name + _SUFFIX in parts[0], 0
        )
        for name in parts[0]
    }
    names = dict.fromkeys(name for batch in batches for name in batch.targets)
    targets = {name: _joined_target(batches, name, paddings or {}) for name in names}
    domain = torch.cat([torch.full((len(b),), i, device=_device(b)) for i, b in enumerate(batches)])
    return Batch(inputs.get("", inputs), targets, domain)


def _device(batch: Batch) -> torch.device:
    return (batch.inputs if isinstance(batch.inputs, Tensor) else next(iter(batch.inputs.values()))).device


def _joined_target(batches: Sequence[Batch], name: str, paddings: Mapping[str, float | None]) -> Tensor:
    example = next(batch.targets[name] for batch in batches if name in batch.targets)
    what, padding = f"target {name!r}", paddings.get(name)
    if all(name in batch.targets for batch in batches) and name not in paddings:
        return _joined([batch.targets[name] for batch in batches], what, False, 0)
    absent = missing_label(example.dtype, what)
    shape = example.shape[1:]
    every = [b.targets[name] if name in b.targets else example.new_full((len(b), *shape), absent) for b in batches]
    return _joined(every, what, name in paddings, absent if padding is None else padding)


def _joined(tensors: Sequence[Tensor], what: str, ragged: bool, value: float) -> Tensor:
    first = tensors[0]
    for number, tensor in enumerate(tensors):
        same = tensor.ndim == first.ndim if ragged else tensor.shape[1:] == first.shape[1:]
        if not same or tensor.dtype != first.dtype:
            raise UmbelError(
                f"{what} of part 0 is {tuple(first.shape[1:])} {first.dtype} a sample, that of part {number} is "
                f"{tuple(tensor.shape[1:])} {tensor.dtype}; convert one of them"
            )
    return join_padded(tensors, value)
