"""The contracts that everything else is built on. Imports torch and nothing of ours."""

from umbel.core.axes import Axes, Axis, OneOf, Uniform, drawn_point, sweep_over
from umbel.core.batch import Batch, Inputs
from umbel.core.checks import (
    check_classes,
    check_dense,
    check_finite,
    check_inputs,
    check_labels,
    check_loss_parameters,
    check_scales,
)
from umbel.core.descent import Descent, shares, total
from umbel.core.gradients import align, flatten, sum_gradients, write
from umbel.core.learner import Learner, ParameterGroup, trained_parameters
from umbel.core.losses import Losses
from umbel.core.model import ByTask, MultiTaskModel, PointModule, PointSequential, at_point, axes_of
from umbel.core.parts import freeze, named_part
from umbel.core.point import OperatingPoint, Sweep
from umbel.core.ragged import (
    join_batches,
    join_padded,
    lengths_of,
    missing_label,
    pad,
    pad_inputs,
    pad_targets,
    sizes_of,
    within,
)
from umbel.core.released import Released
from umbel.core.runtime import Runtime, SingleProcess
from umbel.core.sampling import Sampling
from umbel.core.scores import Evaluation, Score, task_scores
from umbel.core.taps import Taps
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
    "ParameterGroup",
    "PointModule",
    "PointSequential",
    "Released",
    "Runtime",
    "Sampling",
    "Score",
    "SingleProcess",
    "Sweep",
    "Taps",
    "Task",
    "UmbelError",
    "Uniform",
    "align",
    "at_point",
    "axes_of",
    "check_classes",
    "check_dense",
    "check_finite",
    "check_inputs",
    "check_labels",
    "check_loss_parameters",
    "check_scales",
    "drawn_point",
    "flatten",
    "freeze",
    "join_batches",
    "join_padded",
    "labelled",
    "lengths_of",
    "missing_label",
    "named_part",
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
