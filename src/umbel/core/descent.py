"""A descent: which loss teaches which parameters, and how disagreement is settled."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from umbel.core.batch import Batch
from umbel.core.learner import Learner
from umbel.core.losses import Losses
from umbel.core.point import OperatingPoint
from umbel.core.runtime import Runtime
from umbel.core.sampling import Sampling


class Descent(nn.Module, ABC):
    """`descent(learner, batch, point, runtime)` writes `.grad` and returns the losses for the log.

    Contract: on return the `.grad` of every trainable parameter of the learner (and of the descent itself, if it
    learns something) is the update direction of the *whole* batch, over all processes and pieces, the same on every
    process. A parameter whose `.grad` is None is left alone by the optimizer. The loop clears gradients before.
    State that must survive a resume is kept in buffers or parameters. A descent that steps a part of the learner with
    an optimizer of its own (a critic's, several times for one step of the rest) makes it in `prepare`, returns its
    state in `get_extra_state`, takes it up in `set_extra_state`, and leaves `.grad` of that part None at the end.

    Attributes:
        independent_samples: Whether each sample must come into a batch by itself (Poisson sampling), as `fit` then
            draws them.
    """

    independent_samples: bool = False

    @abstractmethod
    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """Write the gradients of one step; return the mean losses of the whole batch, detached."""

    def learns_from(self, sampling: Sampling) -> None:
        """Called once by `fit`, before `prepare`: how batches are drawn, and how many.

        What depends on it (an expected batch size, a privacy budget) is settled here. In a loop of one's own nobody
        calls it, unless you do.
        """

    def prepare(self, learner: Learner) -> None:
        """Called once before training: check that this learner can be taught, make state of the right size."""

    def after_step(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> None:
        """Called after each step of the optimizer, with the batch that was learnt from."""

    def after_epoch(self) -> None:
        """Called after each pass over the training set."""

    def statements(self) -> tuple[str, ...]:
        """What must be said of a network that this descent taught in `fit`: sentences that go with its results."""
        return ()


def shares(learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Iterator[Losses]:
    """The losses of each piece of the batch, scaled so that they add up to the losses of the whole batch.

    With n the weight of the labels of this piece (their number, as a rule) and N that of all pieces on all processes,

        share_t = mean_t * n_t / N_t,   sum over pieces and processes of share_t = loss_t of the whole batch,

    so gradients of shares are *summed*, over pieces and over processes. A task without any label has share 0.

    A piece may have no sample (Poisson sampling, a process with an empty share). The learner is asked for its losses
    all the same, since layers may exchange values with other processes; whatever they are, their share is 0.
    """
    pieces = list(batch.chunks(runtime.accumulate))
    if len(pieces) == 1 and runtime.world_size == 1 and len(batch):
        with runtime.autocast():
            losses = learner.losses(pieces[0], point)
        yield losses
        return
    named = [learner.counts(piece) for piece in pieces]
    rows = [[*(float(c) for c in n.values()), len(p)] for n, p in zip(named, pieces, strict=True)]
    counts = torch.tensor(rows, dtype=torch.float64)
    totals = runtime.sum(counts.sum(0).to(runtime.device)).cpu()
    fractions = counts / torch.where(totals > 0, totals, 1)
    column = {name: i for i, name in enumerate(named[0])}
    for piece, fraction in zip(pieces, fractions, strict=True):
        with runtime.autocast():
            losses = learner.losses(piece, point)
        losses = losses if len(piece) else _of_nothing(losses)
        yield losses.scaled(torch.stack([fraction[column.get(name, -1)] for name in losses]))


def _of_nothing(losses: Losses) -> Losses:
    """Losses of no sample: 0 where they are not finite (the mean of nothing is NaN), and still with their graph."""
    return Losses({name: torch.where(torch.isfinite(value), value, 0.0) for name, value in losses.items()})


def total(values: Tensor, names: list[str], runtime: Runtime) -> Losses:
    """The losses of the whole batch from this process's summed shares [T]."""
    return Losses.of(names, runtime.sum(values.detach().clone()))
