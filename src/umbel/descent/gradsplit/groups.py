"""Which layers are split, and which of their parameters' rows belong to which group."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from umbel.arguments import names, real_number
from umbel.core import Learner, UmbelError, unknown
from umbel.descent.torch_internals import BatchNorm, InstanceNorm, own_parameters

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
DENSE = (*CONVOLUTIONS, nn.Linear)
NORMS = (BatchNorm, InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def channel_groups(channels: int, groups: int) -> Int[Tensor, " C"]:
    """The group of each channel: contiguous, sizes that differ by at most one.

        >>> channel_groups(5, 3).tolist()
        [0, 1, 1, 2, 2]

    Args:
        channels: C, at least `groups`.
        groups: Number of groups.
    """
    bounds = torch.tensor([channels * group // groups for group in range(groups + 1)])
    return torch.repeat_interleave(torch.arange(groups), bounds.diff())


@dataclass(frozen=True)
class SplitLayer:
    """A convolution or linear layer whose output channels form groups, and the norm that follows it.

    Attributes:
        name: In the encoder.
        module: The layer.
        channels: Its output channels.
        norm: The norm that is registered next, if it has as many channels; otherwise None.
    """

    name: str
    module: nn.Module
    channels: int
    norm: nn.Module | None

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that have a row for each output channel, the norm's with them."""
        for module in self.modules():
            for parameter in module.parameters():
                if parameter.ndim and len(parameter) == self.channels:
                    yield parameter

    def modules(self) -> tuple[nn.Module, ...]:
        """The layer and its norm."""
        return (self.module,) if self.norm is None else (self.module, self.norm)


class Partition:
    """The split of a learner: its layers, and the group of every row of their parameters.

    Args:
        layers: The split layers.
        groups: G.
    """

    def __init__(self, layers: Sequence[SplitLayer], groups: int) -> None:
        self.layers = tuple(layers)
        self.groups = groups
        self._modules = {id(module) for layer in layers for module in layer.modules()}
        self._channels = {id(p): layer.channels for layer in layers for p in layer.parameters()}
        self._names = {id(p): layer.name for layer in layers for p in layer.parameters()}
        self._rows: dict[tuple[object, ...], Tensor] = {}
        self._groups_of = {layer.channels: channel_groups(layer.channels, groups) for layer in layers}
        self._sizes = {channels: of.bincount().tolist() for channels, of in self._groups_of.items()}

    def __contains__(self, parameter: nn.Parameter) -> bool:
        return id(parameter) in self._channels

    def splits(self, module: nn.Module) -> bool:
        """Whether this is a split layer or the norm of one."""
        return id(module) in self._modules

    def name_of(self, parameter: nn.Parameter) -> str:
        """The split layer that a parameter belongs to (a norm's parameter to the layer before it)."""
        return self._names[id(parameter)]

    def sizes(self, channels: int) -> list[int]:
        """How many of these channels each group has."""
        return self._sizes[channels]

    def slices(self, channels: int) -> list[slice]:
        """The channels of each group."""
        bounds = [0, *accumulate(self.sizes(channels))]
        return [slice(start, stop) for start, stop in pairwise(bounds)]

    def columns(self, by_group: Shaped[Tensor, "*N G"], channels: int) -> Shaped[Tensor, "*N C"]:
        """Values by group, spread over channels."""
        return by_group[..., self._groups_of[channels].to(by_group.device)]

    def masked(self, gradient: Tensor, parameter: nn.Parameter, takes: Bool[Tensor, " G"]) -> Tensor:
        """The gradient of a split parameter [C, ...], with zeros in the rows of the groups that do not take it."""
        key = (*takes.tolist(), self._channels[id(parameter)], gradient.dtype, gradient.device)
        if key not in self._rows:
            self._rows[key] = self.columns(takes, self._channels[id(parameter)]).to(gradient)
        return gradient * self._rows[key].view(-1, *[1] * (gradient.ndim - 1))


def check_layers(layers: object) -> None:
    """Refuse what cannot say which layers are split, whatever the learner.

    Raises:
        UmbelError: No number, no name and no names; a fraction out of range, or no name at all.
    """
    if layers is None:
        return
    if not isinstance(layers, str | Sequence):
        fraction = real_number(layers, "gradsplit: layers")
        if not 0 < fraction <= 1:
            raise UmbelError(f"gradsplit: layers is {fraction:g}; as a fraction it must be above 0 and at most 1")
    elif not names([layers] if isinstance(layers, str) else layers, "gradsplit: layers"):
        raise UmbelError("gradsplit: layers is empty; name at least one layer, or give a fraction")


def split_layers(learner: Learner, layers: float | str | Sequence[str] | None, groups: int) -> Partition:
    """Choose the layers to split.

    Args:
        learner: Layers are sought in its encoder, among the shared parameters.
        layers: A fraction in (0, 1]: the last ceil(fraction n) of the encoder's n convolution and linear layers, in
            the order in which they were registered; None for 0.5. Or names: of a layer, or of a part of the encoder
            for all layers in it.
        groups: One for each task.

    Raises:
        UmbelError: A fraction out of range, a name that does not exist or holds no layer to split, nothing to split,
            or a layer that has fewer channels than there are groups.
    """
    check_layers(layers)
    root = encoder_of(learner)
    shared = {id(p) for p in learner.shared_parameters()}
    leaves = [(name, module) for name, module in root.named_modules() if not _has_children(module)]
    dense: list[tuple[str, nn.Module]] = [
        (name, m) for name, m in leaves if isinstance(m, DENSE) and _taught(name, m, shared)
    ]
    if not dense:
        raise UmbelError(
            f"gradsplit: the encoder ({type(root).__name__}) has no convolution or linear layer that can be trained "
            "and seen from outside (frozen, or scripted?); use another descent"
        )
    chosen = _named(root, dense, layers) if isinstance(layers, str | Sequence) else _deepest(dense, layers)
    split = [SplitLayer(name, m, _channels(m), _norm_after(m, leaves)) for name, m in chosen]
    for layer in split:
        if layer.channels < groups:
            raise UmbelError(
                f"gradsplit: layer {layer.name!r} has {layer.channels} channels, too few for {groups} groups (one for "
                "each task); name the layers to split without it, or make it wider"
            )
    return Partition(split, groups)


def encoder_of(learner: Learner) -> nn.Module:
    """The encoder, or the whole model where it has no part of that name."""
    encoder = getattr(learner.model, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else learner.model


def _has_children(module: nn.Module) -> bool:
    """Whether it has parts; parametrisations do not count as such."""
    return any(name != "parametrizations" for name, _ in module.named_children())


def _taught(name: str, module: nn.Module, shared: set[int]) -> bool:
    if any(isinstance(p, UninitializedParameter) for p in module.parameters()):
        raise UmbelError(f"gradsplit: layer {name!r} has no weights yet; run the model once on a batch before training")
    return any(p.requires_grad and id(p) in shared for p in module.parameters())


def _deepest(dense: list[tuple[str, nn.Module]], fraction: float | None) -> list[tuple[str, nn.Module]]:
    fraction = 0.5 if fraction is None else fraction
    return dense[-math.ceil(fraction * len(dense)) :]


def _named(
    root: nn.Module, dense: list[tuple[str, nn.Module]], layers: str | Sequence[str]
) -> list[tuple[str, nn.Module]]:
    known = dict(root.named_modules())
    chosen: dict[str, nn.Module] = {}
    for wanted in [layers] if isinstance(layers, str) else layers:
        if wanted not in known or not wanted:
            raise unknown("layer of gradsplit", wanted, [name for name, _ in dense])
        inside = {name: m for name, m in dense if name == wanted or name.startswith(f"{wanted}.")}
        if not inside:
            raise UmbelError(
                f"gradsplit: {wanted!r} is a {type(known[wanted]).__name__} without a trainable convolution or linear "
                "layer; only those can be split"
            )
        chosen |= inside
    return [(name, m) for name, m in dense if name in chosen]


def _channels(layer: nn.Module) -> int:
    """Output channels; without a look at a weight, which a parametrisation may compute anew each time."""
    dense: Any = layer
    return int(dense.out_features if isinstance(layer, nn.Linear) else dense.out_channels)


def _norm_after(layer: nn.Module, leaves: list[tuple[str, nn.Module]]) -> nn.Module | None:
    """The next registered module with parameters, if it is a norm of as many channels."""
    modules = [module for _, module in leaves]
    following = modules[next(i for i, module in enumerate(modules) if module is layer) + 1 :]
    after = next((m for m in following if next(m.parameters(), None) is not None), None)
    if not isinstance(after, NORMS) or not isinstance(getattr(after, "weight", None), Tensor):
        return None
    return after if after.weight.shape == (_channels(layer),) else None


def is_ordinary(layer: nn.Module) -> bool:
    """Whether row c of the parameters makes output channel c alone: one of torch's own layers, not parametrised."""
    own = any(type(layer).forward is kind.forward for kind in (*DENSE, *NORMS))
    return own and own_parameters(layer).get("weight") is not None


def channel_axis(layer: nn.Module, axes: int) -> int:
    """The axis of the channels in a layer's output.

    Args:
        layer: Convolution, linear layer or norm.
        axes: How many axes the output has.
    """
    if isinstance(layer, CONVOLUTIONS):
        return axes - 1 - len(layer.kernel_size)  # 0 for a single sample without a batch axis
    return axes - 1 if isinstance(layer, nn.Linear | nn.LayerNorm | nn.RMSNorm) else 1
