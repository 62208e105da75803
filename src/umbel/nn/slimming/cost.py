"""What a configuration costs: multiply-accumulates, parameters and bytes, counted on its dense network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn.slimming.dense import shrunk_copy
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.setting import evaluating
from umbel.nn.slimming.statistics import check_widths

_TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
_CONVOLUTION = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class Cost:
    """What one sample and one network cost.

    Attributes:
        macs: Multiply-accumulates of one sample in convolutions and linear layers (biases, norms that could not be
            folded, activations, pooling and interpolation are not counted).
        parameters: Numbers that were learnt.
        bytes: Of parameters and buffers, as they lie in memory.
    """

    macs: int = 0
    parameters: int = 0
    bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.parameters + other.parameters, self.bytes + other.bytes)


@dataclass(frozen=True)
class ModelCost:
    """What a whole model costs, part by part.

    Attributes:
        encoder: The shared encoder.
        heads: Task name -> its head.
    """

    encoder: Cost
    heads: Mapping[str, Cost]

    @property
    def total(self) -> Cost:
        """Encoder and all heads."""
        return sum(self.heads.values(), self.encoder)


def cost_of(module: nn.Module, input_shape: Sequence[int] | None = None, point: OperatingPoint | None = None) -> Cost:
    """The cost of an ordinary module, or of one configuration of a `Slimmable`.

    A configuration is counted as it is exported: dense, with norms folded. It need not be calibrated.

    Args:
        module: Run once on one sample of zeros, in evaluation mode.
        input_shape: Of one sample. A `Slimmable` knows its own; give another for inputs of another size. A head's
            channels follow the point's `width` in either case.
        point: The configuration; None is the full one. An ordinary module has no other.

    Raises:
        UmbelError: No input shape for an ordinary module, or a width off the grid.
    """
    if isinstance(module, Slimmable):
        point = point or OperatingPoint()
        channels = module.input_channels(module.widths_at(point)[0])
        shape = (channels, *(input_shape or module.input_shape)[1:])
        module = shrunk_copy(module, point, fold=True)
    elif input_shape is None:
        raise UmbelError("counting an ordinary module needs the shape of its input; give input_shape")
    else:
        shape = tuple(input_shape)
    sizes = [(p.numel(), p.element_size()) for p in module.parameters()]
    buffers = [b.numel() * b.element_size() for b in module.buffers()]
    numbers = sum(count for count, _ in sizes)
    return Cost(count_macs(module, shape), numbers, sum(count * size for count, size in sizes) + sum(buffers))


def model_cost(model: MultiTaskModel, point: OperatingPoint, input_shape: Sequence[int] | None = None) -> ModelCost:
    """The cost of one configuration of a model, part by part; links are not counted.

    Args:
        model: With encoder and heads that are `Slimmable`.
        point: The configuration.
        input_shape: Of one sample for the encoder, if not the one it was made with. Heads are counted on theirs.

    Raises:
        UmbelError: A part that is no `Slimmable`, a width off the grid, or an unknown task in `head_widths`.
    """
    check_widths(model, point)
    for part, name in ((model.encoder, "the encoder"), *((model.heads[n], f"head {n!r}") for n in model.task_names)):
        if not isinstance(part, Slimmable):
            raise UmbelError(f"{name} of this model is not slimmable; count it with cost_of and its input shape")
    heads = {name: cost_of(model.heads[name], point=point) for name in model.task_names}
    return ModelCost(cost_of(model.encoder, input_shape, point), heads)


def count_macs(module: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one sample in an ordinary module's convolutions and linear layers.

    Args:
        module: Run once on one sample of zeros, in evaluation mode.
        input_shape: Of one sample.
    """
    counted: list[int] = []

    def count(layer: nn.Module, arguments: tuple, output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            counted.append(output.numel() * layer.in_features)
        else:  # every output of a convolution (every input of a transposed one) meets one filter
            each = arguments[0] if isinstance(layer, _TRANSPOSED) else output
            counted.append(each.numel() * layer.weight[0].numel())

    layers = [part for part in module.modules() if isinstance(part, _CONVOLUTION | _TRANSPOSED | nn.Linear)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    like = next(module.parameters(), torch.zeros(()))
    try:
        with evaluating(module):
            module(torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device))
    finally:
        for handle in handles:
            handle.remove()
    return sum(counted)
