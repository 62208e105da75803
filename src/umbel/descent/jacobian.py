"""Jacobian descent: the tasks' gradients of the shared parameters, settled by an aggregator."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from umbel.core import Batch, Descent, Learner, Losses, OperatingPoint, Runtime, UmbelError, sum_gradients, total, write
from umbel.descent.aggregation import Aggregation
from umbel.descent.aggregator_state import make_room, pack, unpack
from umbel.descent.passes import present_losses, task_gradients


class Jacobian(Descent):
    """The shared parameters follow the aggregation of the losses' gradients, all others the gradient of their sum.

        J = [∂L_1/∂θ; ...; ∂L_T/∂θ]  [T, P],   θ = shared_parameters()
        θ.grad = aggregate(J),       own.grad = Σ_t ∂L_t/∂own

    Every loss is a row, those that a learner adds to its tasks' too. Rows are summed over pieces and processes
    *before* aggregation. A loss without a label in the whole batch is left out: the aggregator sees the other rows
    only. An aggregator that keeps state for each row, or was given one number for each row, cannot do that; it is a
    clear error then.

    Aggregators that draw (PCGrad's order, GradDrop, ...) draw from `seed` + number of steps so far, the same on every
    process and without moving the default generators. State of aggregators is part of the `state_dict`; load it
    into a descent whose aggregator has the same settings.

    Args:
        aggregator: Any `torchjd.aggregation` Aggregator or Weighting, or a `GramianWeighting`.
        seed: For aggregators that draw.

    Raises:
        UmbelError: Not an aggregator, or its solver is missing. While training: a gradient or an update is not
            finite, or the aggregator failed.

    Reference: Quinton, Rey, "Jacobian descent for multi-objective optimization", 2024.
    """

    def __init__(self, aggregator: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self._aggregate = Aggregation(aggregator)
        self.aggregator = aggregator
        self.seed = seed
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def prepare(self, learner: Learner) -> None:
        """Check that there is something for the tasks to compete for.

        Raises:
            UmbelError: The learner has no shared parameters that can be trained.
        """
        if not learner.shared_parameters():
            raise UmbelError(
                "Jacobian descent: the learner has no trainable shared parameters (is the encoder frozen or empty?); "
                "use a weighted sum, or override shared_parameters()"
            )

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """T backward passes for each piece, then one aggregation."""
        shared, own = learner.shared_parameters(), learner.own_parameters()
        found = task_gradients(learner, batch, point, runtime, shared, own)
        jacobian = runtime.sum(found.jacobian)
        check_rows(jacobian, found.names)
        present = present_losses(learner, batch, found.names, runtime).tolist()
        write(self._settle(jacobian, found.names, present), shared)
        used = runtime.sum(torch.tensor(found.used, dtype=torch.float32, device=runtime.device)).tolist()
        for parameter, count in zip(shared, used, strict=True):
            if not count:
                parameter.grad = None
        sum_gradients(own, runtime)
        self.steps += 1
        return total(found.values, found.names, runtime)

    def _settle(self, jacobian: Tensor, names: Sequence[str], present: list[bool]) -> Tensor:
        if not any(present):
            return torch.zeros_like(jacobian[0])
        absent = [name for name, here in zip(names, present, strict=True) if not here]
        if absent and self._aggregate.stateful:
            raise UmbelError(self._fixed_rows(absent[0]))
        rows = jacobian[torch.tensor(present, device=jacobian.device)] if absent else jacobian
        with seeded(self.seed + int(self.steps), jacobian.device):
            try:
                return self._aggregate(rows)
            except UmbelError as error:
                if absent and isinstance(error.__cause__, ValueError):
                    raise UmbelError(self._fixed_rows(absent[0])) from error
                raise

    def _fixed_rows(self, absent: str) -> str:
        return (
            f"task {absent!r} has no label in this batch, and {self._aggregate.name} needs the gradients of all tasks "
            "in every step; use larger batches or another descent (upgrad, pcgrad, ...)"
        )

    def get_extra_state(self) -> Tensor:
        """What the aggregator keeps outside buffers, uint8."""
        return pack(self.aggregator)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it back."""
        unpack(self.aggregator, state)

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        make_room(self.aggregator, f"{prefix}aggregator.", state_dict)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def check_rows(jacobian: Tensor, names: Sequence[str]) -> None:
    """Refuse gradients that are NaN or infinite.

    Args:
        jacobian: [T, P].
        names: The T losses.

    Raises:
        UmbelError: Names the losses.
    """
    finite = torch.isfinite(torch.linalg.vector_norm(jacobian, ord=torch.inf, dim=1)).tolist()
    bad = [repr(name) for name, good in zip(names, finite, strict=True) if not good]
    if bad:
        raise UmbelError(
            f"the gradient of task {', '.join(bad)} is not finite; lower the learning rate or look at the inputs"
        )


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
