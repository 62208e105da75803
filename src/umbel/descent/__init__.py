"""Descents: which loss teaches which parameters, and how disagreement is settled."""

from umbel.descent.catalogue import DESCENTS, Entry, make_descent, option_names
from umbel.descent.conflict import ConflictProbe, gradient_cosines
from umbel.descent.famo import FAMO
from umbel.descent.gradsplit import Affinity, AfterWarmUp, GradSplit, Measured, random_matrix
from umbel.descent.gramian import measure_gramian
from umbel.descent.jacobian import Jacobian
from umbel.descent.passes import TaskGradients, present_losses, task_gradients
from umbel.descent.private import DPSGD, SampleGradients, sample_gradients
from umbel.descent.solvers import (
    AlignedComponents,
    AlphaFair,
    ConflictAverse,
    ConflictFree,
    EqualProjections,
    GradientSurgery,
    GradientVaccine,
    GramianWeighting,
    MinimumNorm,
    NashBargaining,
    ProjectedMean,
    ProjectedRows,
    minimum_norm_weights,
    nash_weights,
    projection_weights,
)
from umbel.descent.weighted import WeightedSum
from umbel.descent.weightings import (
    DynamicWeightAverage,
    Fixed,
    GeometricMean,
    RandomWeights,
    TaskWeighting,
    Uncertainty,
    Weighting,
)

__all__ = [
    "DESCENTS",
    "DPSGD",
    "FAMO",
    "Affinity",
    "AfterWarmUp",
    "AlignedComponents",
    "AlphaFair",
    "ConflictAverse",
    "ConflictFree",
    "ConflictProbe",
    "DynamicWeightAverage",
    "Entry",
    "EqualProjections",
    "Fixed",
    "GeometricMean",
    "GradSplit",
    "GradientSurgery",
    "GradientVaccine",
    "GramianWeighting",
    "Jacobian",
    "Measured",
    "MinimumNorm",
    "NashBargaining",
    "ProjectedMean",
    "ProjectedRows",
    "RandomWeights",
    "SampleGradients",
    "TaskGradients",
    "TaskWeighting",
    "Uncertainty",
    "WeightedSum",
    "Weighting",
    "gradient_cosines",
    "make_descent",
    "measure_gramian",
    "minimum_norm_weights",
    "nash_weights",
    "option_names",
    "present_losses",
    "projection_weights",
    "random_matrix",
    "sample_gradients",
    "task_gradients",
]
