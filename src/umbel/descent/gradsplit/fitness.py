"""What makes a model unfit for an engine, each with a line that says what to do."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from umbel.core import Learner, UmbelError
from umbel.descent.gradsplit.groups import Partition
from umbel.descent.graph import Graph
from umbel.descent.torch_internals import is_compiled, is_reentrant_checkpoint
from umbel.descent.walk import walk

_SMALL = 4096  # elements; gradients of such parameters are enough to see it, and need no memory
_LIKE, _ROUNDING = 0.1, 1e-3  # of a gradient's length and of the longest one's: bf16 rounds this much
_TOLERANCE = 0.01  # of the largest element; some devices do not add up in the same order twice


def compiled_part(learner: Learner, partition: Partition) -> str | None:
    """The first compiled module that holds a split layer: its layers cannot be seen. None when there is none."""
    for name, module in learner.named_modules():
        if is_compiled(module) and any(partition.splits(part) for part in module.modules()):
            return f"{name or 'the learner'} ({type(module).__name__}) is compiled, which hides its layers"
    return None


def reentrant_part(losses: Sequence[Tensor]) -> str | None:
    """Why these losses cannot be differentiated for a part of the graph only; None when they can."""
    graph = Graph([loss for loss in losses if loss.requires_grad], [])
    if any(map(is_reentrant_checkpoint, graph.edges)):
        return "a part of the model is checkpointed with use_reentrant=True, which hides its layers"
    return None


def check_repeatable(losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
    """Refuse a model whose backward pass cannot be run twice over one forward pass.

    Args:
        losses: Scalars, whose graph is kept.
        parameters: All that are trained.

    Raises:
        UmbelError: The second gradient differs from the first.
    """
    looked_at = [p for p in parameters if p.numel() <= _SMALL] or sorted(parameters, key=torch.numel)[:1]
    first, second = (walk(losses, [1.0] * len(losses), looked_at) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        if (
            one is not None
            and other is not None
            and one.numel()
            and not torch.allclose(one, other, 0, _TOLERANCE * one.abs().max().item(), equal_nan=True)
        ):
            raise UmbelError(
                "gradsplit: the model's second backward pass gives other gradients than its first (does a layer work "
                "in place while going back?), so the tasks' gradients cannot be told apart; use accept='all', or "
                "another layer"
            )


def difference(gradients: Mapping[str, tuple[Tensor | None, Tensor | None]], engine: str) -> str | None:
    """Where an engine's gradients are not the naive engine's; None when they are the same but for rounding.

    Engines are exact for what torch's layers do. A hook on a layer's output, say, can change that.

    Args:
        gradients: Parameter -> (the engine's gradient, the naive one).
        engine: For the message.
    """
    lengths = [wanted.norm().item() for _, wanted in gradients.values() if wanted is not None]
    slack = _ROUNDING * max(lengths, default=0.0)
    for name, (given, wanted) in gradients.items():
        if given is None and wanted is None:
            continue
        if given is None or wanted is None:
            return f"{name} gets {'no' if given is None else 'a'} gradient from {engine}, unlike from naive"
        if not wanted.isfinite().all():
            continue
        if not (given - wanted).norm() <= _LIKE * wanted.norm() + slack:
            return f"{name} does not get the gradient from {engine} that it gets from naive (hooks in the model?)"
    return None


@contextmanager
def explained() -> Iterator[None]:
    """Autograd's refusal of an in-place operation as one line.

    Raises:
        UmbelError: With autograd's own words.
    """
    try:
        yield
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        said = str(error).split(". Hint")[0]
        raise UmbelError(
            f"gradsplit: a layer overwrites in place what the backward pass needs; use inplace=False there ({said})"
        ) from error
