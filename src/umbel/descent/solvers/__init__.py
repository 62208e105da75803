"""Weights from a Gramian, solved exactly: what stands behind the catalogue's names."""

from umbel.descent.solvers.alignment import AlignedComponents, ConflictFree, EqualProjections
from umbel.descent.solvers.conflict_averse import ConflictAverse
from umbel.descent.solvers.fairness import AlphaFair, NashBargaining, nash_weights
from umbel.descent.solvers.gramian import ExactWeighting, GramianWeighting
from umbel.descent.solvers.minimum_norm import MinimumNorm, minimum_norm_weights
from umbel.descent.solvers.projection import ProjectedMean, ProjectedRows, projection_weights
from umbel.descent.solvers.surgery import GradientSurgery, GradientVaccine

__all__ = [
    "AlignedComponents",
    "AlphaFair",
    "ConflictAverse",
    "ConflictFree",
    "EqualProjections",
    "ExactWeighting",
    "GradientSurgery",
    "GradientVaccine",
    "GramianWeighting",
    "MinimumNorm",
    "NashBargaining",
    "ProjectedMean",
    "ProjectedRows",
    "minimum_norm_weights",
    "nash_weights",
    "projection_weights",
]
