"""Which networks can be taught sample by sample, and which layer stands in the way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from umbel.core import UmbelError
from umbel.descent.torch_internals import BatchNorm, InstanceNorm, version_of

Result = TypeVar("Result")


def check_suited(learner: nn.Module, fixed: bool = False) -> None:
    """Refuse layers that mix the samples of a batch, or remember them.

    Args:
        learner: Looked at in the mode that it is in.
        fixed: Whether modes stay as they are; otherwise whatever is trained may be put in training mode.

    Raises:
        UmbelError: Names the layer and what to do.
    """
    for name, layer in learner.named_modules():
        kept = not layer.training and (fixed or not any(p.requires_grad for p in layer.parameters()))
        if kept or not isinstance(layer, BatchNorm | InstanceNorm):
            continue
        if isinstance(layer, BatchNorm):
            raise UmbelError(
                f"{name or 'the model'} is a {type(layer).__name__}, which mixes the samples of a batch, so that none "
                "has a gradient of its own; build the network with --encoder-options norm=group, or give the model to "
                "umbel.nn.without_batch_norm"
            )
        if layer.track_running_stats:
            raise UmbelError(
                f"{name or 'the model'} is a {type(layer).__name__} that remembers statistics of the samples without "
                "noise; make it with track_running_stats=False"
            )


@contextmanager
def buffers_unchanged(learner: nn.Module) -> Iterator[None]:
    """Refuse layers that write what they saw into a buffer: it would be in the weights without noise.

    Raises:
        UmbelError: Names the buffer.
    """
    before = {name: (buffer, version_of(buffer)) for name, buffer in learner.named_buffers()}
    yield
    for name, buffer in learner.named_buffers():
        if name not in before or before[name][0] is not buffer or before[name][1] != version_of(buffer):
            raise UmbelError(
                f"buffer {name} changes with the samples of a batch, which would end in the weights without any noise; "
                "switch that off for private training"
            )


def naming_the_layer(learner: nn.Module, run: Callable[[], Result]) -> Result:
    """What `run` gives; where a layer cannot be taken apart into samples, one line that names it.

    Args:
        learner: What runs.
        run: Called once more where it fails, to see where.

    Raises:
        UmbelError: Names the layer and what to do.
    """
    try:
        return run()
    except (torch.OutOfMemoryError, UmbelError):
        raise
    except (RuntimeError, NotImplementedError, ValueError) as error:
        where = _where_it_fails(learner, run)
        reason = " ".join(str(error).split(". ")[0].split())[:160]
        raise UmbelError(
            f"{where} cannot be taken apart into samples ({reason}); give the descent chunk=1, which takes samples one "
            "by one and is slow, or exchange the layer"
        ) from error


def _where_it_fails(learner: nn.Module, run: Callable[[], object]) -> str:
    """The innermost layer that is running when `run` fails."""
    inside: list[str] = []
    hooks = []
    for name, layer in learner.named_modules():
        shown = f"layer {name} ({type(layer).__name__})"
        hooks.append(layer.register_forward_pre_hook(lambda *_, shown=shown: inside.append(shown)))
        hooks.append(layer.register_forward_hook(lambda *_: inside.pop() and None))
    try:
        run()
    except (RuntimeError, NotImplementedError, ValueError, UmbelError):
        return inside[-1] if inside else "a loss of the learner, or a gradient,"
    finally:
        for hook in hooks:
            hook.remove()
    return "the network"
