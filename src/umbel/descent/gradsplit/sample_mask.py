"""The engine for samples that are labelled for one task each: one backward pass, a mask on the weight gradients."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from umbel.core import Batch, Learner, Task
from umbel.descent.gradsplit.by_group import teach_by_group
from umbel.descent.gradsplit.cut import Cut
from umbel.descent.gradsplit.groups import Partition, channel_axis, encoder_of
from umbel.descent.gradsplit.layers import Layer
from umbel.descent.gradsplit.walk import Collector, run_walks
from umbel.descent.torch_internals import BatchNorm
from umbel.descent.walk import add_gradient, teach, walk

_WORTH = 0.9  # below this part of the arithmetic, taking samples out of the batch for each group is paid back


def owners(learner: Learner, batch: Batch) -> Int[Tensor, " B"] | None:
    """The task that each sample is labelled for, by its number; -1 for none. None when a sample has several.

    Args:
        learner: Its tasks know what a label is.
        batch: B samples.
    """
    labelled = torch.stack([_labelled(task, batch) for task in learner.tasks])
    if bool((labelled.sum(0) > 1).any()):
        return None
    return torch.where(labelled.any(0), labelled.int().argmax(0), -1)


def _labelled(task: Task, batch: Batch) -> Bool[Tensor, " B"]:
    mask = task.labelled(task.target_of(batch))
    return mask.reshape(len(mask), -1).any(1)


def batch_norms(learner: Learner, partition: Partition) -> dict[str, nn.Module]:
    """The batch normalisations between the losses and the split layers, by name.

    Those in the encoder that belong to no split layer are left out: they may lie below.
    """
    encoder = {id(module) for module in encoder_of(learner).modules()}
    return {
        name: module
        for name, module in learner.named_modules()
        if isinstance(module, BatchNorm) and (partition.splits(module) or id(module) not in encoder)
    }


def mixing(norms: Mapping[str, nn.Module]) -> str | None:
    """Which of these norms mixes samples, and so stands in the way of masks; None when none does."""
    for name, norm in norms.items():
        if norm.training or norm.running_mean is None:
            return f"norm {name!r} ({type(norm).__name__}) mixes samples while it is trained"
    return None


def form_refusal(losses: Sequence[Tensor], cut: Cut, partition: Partition) -> str | None:
    """Why these losses have no form for masks; None if they have.

    Args:
        losses: Those of the T tasks, then the auxiliary ones.
        cut: Of their graph, with the split layers' norms among the watched layers.
        partition: The split.
    """
    if len(losses) > partition.groups:
        return "the learner adds an auxiliary loss, which belongs to no task"
    asked = [p for p in cut.asked if p in partition]
    if asked:
        return (
            f"layer {partition.name_of(asked[0])!r} or its norm is called twice, has a forward pass of its own, or is "
            "changed in place through a view (then inplace=False helps)"
        )
    return None


def mixing_refusal(losses: Sequence[Tensor], owner: Int[Tensor, " B"], cut: Cut, partition: Partition) -> str | None:
    """Whether a task's gradient reaches samples of other tasks; None if not. Costs T walks through the split part.

    Args:
        losses: T scalars, in the order of the tasks.
        owner: From `owners`.
        cut: Of their graph.
        partition: The split.
    """
    edges = [layer.edge for layer in cut.split]
    for task in range(len(losses)):
        weights = [float(task == other) for other in range(len(losses))]
        for layer, gradient in zip(cut.split, walk(losses, weights, edges), strict=True):
            if gradient is None:
                continue
            if len(gradient) != len(owner) or _axis(layer, gradient) == 0:
                return f"the first axis of {_name(layer, partition)} is not that of the samples"
            if bool(gradient[owner != task].any()):
                return f"something between {_name(layer, partition)} and the losses mixes samples"
    return None


def _name(layer: Layer, partition: Partition) -> str:
    return f"layer {partition.name_of(layer.parameters[0])!r}"


def _axis(layer: Layer, gradient: Tensor) -> int:
    return channel_axis(layer.module, gradient.ndim)


def sample_pass(
    losses: Sequence[Tensor], owner: Int[Tensor, " B"], accept: Bool[Tensor, "T G"], cut: Cut, partition: Partition
) -> None:
    """Add to `.grad` what every parameter accepts of these losses.

    The gradient of a sample is that of its own task's loss, δ[n] = δ^{t(n)}[n]. So one ordinary walk is enough, and

        ∂W[g] = wgrad(input, M[:, g] δ[:, g]),   M[n, g] = accept[t(n), g],

    which is exact as long as nothing between the losses and the split layers mixes samples (see `mixing_refusal`).

    Args:
        losses: T scalars, in the order of the tasks.
        owner: From `owners`.
        accept: Which group accepts which task.
        cut: Of their graph, with the split layers' norms among the watched layers.
        partition: The split.
    """
    masks = accept.to(owner.device)[owner] & (owner >= 0)[:, None]
    samples = [column.nonzero().flatten() for column in masks.T]
    if sum(map(len, samples)) > _WORTH * masks.numel():
        samples = []

    def add_asked(_walk: int, parameter: nn.Parameter, gradient: Tensor) -> None:
        add_gradient(parameter, gradient)

    collectors: list[Collector] = [_Masked(layer, masks, samples, partition) for layer in cut.split]
    collectors += [_Unmasked(layer) for layer in cut.whole]
    run_walks(losses, [[1.0] * len(losses)], cut, collectors, add_asked)


class _Unmasked(Collector):
    """All samples teach all channels."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self._gradient: Tensor | None = None

    def add(self, gradient: Tensor) -> None:
        """Keep it."""
        self._gradient = gradient

    def teach(self) -> None:
        """Pass it on."""
        if self._gradient is not None:
            self._pass_on(self._gradient)
            self._gradient = None

    def _pass_on(self, gradient: Tensor) -> None:
        teach([self.layer.edge], [gradient], self.layer.parameters)


class _Masked(_Unmasked):
    """A group's channels are taught by the samples whose tasks the group accepts."""

    def __init__(
        self, layer: Layer, masks: Bool[Tensor, "B G"], samples: Sequence[Tensor], partition: Partition
    ) -> None:
        super().__init__(layer)
        self._masks, self._samples, self._partition = masks, samples, partition

    def _pass_on(self, gradient: Tensor) -> None:
        if self._samples and teach_by_group(
            self.layer, gradient, self._samples, self._partition.slices(self.layer.channels)
        ):
            return
        axis = _axis(self.layer, gradient)
        mask = self._partition.columns(self._masks, self.layer.channels).to(gradient.dtype)
        shape = [len(mask), *[1] * (gradient.ndim - 1)]
        shape[axis] = self.layer.channels
        super()._pass_on(gradient * mask.view(shape))
