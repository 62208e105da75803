"""The contracts that everything else is built on. Imports torch and nothing of ours."""

from umbel.core.axes import Axes, Axis, OneOf, Uniform, drawn_point, sweep_over
from umbel.core.batch import Batch, Inputs
from umbel.core.checks import check_finite, check_inputs, check_labels
from umbel.core.descent import Descent, shares, total
from umbel.core.gradients import align, flatten, sum_gradients, write
from umbel.core.learner import Learner, trained_parameters
from umbel.core.losses import Losses
from umbel.core.model import ByTask, MultiTaskModel, PointModule, PointSequential, at_point, axes_of
from umbel.core.point import OperatingPoint, Sweep
from umbel.core.ragged import (
    join,
    join_batches,
    lengths_of,
    missing,
    pad,
    pad_inputs,
    pad_targets,
    sizes_of,
    within,
)
from umbel.core.runtime import Runtime, SingleProcess
from umbel.core.scores import Evaluation, Score, task_scores
from umbel.core.task import ElementLoss, Task, labelled
from umbel.errors import UmbelError, unknown

__all__ = [
    "Axes",
    "Axis",
    "Batch",
    "ByTask",
    "Descent",
    "ElementLoss",
    "Evaluation",
    "Inputs",
    "Learner",
    "Losses",
    "MultiTaskModel",
    "OneOf",
    "OperatingPoint",
    "PointModule",
    "PointSequential",
    "Runtime",
    "Score",
    "SingleProcess",
    "Sweep",
    "Task",
    "UmbelError",
    "Uniform",
    "align",
    "at_point",
    "axes_of",
    "check_finite",
    "check_inputs",
    "check_labels",
    "drawn_point",
    "flatten",
    "join",
    "join_batches",
    "labelled",
    "lengths_of",
    "missing",
    "pad",
    "pad_inputs",
    "pad_targets",
    "shares",
    "sizes_of",
    "sum_gradients",
    "sweep_over",
    "task_scores",
    "total",
    "trained_parameters",
    "unknown",
    "within",
    "write",
]
