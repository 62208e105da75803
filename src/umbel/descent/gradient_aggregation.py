"""From the tasks' gradients, or their products alone, to one update: the aggregator and what can go wrong around it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.core import UmbelError
from umbel.descent.aggregation import Aggregation


class GradientAggregation:
    """Applies an aggregator to the tasks that have labels; a row behind theirs, of auxiliary losses, is added as it is.

    Aggregators that draw do so from `seed` + `step`, the same on every process and without moving the default
    generators.

    Args:
        aggregation: What settles.
        seed: Of the draws.
    """

    def __init__(self, aggregation: Aggregation, seed: int) -> None:
        self.aggregation, self.seed = aggregation, seed

    def vector(
        self, rows: Float[Tensor, "R P"], names: Sequence[str], present: Callable[[], Sequence[bool]], step: int = 0
    ) -> Float[Tensor, " P"]:
        """The update from the rows.

        Args:
            rows: Of the whole batch, [T, P], or [T + 1, P] with that of the auxiliary losses.
            names: The T tasks.
            present: Says which of them have a label in the batch; the others' rows are left out. Only called where a
                row is 0, for a row that is not has labels.
            step: Number of the step.

        Raises:
            UmbelError: A row is not finite, or the aggregator failed or cannot do without a row.
        """
        sizes = torch.linalg.vector_norm(rows, ord=torch.inf, dim=1)
        check_rows(sizes, names)
        jacobian, added = rows[: len(names)], rows[len(names) :]
        here = _labelled(sizes[: len(names)], present)
        update = torch.zeros_like(rows[0])
        if any(here):
            labelled = jacobian if all(here) else jacobian[torch.tensor(here, device=rows.device)]
            update = self._call(self.aggregation, labelled, names, here, step)
        return update + added[0] if len(added) else update

    def weights(
        self, gramian: Float[Tensor, "R R"], names: Sequence[str], present: Callable[[], Sequence[bool]], step: int = 0
    ) -> Float[Tensor, " R"]:
        """The weights of the rows from their products G = J Jᵀ: 0 for a task without labels, 1 for auxiliary losses.

        Args:
            gramian: [T, T], or [T + 1, T + 1] with the auxiliary losses behind the tasks.
            names: As for `vector`.
            present: As for `vector`.
            step: As for `vector`.

        Raises:
            UmbelError: As `vector`.
        """
        check_rows(gramian.diagonal(), names)
        weights = torch.ones_like(gramian[0])
        count = len(names)
        weights[:count] = self._task_weights(gramian[:count, :count], names, present, step)
        return weights

    def _task_weights(
        self, gramian: Tensor, names: Sequence[str], present: Callable[[], Sequence[bool]], step: int
    ) -> Tensor:
        here = _labelled(gramian.diagonal(), present)
        if all(here):
            return self._call(self.aggregation.weights, gramian, names, here, step)
        weights = torch.zeros_like(gramian[0])
        if any(here):
            places = torch.tensor(here, device=gramian.device).nonzero().flatten()
            part = gramian[places][:, places]
            weights[places] = self._call(self.aggregation.weights, part, names, here, step).to(weights)
        return weights

    def _call(
        self, settle: Callable[[Tensor], Tensor], rows: Tensor, names: Sequence[str], present: Sequence[bool], step: int
    ) -> Tensor:
        absent = [name for name, here in zip(names, present, strict=True) if not here]
        if absent and self.aggregation.stateful:
            raise UmbelError(self._fixed_rows(absent[0]))
        with seeded(self.seed + step, rows.device):
            try:
                return settle(rows)
            except UmbelError as error:
                if absent and isinstance(error.__cause__, ValueError):
                    raise UmbelError(self._fixed_rows(absent[0])) from error
                raise

    def _fixed_rows(self, absent: str) -> str:
        return (
            f"task {absent!r} has no label in this batch, and {self.aggregation.name} needs the gradients of all tasks "
            "in every step; use larger batches or another descent (upgrad, pcgrad, ...)"
        )


def _labelled(sizes: Tensor, present: Callable[[], Sequence[bool]]) -> Sequence[bool]:
    return [True] * len(sizes) if bool((sizes > 0).all()) else present()


def check_rows(sizes: Float[Tensor, " R"], names: Sequence[str]) -> None:
    """Refuse gradients that are NaN or infinite.

    Args:
        sizes: Of each gradient, in any norm: of the T tasks, and of the auxiliary losses behind them, if any.
        names: The T tasks.

    Raises:
        UmbelError: Names the losses.
    """
    finite = torch.isfinite(sizes).tolist()
    bad = [repr(name) for name, good in zip(names, finite, strict=False) if not good]
    if not all(finite):
        whose = f"task {', '.join(bad)}" if bad else "the auxiliary losses"
        raise UmbelError(f"the gradient of {whose} is not finite; lower the learning rate or look at the inputs")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The default generators of the processor and of `device` start from `seed` inside, and are put back after."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
