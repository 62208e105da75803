"""What a task is: a loss for each element, metrics, and which way is better."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from umbel.arguments import plain_name
from umbel.core.batch import Batch
from umbel.errors import UmbelError

RESERVED_NAMES = ("step", "learning_rate", "loss", "improvement")
"""Columns of the logs; a task of such a name would overwrite them."""
ElementLoss = Callable[[Tensor, Tensor], Tensor]
"""(raw prediction, target) -> unreduced losses, with the shape of the task's mask (often [B])."""


def labelled(target: Tensor) -> Tensor:
    """Which elements carry a label: not NaN (floating point), not negative (integer), all (bool).

    Args:
        target: Any shape.

    Returns:
        Bool, the same shape.
    """
    if target.dtype == torch.bool:
        return torch.ones_like(target)
    return ~torch.isnan(target) if target.is_floating_point() else target >= 0


def _filled(target: Tensor, mask: Tensor) -> Tensor:
    """The target with a label of the batch wherever one is missing: the greatest of that output.

    Whatever stands there is dropped, but its gradient must be finite, and a loss need not be made for every number
    (a relative error is infinite at 0). What the batch labels is valid, as a rule for the same output; where nothing
    of it is labelled, another output's label is taken, and in a batch without labels class 0 or the value 1.
    """
    if target.dtype == torch.bool or not target.numel():
        return target
    missing = ~mask if mask.shape == target.shape else ~labelled(target)
    floating = target.is_floating_point()
    none = -math.inf if floating else torch.iinfo(target.dtype).min
    known = target.masked_fill(missing, none)
    of_output = known.amax([axis for axis in range(target.ndim) if axis != 1], keepdim=True)
    over_all = of_output.amax()
    usual = torch.full_like(over_all, 1 if floating else 0)
    label = torch.where(of_output > none, of_output, torch.where(over_all > none, over_all, usual))
    return torch.where(missing, label, target)


def _outputs_last(x: Tensor) -> Tensor:
    """[B, K, ...] as [n, K]; what has no second axis as [n, 1]."""
    return x.movedim(1, -1).reshape(-1, x.shape[1]) if x.ndim > 1 else x.unsqueeze(1)


def _same(prediction: Tensor) -> Tensor:
    return prediction


@dataclass(frozen=True)
class Task:
    """One thing to predict. `umbel.tasks` builds the usual kinds; any other is made by giving the parts.

    Attributes:
        name: Unique within a model.
        outputs: Size of the prediction: classes, values or channels.
        loss: (raw prediction, target) -> losses that are **not** reduced, of the mask's shape. Where a label is
            missing, the target has some other label of the batch; those elements are dropped afterwards.
        metrics: Name -> factory of a torchmetrics metric. The first is the main one.
        higher_is_better: Direction of the main metric.
        output: What the head produces: "vector" [B, outputs], "map" [B, outputs, H, W] at the input's
            resolution, or a name that the user's own heads understand.
        labelled: target -> bool mask of the labelled elements. Its shape is that of the losses.
        target: batch -> target, for targets derived from the batch (a reconstruction's is its input);
            None takes `batch.targets[name]`.
        padding: What is behind the end of a target that is shorter than others in its batch; None is the missing
            label. A task whose targets are sets (boxes) gives a number that no target has, -1 say, and counts samples
            by its `labelled`: a sample without any box then differs from one that nobody labelled.
        weigh: Target -> how much each element counts in the mean, of the mask's shape, 0 or more; None: all alike. Its
            `loss` is already multiplied by it, so that the mean is torch's for class weights w: Σ w_y l / Σ w_y.
        decode: Raw prediction -> natural units (probabilities, years, metres); what metrics and pictures see.
        labels: Names of the classes or outputs, for tables and pictures.
        unit: Unit of the main metric, as in "years"; empty when it has none.
        kind: "classification", "regression", ...: for reports only; no code decides by it.
        from_training: (task, training targets in batches) -> the task with what it takes from them: the centre and
            scale of a regression, balanced class weights. None when nothing is left open. `MultiTaskData` calls it.
    """

    name: str
    outputs: int
    loss: ElementLoss
    metrics: Mapping[str, Callable[[], Any]]
    higher_is_better: bool
    output: str = "vector"
    labelled: Callable[[Tensor], Tensor] = labelled
    target: Callable[[Batch], Tensor] | None = None
    padding: float | None = None
    weigh: Callable[[Tensor], Tensor] | None = None
    decode: Callable[[Tensor], Tensor] = _same
    labels: tuple[str, ...] = field(default=())
    unit: str = ""
    kind: str = "custom"
    from_training: "Callable[[Task, Sequence[Tensor]], Task] | None" = None

    def __post_init__(self) -> None:
        if not self.name:
            raise UmbelError("a task needs a name")
        plain_name(self.name, "the task")
        if self.name in RESERVED_NAMES:
            raise UmbelError(f"a task cannot be called {self.name!r}, a column of every log; rename it")
        for label in self.labels:
            plain_name(label, f"task {self.name!r}: the class or output")
        if self.outputs < 1:
            raise UmbelError(f"task {self.name!r}: outputs is {self.outputs}; it must be at least 1")
        if not self.metrics:
            raise UmbelError(f"task {self.name!r}: no metric; give at least one")

    @property
    def main_metric(self) -> str:
        """Name of the metric that the task is judged by."""
        return next(iter(self.metrics))

    def fitted(self, targets: Sequence[Tensor]) -> "Task":
        """The task with what it takes from training targets; itself where nothing is left open.

        Args:
            targets: Of all training samples, in batches, missing labels included.
        """
        return self if self.from_training is None else replace(self.from_training(self, targets), from_training=None)

    def target_of(self, batch: Batch) -> Tensor:
        """The task's target in a batch."""
        return self.target(batch) if self.target else batch.target(self.name)

    def count(self, target: Tensor) -> Tensor:
        """How many labelled elements a target has: a scalar."""
        return self.labelled(target).sum()

    def weight(self, target: Tensor) -> Tensor:
        """How much the labelled elements of a target count together: a scalar; their number unless `weigh` says else.

        Raises:
            UmbelError: It cannot be computed from this target.
        """
        mask = self.labelled(target)
        if self.weigh is None:
            return mask.sum()
        with self._blamed("weights fail", target=target):
            return torch.where(mask, self.weigh(_filled(target, mask)), 0).sum()

    def mean_loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the labelled elements: a scalar; 0 (with zero gradient) when there are none.

        Args:
            prediction: Raw, as the head gives it.
            target: As `target_of` gives it, missing labels included.

        Raises:
            UmbelError: The loss cannot be computed from these two, or does not have the shape of the mask.
        """
        losses, mask = self._element_losses(prediction, target)
        weight = self.weight(target)
        return torch.where(mask, losses, 0).sum() / torch.where(weight > 0, weight, 1)

    def sample_losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean loss over the labelled elements of each sample by itself: [B]; NaN where a sample has none.

        Args:
            prediction: Raw, as the head gives it.
            target: As `target_of` gives it, missing labels included.

        Raises:
            UmbelError: As `mean_loss`.
        """
        losses, mask = (x.reshape(len(target), -1) for x in self._element_losses(prediction, target))
        return torch.where(mask, losses, 0).sum(1) / mask.sum(1)

    def _element_losses(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The losses of all elements, whatever stands where a label is missing, and which are labelled."""
        mask = self.labelled(target)
        with self._blamed("loss fails", prediction=prediction, target=target):
            losses = self.loss(prediction, _filled(target, mask))
        if losses.shape != mask.shape:
            raise UmbelError(
                f"task {self.name!r}: its loss has shape {tuple(losses.shape)}, its labels {tuple(mask.shape)}; "
                'return one loss for each label (reduction="none"), from a target in the shape of the prediction '
                f"{tuple(prediction.shape)}"
            )
        return losses, mask

    @contextmanager
    def _blamed(self, what: str, **given: Tensor) -> Iterator[None]:
        """What goes wrong inside becomes one line that names the task, what it was given and what it needs."""
        try:
            yield
        except UmbelError as error:
            raise UmbelError(f"task {self.name!r}: {error}") from error
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            tensors = " and ".join(f"a {n} {str(x.dtype).split('.')[1]} {list(x.shape)}" for n, x in given.items())
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            classes = f"classes are whole numbers (int64), 0 to {self.outputs - 1}, negative if missing; "
            raise UmbelError(
                f"task {self.name!r}: its {what} for {tensors} ({reason}); {classes if self.outputs > 1 else ''}"
                "values have the shape of the prediction, NaN if missing"
            ) from error

    def update(self, metric: Any, prediction: Tensor, target: Tensor) -> None:
        """Feed the labelled elements to a torchmetrics metric, in natural units.

        Elementwise targets (a mask of the prediction's shape) arrive flat, [n]; otherwise the prediction's
        channels come last, [n, outputs], beside targets [n]. Where the mask is one of samples, [B], whole labelled
        samples arrive (sets of boxes, say).

        A metric with a true `ranks_outputs` depends on the order of the scores of each output alone, which rounding
        in `decode` may lose. It gets raw predictions and targets [n, outputs], with missing labels as NaN; it suits
        tasks of which a greater raw prediction is a surer yes.

        Args:
            metric: What is fed; it is left alone where nothing is labelled.
            prediction: Raw, as the head gives it.
            target: As `target_of` gives it, missing labels included.
        """
        mask = self.labelled(target)
        if getattr(metric, "ranks_outputs", False):
            if bool(mask.any()):
                known = torch.where(mask, target, torch.nan)
                metric.update(*(_outputs_last(x) for x in (prediction, known)))
            return
        prediction = self.decode(prediction)
        if mask.shape == prediction.shape:
            chosen, wanted = prediction[mask], target[mask]
        else:
            channels_last = target.shape == prediction.shape
            chosen = prediction.movedim(1, -1)[mask] if mask.ndim > 1 else prediction[mask]
            wanted = target.movedim(1, -1)[mask] if channels_last and mask.ndim > 1 else target[mask]
        if wanted.numel():
            metric.update(chosen, wanted)
