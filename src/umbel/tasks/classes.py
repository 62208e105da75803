"""Classes and yes/no answers, for samples and for pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from umbel import losses
from umbel.arguments import instance, one_of, text
from umbel.core import Task, UmbelError
from umbel.losses.class_weights import balanced_weights, weights_of
from umbel.metrics import AreaUnderROC, AveragePrecision
from umbel.metrics.yes_no import YesNoF1
from umbel.tasks.arguments import labels_of


def _softmax(logits: Tensor) -> Tensor:
    return logits.float().softmax(1)


def _sigmoid(logits: Tensor) -> Tensor:
    return logits.float().sigmoid()


def _accuracy(classes: int) -> Callable[[], Any]:
    return partial(MulticlassAccuracy, num_classes=classes, average="micro", validate_args=False)


def classification(
    name: str, labels: Sequence[str] | int, class_weights: "Tensor | Literal['balanced'] | None" = None
) -> Task:
    """One of several classes. Prediction: logits [B, C]. Target: int64 [B]; negative is missing.

    Metrics: accuracy, macro F1.

    Args:
        name: Name of the task.
        labels: Names of the C classes, of a text its letters; or C, and they are called "0", "1" and so on.
        class_weights: As for `with_class_weights`; None: all classes alike.

    Raises:
        UmbelError: Fewer than two classes, or weights that do not fit them or are negative, not finite or all 0.
    """
    text(name, "the name of a task")
    labels = labels_of(labels, 2, name)
    task = Task(
        name=name,
        outputs=len(labels),
        loss=losses.cross_entropy,
        metrics={
            "accuracy": _accuracy(len(labels)),
            "macro F1": partial(MulticlassF1Score, num_classes=len(labels), average="macro", validate_args=False),
        },
        higher_is_better=True,
        decode=_softmax,
        labels=labels,
        kind="classification",
    )
    return task if class_weights is None else with_class_weights(task, class_weights)


def with_class_weights(task: Task, class_weights: "Tensor | Literal['balanced']") -> Task:
    """A classification or segmentation whose loss has a factor for each class, for unbalanced classes.

    Args:
        task: Of `classification` or `segmentation`.
        class_weights: A factor w for each class [C]; or "balanced", N / (C n_c) from the training labels, as soon as
            the task is in a `MultiTaskData`. The loss is torch's `F.cross_entropy(..., weight=w)`: Σ w_y l / Σ w_y over
            the labels, also of several processes together.

    Raises:
        UmbelError: Another kind of task, or weights that do not fit its classes or are negative, not finite or all 0.
    """
    instance(task, Task, "what has classes to weigh", "a Task, as of classification")
    name = task.name
    if task.kind not in ("classification", "segmentation"):
        raise UmbelError(f"task {name!r}: class_weights are for classification and segmentation, not for {task.kind}")
    if isinstance(class_weights, str):
        one_of(class_weights, f"choice of class_weights of task {name!r}", ("balanced",))
        return replace(task, loss=partial(_not_balanced_yet, name=name), from_training=_balanced)
    instance(class_weights, Tensor, f"task {name!r}: class_weights", "a tensor, a number for each class, or 'balanced'")
    if class_weights.shape != (task.outputs,):
        raise UmbelError(
            f"task {name!r}: class_weights has shape {list(class_weights.shape)}; give one for each of the "
            f"{task.outputs} classes"
        )
    if not bool(class_weights.isfinite().all() and (class_weights >= 0).all() and (class_weights > 0).any()):
        raise UmbelError(f"task {name!r}: class_weights must be finite, 0 or more, and not all 0")
    loss = partial(losses.cross_entropy, weight=class_weights)
    return replace(task, loss=loss, weigh=partial(weights_of, class_weights=class_weights))


def _balanced(task: Task, targets: Sequence[Tensor]) -> Task:
    return with_class_weights(task, balanced_weights(targets, task.outputs).float())


def _not_balanced_yet(_prediction: Tensor, _target: Tensor, name: str) -> Tensor:
    raise UmbelError(
        f"class weights are balanced by training labels, of which {name!r} has seen none; make the learner of the "
        "tasks of the data (MultiTaskData.tasks)"
    )


def multilabel(name: str, labels: Sequence[str] | int) -> Task:
    """Several yes/no answers. Prediction: logits [B, K]. Target: 0, 1 or NaN, float [B, K].

    Metrics: F1 at probability 0.5 over all answers together; area under the ROC curve and average precision, each the
    mean over the K labels (without those that have only one answer, or no yes) and "pooled", over all answers together.

    Args:
        name: Name of the task.
        labels: Names of the K answers; or K, and they are called "0", "1" and so on.

    Raises:
        UmbelError: No answer at all.
    """
    text(name, "the name of a task")
    labels = labels_of(labels, 1, name)
    return Task(
        name=name,
        outputs=len(labels),
        loss=losses.bernoulli,
        metrics={
            "F1": YesNoF1,
            "AUROC": AreaUnderROC,
            "average precision": AveragePrecision,
            "pooled AUROC": partial(AreaUnderROC, pooled=True),
            "pooled average precision": partial(AveragePrecision, pooled=True),
        },
        higher_is_better=True,
        decode=_sigmoid,
        labels=labels,
        kind="multilabel",
    )


def segmentation(
    name: str, labels: Sequence[str] | int, class_weights: "Tensor | Literal['balanced'] | None" = None
) -> Task:
    """A class for each pixel. Prediction: logits [B, C, H, W]. Target: int64 [B, H, W]; negative is void.

    Metrics: mean intersection over union, pixel accuracy.

    Args:
        name: Name of the task.
        labels: As for `classification`.
        class_weights: As for `classification`.

    Raises:
        UmbelError: As `classification`.
    """
    flat = classification(name, labels, class_weights)
    metrics: Mapping[str, Callable[[], Any]] = {
        "mIoU": partial(MulticlassJaccardIndex, num_classes=flat.outputs, average="macro", validate_args=False),
        "pixel accuracy": _accuracy(flat.outputs),
    }
    return replace(flat, metrics=metrics, output="map", kind="segmentation")


def boundaries(name: str) -> Task:
    """Whether a pixel lies on a boundary. Prediction: logits [B, 1, H, W]. Target: 0, 1 or NaN, float, same shape.

    Metrics: F1 at probability 0.5 without tolerance, area under the ROC curve, average precision.
    """
    metrics = {"F1": YesNoF1, "AUROC": AreaUnderROC, "average precision": AveragePrecision}
    return replace(multilabel(name, ("boundary",)), metrics=metrics, output="map", labels=(), kind="boundaries")
