"""Passes over a batch that several descents share: which tasks it labels, its losses, one gradient for each task."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from umbel.core import Batch, Learner, Losses, OperatingPoint, Runtime, flatten, shares
from umbel.descent.auxiliary import Rows, rows_of
from umbel.descent.graph import Graph, refuse_hidden
from umbel.descent.torch_internals import own_buffers
from umbel.descent.walk import add_gradient

_MANY = 8  # losses; for fewer, looking at the graph costs more than asking every loss for every head


def present_losses(learner: Learner, batch: Batch, names: Sequence[str], runtime: Runtime) -> Tensor:
    """Which losses have at least one labelled element in the whole batch, over all processes.

    Args:
        learner: Its `counts` decide; a loss it does not count is always present.
        batch: This process's part of the batch.
        names: The T losses.
        runtime: Every process must call.

    Returns:
        Bool [T], on the runtime's device.
    """
    counts = learner.counts(batch)
    here = [torch.as_tensor(counts.get(name, 1), dtype=torch.float32, device=runtime.device) for name in names]
    return runtime.sum(torch.stack(here)) > 0


@contextmanager
def untouched(learner: nn.Module, device: torch.device) -> Iterator[None]:
    """Forward passes inside leave no trace: buffers (running statistics) and random states are put back afterwards.

    Modules stay in the mode they are in, so batch normalisation in training mode still uses the batch's statistics.
    Not covered: state in Python attributes, and random generators that a module keeps to itself.
    """
    kept = [
        (module, name, buffer, buffer.clone())
        for module in learner.modules()
        for name, buffer in own_buffers(module).items()
        if buffer is not None
    ]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for module, name, buffer, value in kept:
                own_buffers(module)[name] = buffer.copy_(value)


class RandomState:
    """The state of the default generators at one moment, so that a later pass can draw the same noise."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        """Make the default generators continue from that moment."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


def losses_without_gradient(
    learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime, random: RandomState | None = None
) -> Losses:
    """The losses of the whole batch over all processes, without gradients and without a trace in the learner.

    Args:
        learner: In the mode it is in.
        batch: This process's part of the batch.
        point: The operating point.
        runtime: Every process must call.
        random: Draw the noise that was drawn from this moment on.
    """
    with untouched(learner, runtime.device), torch.no_grad():
        if random is not None:
            random.restore()
        pieces = [(list(share), share.stack()) for share in shares(learner, batch, point, runtime)]
    (names, summed), *more = pieces
    for _, values in more:
        summed = summed + values
    return Losses.of(names, runtime.sum(summed.clone()))


@dataclass(frozen=True)
class TaskGradients:
    """One process's gradients of the losses.

    Attributes:
        names: Of all losses, those that a learner adds to its tasks' with them.
        values: This process's summed shares of them, detached.
        tasks: Of the T losses that are settled.
        rows: A gradient for each of these over the P shared parameters, summed over this process's pieces; behind
            them, where the learner adds auxiliary losses, that of their sum: [T, P] or [T + 1, P].
        used: Which shared parameters any loss depends on.
    """

    names: list[str]
    values: Tensor
    tasks: list[str]
    rows: Tensor
    used: list[bool]

    @property
    def jacobian(self) -> Tensor:
        """The tasks' gradients alone [T, P]."""
        return self.rows[: len(self.tasks)]


def task_gradients(
    learner: Learner,
    batch: Batch,
    point: OperatingPoint,
    runtime: Runtime,
    shared: Sequence[nn.Parameter],
    own: Sequence[nn.Parameter] = (),
    choose: Callable[[Learner, Losses], Rows] = rows_of,
) -> TaskGradients:
    """One backward pass for each task of each piece, and one for all auxiliary losses together.

    Rows have the parameters' own precision, also when the forward pass runs in bf16.

    Args:
        learner: What is taught.
        batch: This process's part of the batch.
        point: The operating point.
        runtime: Processes and pieces.
        shared: P elements; their `.grad` is not touched.
        own: Their `.grad` becomes the gradient of the sum of the losses that have a part in a row.
        choose: Which losses have rows.

    Raises:
        UmbelError: A checkpoint hides parameters.
    """
    elements = sum(p.numel() for p in shared)
    names: list[str] = []
    chosen = Rows([], [])
    jacobian: Tensor | None = None
    scratch: Tensor | None = None
    summed: Tensor | None = None
    used = [False] * len(shared)
    for share in shares(learner, batch, point, runtime):
        values, first, chosen = share.stack().detach(), not names, choose(learner, share)
        if jacobian is None or summed is None:
            names, summed = list(share), values
            jacobian = shared[0].new_empty(len(chosen.losses), elements)
        else:
            scratch = shared[0].new_empty(elements) if scratch is None else scratch
            summed = summed + values
        for t, (value, mine) in enumerate(zip(chosen.losses, _own_parts(chosen.losses, own), strict=True)):
            gradients = _gradients(value, [*shared, *mine], retain=t + 1 < len(chosen.losses))
            row = flatten(gradients[: len(shared)], shared, out=jacobian[t] if first else scratch)
            if not first:
                jacobian[t] += row
            used = [was or g is not None for was, g in zip(used, gradients, strict=False)]
            for parameter, gradient in zip(mine, gradients[len(shared) :], strict=True):
                add_gradient(parameter, gradient)
    assert jacobian is not None and summed is not None, "a batch has at least one piece"
    if not all(used):
        refuse_hidden(Graph([loss for loss in chosen.losses if loss.requires_grad], shared))
    return TaskGradients(names, summed, chosen.tasks, jacobian, used)


def _own_parts(values: Sequence[Tensor], own: Sequence[nn.Parameter]) -> Sequence[Sequence[nn.Parameter]]:
    """What each loss is asked for: all, or, where many losses have many heads, those that it depends on."""
    if len(values) < _MANY:
        return [own] * len(values)
    return Graph([value for value in values if value.requires_grad], own).reach(values, own)


def _gradients(value: Tensor, parameters: list[nn.Parameter], retain: bool) -> Sequence[Tensor | None]:
    if not value.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(value, parameters, retain_graph=retain, allow_unused=True)
