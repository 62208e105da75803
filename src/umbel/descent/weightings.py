"""Weights of the losses in a weighted sum: one small class for each way of choosing them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from umbel.arguments import real_number, seed_number
from umbel.core import UmbelError, unknown


class Weighting(nn.Module, ABC):
    """Chooses a weight for each loss, once a step, the same on every process.

    State that must survive a resume is kept in buffers or parameters of a size that `prepare` fixes.

    Attributes:
        needs_values: The weights of a step depend on the losses of that step. They are then known over all
            processes before the backward pass; with `accumulate` > 1 this costs a first pass without gradients.
        needs_presence: `forward` and `learn` want to know which losses have labels in the batch.
        looks_again: `after_step` wants the losses of the same batch after the step.
    """

    needs_values = False
    needs_presence = False
    looks_again = False

    def prepare(self, tasks: Sequence[str]) -> None:
        """Make state for these tasks. Called once, before training."""

    @abstractmethod
    def forward(self, names: Sequence[str], values: Tensor | None, present: Tensor | None) -> Tensor | None:
        """The weights [T], detached; None stands for 1 each.

        Args:
            names: All losses, the tasks first.
            values: Their values over the whole batch [T] when `needs_values`.
            present: Which have labels, bool [T], when `needs_presence`.
        """

    def learn(self, values: Tensor, present: Tensor | None) -> None:
        """Called after the backward pass with the losses of the whole batch [T]; writes `.grad` of own parameters."""

    def after_step(self, values: Tensor, present: Tensor) -> None:
        """Called after the step with the losses of the same batch [T], when `looks_again`."""

    def after_epoch(self) -> None:
        """Called after each pass over the training set."""


class Fixed(Weighting):
    """The weights that the user gives.

    Args:
        weights: Task name, or the name of an auxiliary loss of the learner -> weight; 1 where nothing is said. Or one
            number for each task, in their order. None is 1 for all ("equal weights").

    Raises:
        UmbelError: A weight is negative or not finite; when prepared: another number of weights than of tasks, or none
            above 0; in the first step: a name is not the name of a loss.
    """

    def __init__(self, weights: Mapping[str, float] | Sequence[float] | float | None = None) -> None:
        super().__init__()
        self.in_order: tuple[float, ...] | None = None
        self.weights: dict[str, float] = {}
        if weights is None or isinstance(weights, Mapping):
            self.weights = {name: _weight(weight, f"of task {name!r}") for name, weight in (weights or {}).items()}
        elif isinstance(weights, Sequence) and not isinstance(weights, str):
            self.in_order = tuple(_weight(weight, f"number {place}") for place, weight in enumerate(weights, 1))
        else:
            self.in_order = (_weight(weights, "of a sum of losses"),)

    def prepare(self, tasks: Sequence[str]) -> None:
        """Give the weights that were given in order their names.

        Raises:
            UmbelError: Another number of weights than of tasks, or none above 0.
        """
        if self.in_order is not None:
            if len(self.in_order) != len(tasks):
                raise UmbelError(
                    f"the weights of a sum of losses are {len(self.in_order)} for {len(tasks)} tasks "
                    f"({', '.join(tasks)}); give one for each in this order, as {'/'.join('1' for _ in tasks)}"
                )
            self.weights = dict(zip(tasks, self.in_order, strict=True))
        if not any(self.weights.get(name, 1.0) for name in tasks):
            raise UmbelError("the weights of a sum of losses are 0 for every task; give at least one above 0")

    def forward(self, names: Sequence[str], values: Tensor | None, present: Tensor | None) -> Tensor | None:
        """The given weights [T]."""
        for name in self.weights:
            if name not in names:
                raise unknown("task of a weight", name, names)
        given = [self.weights.get(name, 1.0) for name in names]
        return torch.tensor(given, dtype=torch.float64) if self.weights else None


def _weight(value: object, which: str) -> float:
    weight = real_number(value, f"the weight {which}")
    if weight < 0:
        raise UmbelError(f"the weight {which} is {weight:g}; give a finite number, at least 0")
    return weight


class TaskWeighting(Weighting):
    """A weighting of the tasks; auxiliary losses keep weight 1 and take no part in its state."""

    def prepare(self, tasks: Sequence[str]) -> None:
        """Fix the number of tasks and make the state."""
        if getattr(self, "tasks", None) == tuple(tasks):
            return
        self.tasks = tuple(tasks)
        self.make_state(len(tasks))

    def make_state(self, count: int) -> None:
        """Register parameters and buffers for `count` tasks."""

    @abstractmethod
    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """The weights of the tasks alone; arguments as in `forward`, cut to the tasks."""

    def forward(self, names: Sequence[str], values: Tensor | None, present: Tensor | None) -> Tensor:
        """The tasks' weights, then 1 for every auxiliary loss."""
        count = len(self.tasks)
        if tuple(names[:count]) != self.tasks:
            raise UmbelError(
                f"{type(self).__name__} weighs the tasks {', '.join(self.tasks)}, but the learner's losses begin with "
                f"{', '.join(names[:count])}; return one loss for each task, in the order of the tasks"
            )
        weights = self.task_weights(
            None if values is None else values[:count], None if present is None else present[:count]
        )
        return torch.cat([weights, weights.new_ones(len(names) - count)])


class Uncertainty(TaskWeighting):
    """Homoscedastic uncertainty: each task's noise is learnt beside the network.

        L = Σ_t ½ exp(-s_t) L_t + ½ s_t,    s_t = log σ_t², starting at 0 (every weight ½)

    The log-variances s are parameters of the descent; the optimizer of the network learns them too. A task without
    labels in the batch drops out with both of its terms.

    Reference: Kendall, Gal, Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018.
    Differs from the paper: the same factor ½ for classification as for regression (the paper has 1 for
    classification; s absorbs the difference).
    """

    needs_presence = True

    log_variances: nn.Parameter

    def make_state(self, count: int) -> None:
        """S = 0."""
        self.log_variances = nn.Parameter(torch.zeros(count))

    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """½ exp(-s)."""
        return 0.5 * torch.exp(-self.log_variances.detach())

    def learn(self, values: Tensor, present: Tensor | None) -> None:
        """dL/ds_t = ½ - ½ exp(-s_t) L_t, from the losses of the whole batch: the same on every process."""
        assert present is not None, "needs_presence"
        count = len(self.tasks)
        gradient = 0.5 - self.task_weights(None, None) * values[:count]
        self.log_variances.grad = torch.where(present[:count], gradient, 0).to(self.log_variances)


class DynamicWeightAverage(TaskWeighting):
    """DWA: a task whose loss fell less in the last epoch weighs more in the next.

        λ_t = T exp(r_t / τ) / Σ_k exp(r_k / τ),    r_t = mean L_t(last epoch) / mean L_t(the one before)

    For the first two epochs every weight is 1. A task's mean goes over the batches that label it; an epoch that
    never does leaves its history as it was.

    Args:
        temperature: τ, 2 in the paper.

    Reference: Liu, Johns, Davison, "End-to-end multi-task learning with attention", CVPR 2019.
    """

    needs_presence = True
    loss_sum: Tensor
    batches: Tensor
    means: Tensor

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = real_number(temperature, "dynamic weight average: the temperature")
        if not temperature > 0:
            raise UmbelError(f"dynamic weight average: the temperature is {temperature}; it must be positive")

    def make_state(self, count: int) -> None:
        """Sums of the running epoch, and means of the last two (NaN: not known yet)."""
        self.register_buffer("loss_sum", torch.zeros(count))
        self.register_buffer("batches", torch.zeros(count))
        self.register_buffer("means", torch.full((2, count), torch.nan))

    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """T softmax(r / τ)."""
        older, newer = self.means
        rates = torch.nan_to_num(newer / older, nan=1.0, posinf=1.0, neginf=1.0)
        return len(self.tasks) * torch.softmax(rates / self.temperature, 0)

    def learn(self, values: Tensor, present: Tensor | None) -> None:
        """Add the batch to the epoch's means."""
        assert present is not None, "needs_presence"
        seen = present[: len(self.tasks)]
        self.loss_sum += torch.where(seen, values[: len(self.tasks)], 0).to(self.loss_sum)
        self.batches += seen

    def after_epoch(self) -> None:
        """Roll the history on."""
        mean = self.loss_sum / self.batches
        known = self.batches > 0
        self.means.copy_(torch.where(known, torch.stack([self.means[1], mean]), self.means))
        self.loss_sum.zero_()
        self.batches.zero_()


class RandomWeights(TaskWeighting):
    """RLW: new random weights at every step, softmax of T standard normal numbers. They sum to 1.

    Args:
        seed: Of the weights' own generator, the same on every process. Its state is kept in a buffer.

    Reference: Lin, Ye, Zhang, Tsang, "Reasonable effectiveness of random weighting", TMLR 2022.
    """

    generator_state: Tensor

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        seed = seed_number(seed, "random weights: the seed")
        self.register_buffer("generator_state", torch.Generator().manual_seed(seed).get_state())

    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """A draw; moves the generator on."""
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        weights = torch.softmax(torch.randn(len(self.tasks), generator=generator), 0)
        self.generator_state.copy_(generator.get_state())
        return weights.to(self.generator_state.device)


class GeometricMean(TaskWeighting):
    """GLS: descend the geometric mean of the losses, (Π L_t)^(1/T), over the tasks that have labels.

    Its gradient is that of Σ w_t L_t with w_t = (Π L_k)^(1/T) / (T L_t).

    Reference: Chennupati et al., "MultiNet++: multi-stream feature aggregation and geometric loss strategy for
    multi-task learning", CVPR workshops 2019.

    Raises:
        UmbelError: A loss is negative.
    """

    needs_values = True
    needs_presence = True

    def task_weights(self, values: Tensor | None, present: Tensor | None) -> Tensor:
        """D (geometric mean) / dL."""
        assert values is not None and present is not None, "needs_values, needs_presence"
        logs = log_losses(values, present, self.tasks, "the geometric mean")
        count = present.sum().clamp(min=1)
        mean = torch.where(present, logs, 0).sum() / count
        return torch.where(present, torch.exp(mean - logs) / count, 0)


def log_losses(values: Tensor, present: Tensor, tasks: Sequence[str], what: str) -> Tensor:
    """log(L + 1e-8) [T] of losses that must not be negative; 0 for a task without labels.

    Raises:
        UmbelError: A loss is negative.
    """
    if bool((negative := present & (values < 0)).any()):
        first = int(negative.nonzero()[0])
        raise UmbelError(
            f"{what} needs losses that are not negative; that of task {tasks[first]!r} is {values[first].item():.4g}: "
            "choose another descent"
        )
    return torch.where(present, torch.log(values.clamp(min=0) + 1e-8), 0)
