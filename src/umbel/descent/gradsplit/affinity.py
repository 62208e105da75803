"""Which group is helped or hurt by which task: measured by looking ahead during a warm-up, with its uncertainty."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from scipy import special
from torch import Tensor, nn

from umbel.arguments import one_of, real_number, whole_number
from umbel.core import Batch, Learner, OperatingPoint, Runtime, UmbelError
from umbel.descent.auxiliary import task_rows
from umbel.descent.gradsplit.accept import accept_matrix
from umbel.descent.gradsplit.groups import Partition
from umbel.descent.passes import RandomState, losses_without_gradient, present_losses, task_gradients, untouched


@dataclass(frozen=True)
class Affinity:
    """What a warm-up measured: how much a small step along task i's gradient, in group g's filters alone, helps task g.

    Attributes:
        names: The T tasks.
        mean: Mean of Z[i, g], [T, T]; above 0 where task i helps group g. NaN where it was never measured.
        half_width: Of the confidence interval of that mean, [T, T]; infinite with fewer than two measurements.
        count: How often each pair was measured, [T, T].
        accept: The matrix that follows, [T, T].
        finished: Whether the warm-up is over, so that the matrix no longer changes.
    """

    names: tuple[str, ...]
    mean: Float[Tensor, "T T"]
    half_width: Float[Tensor, "T T"]
    count: Int[Tensor, "T T"]
    accept: Bool[Tensor, "T T"]
    finished: bool

    def record(self) -> dict[str, Any]:
        """As plain values; NaN and infinity may be among them."""
        return {
            "tasks": list(self.names),
            "mean": self.mean.tolist(),
            "half_width": self.half_width.tolist(),
            "count": self.count.tolist(),
            "accept": self.accept.int().tolist(),
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Affinity":
        """A finished measurement from what `record` gave."""
        mean, half_width = (torch.tensor(record[name], dtype=torch.float64) for name in ("mean", "half_width"))
        accept = torch.tensor(record["accept"], dtype=torch.bool)
        return cls(tuple(record["tasks"]), mean, half_width, torch.tensor(record["count"]), accept, True)

    def table(self) -> str:
        """Mean ± half width in percent, as text: a row for each task, a column for each group; refusals in brackets."""
        cells = [[self._cell(i, g) for g in range(len(self.names))] for i in range(len(self.names))]
        width = max(len(text) for text in [*self.names, *(cell for row in cells for cell in row)])
        first = max(len("task \\ group"), *(len(name) for name in self.names))
        lines = ["task \\ group".ljust(first) + "".join(f"  {name:>{width}}" for name in self.names)]
        for name, row in zip(self.names, cells, strict=True):
            lines.append(name.ljust(first) + "".join(f"  {cell:>{width}}" for cell in row))
        return "\n".join(lines)

    def _cell(self, task: int, group: int) -> str:
        if not self.count[task, group]:
            text = "not measured"
        else:
            text = f"{100 * self.mean[task, group]:+.3f}"
            if self.count[task, group] > 1:
                text += f" ± {100 * self.half_width[task, group]:.3f}"
        return text if self.accept[task, group] else f"({text})"


class Measured(nn.Module):
    """An accept matrix that is measured while the first steps are trained, and then stays.

    Every `every` steps of the warm-up, for all pairs of a task i and a group g,

        Z[i, g] = 1 - L_g(θ with the filters of group g moved by -η_i ∂L_i/∂W[g]) / L_g(θ),

    on the batch of that step, with the same noise, and without a trace in the learner. Z > 0: a step for task i in the
    filters of group g also lowers the loss of task g. Z is not symmetric, because the filters of g and those of i are
    different. One such measurement costs T backward and T² + 2 forward passes.

    A group refuses a task when the confidence interval of its mean Z lies below `threshold` (or, with
    `unsure="refuse"`, accepts it only when the interval lies above). The interval is Student's, over the
    measurements of the warm-up; these follow one another in one training run, so it is a little too narrow.

    Source: the look-ahead of Fifty et al., "Efficiently identifying task groupings for multi-task learning", NeurIPS
    2021, restricted to a group's filters. How GradSplit's authors find conflicts is not in their abstract; this is
    our reading. Differs from Fifty et al.: η_i is such that the step has `step` times the length of the group's
    filters, so that tasks with small gradients are measured as well as others.

    Args:
        warm_up: Steps of training before the matrix is fixed.
        every: Steps between measurements.
        step: Length of the look-ahead, in lengths of the group's filters. A long one takes the loss's curvature for
            conflict.
        start: What groups accept during the warm-up: "all" or "own".
        threshold: Mean Z that separates help from conflict.
        confidence: Of the interval, in (0, 1).
        unsure: What to do with a pair whose interval holds the threshold: "accept" or "refuse".

    Raises:
        UmbelError: A value out of range.
    """

    steps: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(
        self,
        warm_up: int = 200,
        every: int = 10,
        step: float = 0.003,
        start: str = "all",
        threshold: float = 0.0,
        confidence: float = 0.95,
        unsure: str = "accept",
    ) -> None:
        super().__init__()
        warm_up = whole_number(warm_up, "gradsplit: warm_up")
        every = whole_number(every, "gradsplit: every")
        step = real_number(step, "gradsplit: step")
        threshold = real_number(threshold, "gradsplit: threshold")
        confidence = real_number(confidence, "gradsplit: confidence")
        if min(warm_up, every) < 1 or not step > 0 or not 0 < confidence < 1:
            raise UmbelError(
                f"gradsplit: warm_up {warm_up} and every {every} must be at least 1, step {step:g} above 0, and "
                f"confidence {confidence:g} between 0 and 1"
            )
        one_of(start, "start of a measured accept matrix", ("all", "own"))
        one_of(unsure, "unsure of a measured accept matrix", ("accept", "refuse"))
        self.warm_up, self.every, self.step, self.start = warm_up, every, step, start
        self.threshold, self.confidence, self.unsure = threshold, confidence, unsure
        self.names: tuple[str, ...] = ()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def prepare(self, names: Sequence[str], device: torch.device) -> None:
        """Make room for T x T measurements, unless there is."""
        if self.names == tuple(names):
            return
        self.names = tuple(names)
        size = (len(names), len(names))
        self.register_buffer("count", torch.zeros(size, dtype=torch.int64, device=device))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64, device=device))
        self.register_buffer("squares", torch.zeros(size, dtype=torch.float64, device=device))
        self.steps = self.steps.to(device)

    @property
    def finished(self) -> bool:
        """Whether the warm-up is over."""
        return int(self.steps) >= self.warm_up

    @property
    def due(self) -> bool:
        """Whether the step that comes begins with a measurement."""
        return not self.finished and int(self.steps) % self.every == 0

    def learn(self, measured: Float[Tensor, "T T"]) -> None:
        """Take a measurement into the means (Welford's way); NaN where a pair was not measured."""
        known = ~measured.isnan()
        measured = torch.where(known, measured.double(), self.mean)
        self.count += known
        change = measured - self.mean
        self.mean += change / self.count.clamp(min=1)
        self.squares += change * (measured - self.mean)

    def affinity(self) -> Affinity:
        """What was measured so far, on the processor."""
        count, mean, squares = self.count.cpu(), self.mean.cpu(), self.squares.cpu()
        freedom = (count - 1).clamp(min=1).double()
        quantile = torch.from_numpy(special.stdtrit(freedom.numpy(), 0.5 + self.confidence / 2))
        half = quantile * (squares / freedom / count.clamp(min=1)).sqrt()
        half = torch.where(count > 1, half, torch.inf)
        mean = torch.where(count > 0, mean, torch.nan)
        accept = ~(mean + half < self.threshold) if self.unsure == "accept" else mean - half > self.threshold
        accept = accept | torch.eye(len(self.names), dtype=torch.bool)
        return Affinity(self.names, mean, half, count, accept, self.finished)

    def matrix(self) -> Bool[Tensor, "T T"]:
        """What the groups accept now."""
        return self.affinity().accept if self.finished else accept_matrix(self.start, self.names)


def look_ahead(
    learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime, partition: Partition, step: float
) -> Float[Tensor, "T T"]:
    """Z[i, g], how much a small step along task i's gradient in group g's filters lowers task g's loss, relatively.

    Auxiliary losses have no part in it. The whole batch counts, over all processes (all must call). Parameters,
    `.grad`, running statistics and random states are as before.

    Args:
        learner: With T tasks.
        batch: This process's part of the batch.
        point: The operating point.
        runtime: Processes and pieces.
        partition: The split, into T groups.
        step: Length of the step, in lengths of the group's filters.

    Returns:
        Float64, on the runtime's device. NaN where a task has no label in the batch, no gradient or a loss of 0.
    """
    parameters = [p for p in learner.parameters() if p.requires_grad and p in partition]
    random = RandomState(runtime.device)
    with untouched(learner, runtime.device), torch.enable_grad():
        taught = task_gradients(learner, batch, point, runtime, parameters, choose=task_rows)
    jacobian = runtime.sum(taught.jacobian)
    tasks = [taught.names.index(name) for name in learner.task_names]
    rows = [taught.tasks.index(name) for name in learner.task_names]
    present = present_losses(learner, batch, learner.task_names, runtime).tolist()
    before = losses_without_gradient(learner, batch, point, runtime, random).stack()[tasks].double()
    result = torch.full((len(tasks), len(tasks)), torch.nan, dtype=torch.float64, device=runtime.device)
    for i, row in enumerate(rows):
        gradients = jacobian[row].split([p.numel() for p in parameters])
        gradients = [g.view_as(p) for g, p in zip(gradients, parameters, strict=True)]
        for g, column in enumerate(tasks):
            if not (present[i] and present[g]) or before[g] == 0:
                continue
            with _moved(parameters, gradients, partition, g, step) as moved:
                if moved:
                    after = losses_without_gradient(learner, batch, point, runtime, random).stack()[column].double()
                    result[i, g] = (before[g] - after) / before[g].abs()
    return result


@contextmanager
def _moved(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], partition: Partition, group: int, step: float
) -> Iterator[bool]:
    """The group's filters against the gradient, for as long as this is open; False when they have no gradient."""
    rows = [partition.slices(len(p))[group] for p in parameters]
    parts = [p.detach()[part] for p, part in zip(parameters, rows, strict=True)]
    moves = [gradient[part] for gradient, part in zip(gradients, rows, strict=True)]
    length = torch.nn.utils.get_total_norm(moves).item()
    if not length > 0:
        yield False
        return
    rate = step * torch.nn.utils.get_total_norm(parts).item() / length
    kept = [part.clone() for part in parts]
    try:
        for part, move in zip(parts, moves, strict=True):
            part.sub_(move, alpha=rate)
        yield True
    finally:
        for part, value in zip(parts, kept, strict=True):
            part.copy_(value)
