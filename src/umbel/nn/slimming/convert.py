"""`slimmable`: an ordinary encoder or head becomes one that runs at any width."""

import copy
from collections.abc import Collection, Iterable, Sequence

from torch import nn

from umbel.core import PointModule, UmbelError, unknown
from umbel.nn.slimming.catalogue import SLIM
from umbel.nn.slimming.grid import WIDTHS, check_grid
from umbel.nn.slimming.layers import WeightedLayer
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.setting import evaluating
from umbel.nn.slimming.trial import layers_called, try_all

_RECURRENT = nn.RNNBase | nn.RNNCellBase
_ATTENTION = nn.MultiheadAttention | nn.Transformer | nn.TransformerEncoderLayer | nn.TransformerDecoderLayer
_INSTANCE = nn.modules.instancenorm._InstanceNorm


def slimmable(
    module: nn.Module,
    input_shape: Sequence[int],
    widths: Iterable[float] = WIDTHS,
    divisor: int = 8,
    head_of: str | None = None,
    fixed_output: Collection[str] | None = None,
) -> Slimmable:
    """A copy of an ordinary module that runs at any width of a grid; see `Slimmable`.

    Convolutions, linear layers and normalisations use the first of their channels; everything else runs as it is.
    Before it is returned, the copy is tried at every width: the shapes must fit, and the active channels must be what
    arrives first at every layer (after a concatenation, a channel shuffle or attention they are not, and narrow nets
    would silently use the wrong weights).

    Args:
        module: An encoder or a head. It is not changed.
        input_shape: Of one sample at full width. An encoder's input is never sliced, a head's follows the encoder.
        widths: The grid; it must hold 1.
        divisor: Active channels are a multiple of it, and at least as many. Heads need that of their encoder.
        head_of: The task, for a head.
        fixed_output: Names of layers (as in `named_modules`) that write all their outputs at every width. None: the
            last layer with weights of a head (its prediction), none of an encoder.

    Raises:
        UmbelError: What cannot be slimmed, with the part's name and the reason; or a bad width, divisor or name.
    """
    if divisor < 1:
        raise UmbelError(f"divisor is {divisor}; it must be at least 1")
    grid = check_grid(widths)
    what = "the encoder" if head_of is None else f"the head of task {head_of!r}"
    _check_parts(module, what)
    copied = copy.deepcopy(module)
    for layer in copied.modules():
        if type(layer) in SLIM:
            layer.__class__ = SLIM[type(layer)]
        if isinstance(layer, WeightedLayer):
            layer.divisor = divisor
    layers = [name for name, layer in copied.named_modules() if isinstance(layer, WeightedLayer)]
    for name in fixed_output or ():
        if name not in layers:
            raise unknown(f"layer with weights in {what}", name, layers)
    result = Slimmable(copied, input_shape, grid, divisor, head_of).train(module.training)
    plain = copy.deepcopy(module)
    with evaluating(copied), evaluating(plain):
        _fix_outputs(result, fixed_output)
        try_all(result, plain)
    return result


def _fix_outputs(result: Slimmable, names: Collection[str] | None) -> None:
    if names is None and result.head_of is not None:
        called = [layer for layer in layers_called(result) if isinstance(layer, WeightedLayer)]
        for layer in called[-1:]:
            layer.fixed_output = True
    for name in names or ():
        result.module.get_submodule(name).fixed_output = True


def _check_parts(module: nn.Module, what: str) -> None:
    """Refuse what is known not to work, before anything is tried."""
    if any(isinstance(part, PointModule) for part in module.modules()):
        raise UmbelError(f"{what} already depends on the operating point; make the ordinary module slimmable")
    for name, part in module.named_modules():
        if reason := _reason(part):
            raise UmbelError(
                f"{what} cannot be slimmed: {name or 'the module itself'} ({type(part).__name__}) {reason}"
            )


def _reason(part: nn.Module) -> str | None:
    """Why a part cannot be slimmed; None if it can, as far as can be seen without running it."""
    if isinstance(part, _RECURRENT):
        return "is recurrent: its gates and its state share one weight, of which no prefix is a smaller layer"
    if isinstance(part, _ATTENTION):
        return "is attention: its heads divide the channels, so that a prefix of them is no smaller layer"
    if isinstance(part, _INSTANCE):
        return "has a fixed number of channels; GroupNorm(channels, channels) does the same and can be slimmed"
    own = [name for name, p in part.named_parameters(recurse=False) if p.numel() > 1]
    if type(part) in SLIM:
        weight = getattr(part, "weight", None)
        reparametrised = weight is not None and not isinstance(weight, nn.Parameter)
        return (
            "computes its weight from other parameters; remove that parametrisation first" if reparametrised else None
        )
    if known := next((plain for plain in SLIM if isinstance(part, plain)), None):
        return f"is a {known.__name__} with a forward pass of its own; use the plain layer"
    return f"has a parameter {own[0]!r} that only its own code could slice" if own else None
