"""Trial runs: do the shapes fit at every width, and do the active channels arrive first at every layer?

The second question is answered by running the *ordinary* module with NaN in every channel that would not be active.
NaN passes through whatever lies between layers (activations, pooling, sums, reshaping) and so marks where the inactive
channels went. At each layer they must be exactly the channels after the active ones.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from umbel.core import UmbelError
from umbel.nn.slimming.model import Slimmable
from umbel.nn.slimming.setting import Call

_BATCH = 2  # enough for a batch's statistics


def example_input(slim: Slimmable, width: float) -> Tensor:
    """Two samples as the module gets them when the encoder has this width."""
    like = next(slim.module.parameters(), torch.zeros(()))
    shape = (_BATCH, slim.input_channels(width), *slim.input_shape[1:])
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return values.to(like.device, like.dtype if like.is_floating_point() else None)


def layers_called(slim: Slimmable) -> list[nn.Module]:
    """The layers in the order in which they are called at full width."""
    with _named_failures(slim, slim.full_widths):
        return [call.layer for call in observe(slim, slim.full_widths)[0]]


def observe(slim: Slimmable, widths: Sequence[float]) -> tuple[list[Call], Tensor]:
    """The calls of all layers, and the output, in one pass at some widths with the statistics of its batch."""
    calls: list[Call] = []
    output = slim.observed(example_input(slim, widths[0]), slim.setting(*widths), calls=calls, sums={})
    return calls, output


def try_all(slim: Slimmable, plain: nn.Module) -> None:
    """Run at every width, and check each run against the ordinary module.

    A head is run at (w, w), (w, 1) and (1, w) for each width w: a layer of it reads what an encoder of some width or
    what the head itself at some width has written, so nothing new can happen at the other pairs.

    Args:
        slim: The converted module, in evaluation mode.
        plain: The module that it was made from, in evaluation mode.

    Raises:
        UmbelError: Names the layer that cannot be slimmed, and says why.
    """
    configurations = {(width,) for width in slim.widths}
    if slim.head_of is not None:
        configurations = {pair for w in slim.widths for pair in ((w, w), (w, 1.0), (1.0, w))}
    for widths in sorted(configurations, reverse=True):
        with _named_failures(slim, widths):
            calls, output = observe(slim, widths)
        _check_calls(slim, calls)
        with _marking(slim, plain, calls):
            x = example_input(slim, 1.0)
            x[:, slim.input_channels(widths[0]) :] = torch.nan
            full_output = plain(x)
        _check_output(slim, output, full_output)


@contextmanager
def _named_failures(slim: Slimmable, widths: Sequence[float]) -> Iterator[None]:
    """Turn any failure of a pass into one line with the innermost part that it happened in."""
    parts = list(slim.module.modules())
    inside: list[nn.Module] = []
    handles = [part.register_forward_pre_hook(lambda part, _: inside.append(part)) for part in parts]
    handles += [part.register_forward_hook(lambda *_: inside.pop() and None) for part in parts]
    try:
        yield
    except Exception as error:
        place = _place(slim, inside[-1]) if inside else "it"
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        at = " and head width ".join(map(str, widths))
        raise UmbelError(f"{slim.name} cannot be slimmed: {place} fails at width {at}: {first}") from None
    finally:
        for handle in handles:
            handle.remove()


def _check_calls(slim: Slimmable, calls: Sequence[Call]) -> None:
    """One layer, one size: a layer that is called twice must be given the same channels."""
    seen: dict[nn.Module, Call] = {}
    for call in calls:
        if seen.setdefault(call.layer, call) != call:
            reason = "is called twice, with different numbers of active channels"
            raise UmbelError(f"{slim.name} cannot be slimmed: {_place(slim, call.layer)} {reason}")


def _place(slim: Slimmable, layer: nn.Module) -> str:
    name = next(name for name, part in slim.module.named_modules() if part is layer)
    return f"{name or 'the module itself'} ({type(layer).__name__.removeprefix('Slim')})"


@contextmanager
def _marking(slim: Slimmable, plain: nn.Module, calls: Sequence[Call]) -> Iterator[None]:
    """While inside, layers of `plain` check that NaN marks the inactive inputs, and mark their inactive outputs."""
    names = {part: name for name, part in slim.module.named_modules()}
    expected = iter(calls)
    running: list[Call] = []

    def before(_: nn.Module, arguments: tuple) -> tuple:
        call = next(expected)
        running.append(call)
        if not _is_marked(arguments[0], call.layer.channel_axis, call.channels_in):
            raise UmbelError(
                f"{slim.name} cannot be slimmed: the active channels do not arrive first, or not by themselves, at "
                f"{_place(slim, call.layer)} (a concatenation, channel shuffle, attention or the like before it)"
            )
        return (torch.nan_to_num(arguments[0]), *arguments[1:])

    def after(_: nn.Module, __: tuple, output: Tensor) -> None:
        call = running.pop()
        axis = call.layer.channel_axis
        output.narrow(axis, call.channels_out, output.shape[axis] - call.channels_out).fill_(torch.nan)

    layers = [plain.get_submodule(names[layer]) for layer in {call.layer: None for call in calls}]
    handles = [layer.register_forward_pre_hook(before) for layer in layers]
    handles += [layer.register_forward_hook(after) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _is_marked(x: Tensor, axis: int, active: int) -> bool:
    """Whether exactly the channels from `active` on are NaN."""
    marked = x.isnan()
    inactive = marked.narrow(axis, active, x.shape[axis] - active)
    return bool(inactive.all()) and not bool(marked.narrow(axis, 0, active).any())


def _check_output(slim: Slimmable, output: Tensor, full_output: Tensor) -> None:
    """The output must be the first channels of the full one; a head's must be the full one."""
    for narrow, full in zip(tree_leaves(output), tree_leaves(full_output), strict=True):
        if not isinstance(narrow, Tensor):
            continue
        if slim.head_of is not None and (narrow.shape != full.shape or full.isnan().any()):
            raise UmbelError(
                f"{slim.name} cannot be slimmed: its prediction changes shape with the width; name the layers that "
                "predict in fixed_output"
            )
        sliced = [axis for axis in range(full.ndim) if narrow.shape[axis] != full.shape[axis]]
        axis = sliced[0] if sliced else 0
        if len(sliced) > 1 or not _is_marked(full, axis, narrow.shape[axis]):
            raise UmbelError(f"{slim.name} cannot be slimmed: its output is not the first channels of the full one")
