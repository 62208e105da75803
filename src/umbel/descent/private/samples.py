"""Gradients of single samples: many at once through `torch.func`, or one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from umbel.core import Batch, Learner, OperatingPoint, Runtime, SingleProcess, Task, UmbelError
from umbel.descent.private.suited import buffers_unchanged, naming_the_layer

_ELEMENTS = 2**26  # of gradients that are held at once: 256 MB in single precision
_MOST_AT_ONCE = 128


@dataclass(frozen=True)
class SampleGradients:
    """Gradients of n samples.

    Attributes:
        gradients: One for each trained parameter, in the order of `trained_by_name`: [n, *shape], of the sum of the
            losses of one sample each.
        means: The L losses of each sample, [n, L]: the tasks', then the auxiliary ones.
        weights: What each loss of each sample counts in the mean over a batch, [n, L].
    """

    gradients: tuple[Tensor, ...]
    means: Tensor
    weights: Tensor

    def norms(self) -> Tensor:
        """The Euclidean norm of each sample's whole gradient, [n]."""
        return torch.stack([_full(g).flatten(1).norm(dim=1) for g in self.gradients]).norm(dim=0)

    def clipped_sum(self, clip_norm: float) -> list[Tensor]:
        """The sum over the samples of g min(1, clip_norm / ||g||), in the shapes of the parameters."""
        factors = clip_norm / self.norms().clamp(min=clip_norm)
        return [torch.tensordot(factors.to(g.dtype), g, dims=1) for g in self.gradients]


def trained_by_name(learner: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that can be trained, each once."""
    return {name: p for name, p in learner.named_parameters() if p.requires_grad}


def sample_gradients(
    learner: Learner,
    batch: Batch,
    point: OperatingPoint,
    auxiliary: Sequence[str] = (),
    chunk: int | None = None,
    runtime: Runtime | None = None,
) -> Iterator[SampleGradients]:
    """The gradients of single samples, a chunk of a batch at a time.

    The loss of a sample is the sum of the losses of a batch of this sample alone. A task that weighs its elements
    counts each by its weight: a weight of 2 doubles the gradient. A task that is not labelled adds 0.

    Args:
        learner: What is taught; its forward pass sees one sample at a time.
        batch: This process's samples.
        point: The operating point, the same for all.
        auxiliary: Names of losses beside the tasks', which add to a sample's.
        chunk: How many samples are taken at once; 1 takes them one by one without `torch.func`, which is slow and
            works for every layer. None: as many as 256 MB of gradients are, at most 128.
        runtime: Whose precision the forward pass has; full precision as it stands.

    Yields:
        At most `chunk` samples each, in their order; nothing for an empty batch.

    Raises:
        UmbelError: A layer or loss that cannot be taken apart into samples, or other losses than were named.
    """
    runtime = runtime or SingleProcess()
    parameters = trained_by_name(learner)
    losses = _LossesOfOne(learner, point, tuple(auxiliary))
    size = chunk or max(1, min(_MOST_AT_ONCE, _ELEMENTS // max(1, sum(p.numel() for p in parameters.values()))))
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        with runtime.autocast(), buffers_unchanged(learner):
            yield _one(losses, piece, parameters) if size == 1 else _many(losses, piece, parameters)


class _LossesOfOne(nn.Module):
    """One sample -> (what it adds to the objective, its losses [L], their weights [L])."""

    def __init__(self, learner: Learner, point: OperatingPoint, auxiliary: tuple[str, ...]) -> None:
        super().__init__()
        self.learner, self.point = learner, point
        self.expected = (*(task.name for task in learner.tasks), *auxiliary)

    def forward(self, sample: Batch) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        losses, weights = self.learner.losses(sample, self.point), self.learner.counts(sample)
        _check_names(list(losses), self.expected)
        means = torch.stack([_full(losses[name]) for name in self.expected])
        one = torch.ones_like(means[0])
        counted = torch.stack([weights[name].to(one) if name in weights else one for name in self.expected])
        scales = [self._scale(task, sample, counted[i]) for i, task in enumerate(self.learner.tasks)]
        scaled = means * torch.stack([*scales, *[one] * (len(self.expected) - len(scales))])
        return scaled.sum(), (means.detach(), counted.detach())

    def _scale(self, task: Task, sample: Batch, weight: Tensor) -> Tensor:
        """A mean over weighed elements does not feel how much they weigh together; their number is what it is over."""
        if task.weigh is None:
            return torch.ones_like(weight)
        return weight / task.count(task.target_of(sample)).clamp(min=1).to(weight)


def _check_names(given: Sequence[str], expected: Sequence[str]) -> None:
    for name in given:
        if name not in expected:
            raise UmbelError(
                f"loss {name!r} is no task's; private training needs a loss of every sample by itself, which one that "
                f"couples samples has not; if it is a mean over samples, say so: auxiliary={name}/"
            )
    for name in expected:
        if name not in given:
            raise UmbelError(f"the learner gives no loss {name!r}; its losses are {', '.join(given)}")


def _one(losses: _LossesOfOne, batch: Batch, parameters: Mapping[str, nn.Parameter]) -> SampleGradients:
    objective, (means, weights) = losses(batch)
    given: Sequence[Tensor | None] = [None] * len(parameters)
    if objective.requires_grad:
        given = torch.autograd.grad(objective, list(parameters.values()), allow_unused=True)
    pairs = zip(given, parameters.values(), strict=True)
    gradients = tuple((torch.zeros_like(p) if g is None else g)[None] for g, p in pairs)
    return SampleGradients(gradients, means[None], weights[None])


def _many(losses: _LossesOfOne, batch: Batch, parameters: Mapping[str, nn.Parameter]) -> SampleGradients:
    def objective(weights: Mapping[str, Tensor], sample: dict[str, Any]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        single = Batch(**sample).map(lambda tensor: tensor[None])
        return functional_call(losses, {f"learner.{name}": w for name, w in weights.items()}, (single,))

    batch = batch.map(torch.Tensor.contiguous)  # torch's rules for many weight gradients at once know no channels_last
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    samples = {
        name: value if isinstance(value, Tensor) else dict(value)
        for name, value in tensors.items()
        if value is not None
    }
    weights = {name: p.detach().contiguous() for name, p in parameters.items()}
    each = vmap(grad(objective, has_aux=True), in_dims=(None, 0), randomness="different")
    gradients, (means, counted) = naming_the_layer(losses.learner, lambda: each(weights, samples))
    return SampleGradients(tuple(gradients[name] for name in parameters), means, counted)


def _full(x: Tensor) -> Tensor:
    """At least single precision."""
    return x if x.dtype == torch.float64 else x.float()
