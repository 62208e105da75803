"""Modules whose task preference is an input: a small network of the preference scales and shifts their channels."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from umbel.core import Inputs, OperatingPoint, PointModule, UmbelError, unknown

EQUAL = OperatingPoint()
"""A point that says nothing about preferences: all tasks count the same."""
Generated = Sequence[tuple[Tensor, Tensor]]
"""Scale and shift, each [channels], for every place of a module; a scale of 0 leaves channels as they are."""

_NORMS = _NormBase | nn.GroupNorm | nn.LayerNorm  # _NormBase: batch and instance normalisation
_GENERATED: ContextVar[Generated | None] = ContextVar("what was generated for the running forward pass", default=None)


def preferences_at(point: OperatingPoint, tasks: Sequence[str]) -> tuple[float, ...]:
    """What each task counts at a point, in the order of `tasks`, with sum 1.

    The point's `preferences` map task names to numbers of 0 or more, of which only ratios count. A task that is not
    named counts 1, so a point without `preferences` treats all tasks alike.

    Raises:
        UmbelError: `preferences` is no mapping, names an unknown task, holds a number that is negative or not finite,
            or nothing but 0.
    """
    given = point.get("preferences", {})
    if not isinstance(given, Mapping):
        raise UmbelError(f"preferences is {given!r}; give a mapping of task names to numbers")
    for name, value in given.items():
        if name not in tasks:
            raise unknown("task in preferences", name, tasks)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
            raise UmbelError(f"the preference of task {name!r} is {value!r}; give a finite number, at least 0")
    values = [float(given.get(name, 1.0)) for name in tasks]
    if not (largest := max(values, default=0.0)):
        raise UmbelError("every preference is 0; at least one task must count")
    total = sum(value / largest for value in values)  # against the largest: a sum of huge numbers would be infinite
    return tuple(value / largest / total for value in values)


class PreferenceConditioned(PointModule):
    """A copy of an ordinary module that also reads the point's `preferences`.

        preferences r ─► T r - 1 ─► linear ─► SiLU ─► linear ─► scale and shift of the channels of norm 1 ... norm n
        input ─► layer ─► norm 1 ─► y (1 + scale) + shift ─► layer ─► norm 2 ─► y (1 + scale) + shift ─► output

    Each channel behind each normalisation (batch, group, instance, layer) is scaled and shifted. A module without any
    has its input's channels scaled and shifted instead. The last linear layer starts at zero, so at the start the
    module answers exactly what the ordinary one does, whatever the preferences.

    The preference is an argument: nothing is written to the module for it, and threads may run different ones. The
    small network runs once a pass, in full precision, however large the batch is. Norms take their scale and shift
    through their own weight and bias, so a pass costs no further work on the maps; `fixed_at` leaves no further work
    at all.

    Running statistics of batch normalisation become averages over the preferences seen in training, which are wrong for
    each of them, most at the extremes; `fixed_model` measures them for one.

    Source: Dosovitskiy & Djolonga, "You only train once: loss-conditional training of deep networks", ICLR 2020, for
    scales and shifts made from the weights of the losses (after FiLM: Perez et al., AAAI 2018).
    Differs from the paper (only its abstract and reports of it were at hand): one network with one hidden layer makes
    all scales and shifts of a module, and it is given T r - 1, which is 0 at equal preferences for any number T of
    tasks.

    Args:
        module: An encoder or a head. It is not changed: a copy is conditioned.
        tasks: Names of all tasks of the model, in the order in which the small network reads them.
        hidden: Width of its hidden layer.
        input_shape: Of one sample of the input; needed only for a module without norms. Channels are the first axis of
            maps (C, H, W) and the last one of anything else.

    Attributes:
        module: The copy, with its norms behind `norm` of what stands in their place.
        tasks: As given.
        places: How many channels are scaled and shifted at each place.
        hypernetwork: The small network: [T] -> [2 * sum(places)].
        feature_shape: The module's own, if it has one.

    Raises:
        UmbelError: A module that depends on the point already, no task or one twice, `hidden` below 1, or neither norms
            nor an `input_shape`.
    """

    def __init__(
        self, module: nn.Module, tasks: Sequence[str], hidden: int = 32, input_shape: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        if not tasks or len(set(tasks)) < len(tasks):
            raise UmbelError(f"preferences over the tasks {', '.join(tasks) or '(none)'}: give at least one, each once")
        if hidden < 1:
            raise UmbelError(f"hidden is {hidden}; the network that reads preferences needs a width of at least 1")
        self.tasks = tuple(tasks)
        self.module, norms = _with_conditioned_norms(module)
        self.input_axis: int | None = None
        if norms:
            self.places = tuple(_channels(norm) for norm in norms)
        else:
            channels, self.input_axis = _input_channels(type(module).__name__, input_shape)
            self.places = (channels,)
        last = nn.Linear(hidden, 2 * sum(self.places))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.hypernetwork = nn.Sequential(nn.Linear(len(self.tasks), hidden), nn.SiLU(), last)
        if hasattr(module, "feature_shape"):
            self.feature_shape = tuple(module.feature_shape)

    def forward(self, x: Inputs, point: OperatingPoint = EQUAL) -> Any:
        """The module's output at the point's `preferences`.

        Args:
            x: What the ordinary module takes.
            point: See `preferences_at`; without one, preferences are equal.

        Raises:
            UmbelError: What `preferences_at` refuses.
        """
        generated = self.generate(point)
        if self.input_axis is not None:
            return self.module(_modulated(x, *generated[0], self.input_axis))
        with _running(generated):
            return self.module(x)

    def generate(self, point: OperatingPoint) -> Generated:
        """What the small network makes of the point's `preferences`.

        Raises:
            UmbelError: What `preferences_at` refuses.
        """
        weight = self.hypernetwork[0].weight
        centred = [len(self.tasks) * r - 1 for r in preferences_at(point, self.tasks)]
        with torch.autocast(weight.device.type, enabled=False):
            flat = self.hypernetwork(weight.new_tensor(centred))
        scales, shifts = (half.split(self.places) for half in flat.chunk(2))
        return list(zip(scales, shifts, strict=True))

    @torch.no_grad()
    def fixed_at(self, point: OperatingPoint) -> nn.Module:
        """An ordinary copy that does what this module does at one point, in the mode that this module has.

        Scales and shifts are in its norms' weights, so it costs what the ordinary module cost. (Without norms, one
        scale and shift of the input remain.)

        Raises:
            UmbelError: What `preferences_at` refuses.
        """
        generated = self.generate(point)
        copied = copy.deepcopy(self.module)
        if self.input_axis is not None:
            return nn.Sequential(_Fixed(*generated[0], self.input_axis), copied).train(self.training)
        named = copied.named_modules(remove_duplicate=False)
        norms = [(name, part) for name, part in named if isinstance(part, _ConditionedNorm)]
        for part in {part for _, part in norms}:
            for which, value in part.weights(generated).items():
                part.norm.register_parameter(which, nn.Parameter(value.contiguous()))
        for name, part in norms:
            if not name:
                return part.norm
            copied.set_submodule(name, part.norm)
        return copied


@contextmanager
def _running(generated: Generated) -> Iterator[None]:
    """Make what was generated known to the norms called inside, in this thread."""
    token = _GENERATED.set(generated)
    try:
        yield
    finally:
        _GENERATED.reset(token)


class _ConditionedNorm(nn.Module):
    """Stands where a norm stood, and runs it with weights of this pass.

    The pass is that of a stand-in: an object of the norm's own class that shares everything with it, running statistics
    too, but the weights. So this works for any class of norm, also one that `synchronise_norms` changes later.
    """

    def __init__(self, norm: nn.Module, place: int) -> None:
        super().__init__()
        self.norm, self.place = norm, place

    def weights(self, generated: Generated) -> dict[str, Tensor]:
        """The norm's weight and bias with its scale and shift in them: w (1 + scale), b (1 + scale) + shift."""
        norm = self.norm
        shape = norm.normalized_shape if isinstance(norm, nn.LayerNorm) else (_channels(norm),)
        scale, shift = (part.view(-1, *[1] * (len(shape) - 1)).expand(shape) for part in generated[self.place])
        weight = 1 + scale if norm.weight is None else norm.weight * (1 + scale)
        return {"weight": weight, "bias": shift if norm.bias is None else torch.addcmul(shift, norm.bias, 1 + scale)}

    def forward(self, x: Tensor) -> Tensor:
        """Normalised, scaled and shifted."""
        generated = _GENERATED.get()
        if generated is None:
            raise UmbelError(
                "a norm that preferences scale was called by itself; call the PreferenceConditioned that holds it"
            )
        stand_in = object.__new__(type(self.norm))
        stand_in.__dict__.update(self.norm.__dict__, _parameters=self.weights(generated))
        return stand_in(x)


class _Fixed(nn.Module):
    """One scale and shift for good."""

    def __init__(self, scale: Tensor, shift: Tensor, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("scale", scale.clone())
        self.register_buffer("shift", shift.clone())

    def forward(self, x: Tensor) -> Tensor:
        """The input, scaled and shifted."""
        return _modulated(x, self.scale, self.shift, self.axis)


def _modulated(x: Tensor, scale: Tensor, shift: Tensor, axis: int) -> Tensor:
    """Scale by 1 + scale and shift along an axis counted from the end, in the precision of x."""
    shape = (-1, *[1] * (-axis - 1))
    return torch.addcmul(shift.view(shape).to(x.dtype), x, (1 + scale).view(shape).to(x.dtype))


def _with_conditioned_norms(module: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    """A copy whose norms are conditioned, and those norms in the order of their places."""
    for name, part in module.named_modules():
        if isinstance(part, PointModule | _ConditionedNorm):
            where = f"its part {name!r}" if name else f"this {type(part).__name__}"
            raise UmbelError(f"{where} already depends on the operating point; condition the ordinary module")
    copied = copy.deepcopy(module)
    places: dict[nn.Module, _ConditionedNorm] = {}
    for name, part in [*copied.named_modules(remove_duplicate=False)]:
        if not isinstance(part, _NORMS):
            continue
        if part not in places:
            places[part] = _ConditionedNorm(part, len(places))
        if not name:
            return places[part], [part]
        copied.set_submodule(name, places[part])
    return copied, list(places)


def _channels(norm: nn.Module) -> int:
    """How many channels a norm scales."""
    if isinstance(norm, nn.GroupNorm):
        return norm.num_channels
    return norm.normalized_shape[0] if isinstance(norm, nn.LayerNorm) else norm.num_features


def _input_channels(kind: str, input_shape: Sequence[int] | None) -> tuple[int, int]:
    """Channels of a sample of this shape, and their axis counted from the end."""
    if not input_shape:
        raise UmbelError(f"{kind} has no norm whose output could be scaled; give input_shape to scale its input")
    return (input_shape[0], -3) if len(input_shape) == 3 else (input_shape[-1], -1)
