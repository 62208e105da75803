"""Losses as pure functions: (raw prediction, target) -> unreduced losses; two sets of features -> their dependence."""

from umbel.losses.decorrelation import ESTIMATORS, attention_overlap, cross_covariance, hsic
from umbel.losses.distillation import (
    attention_distance,
    class_divergence,
    prefix_distance,
    relational_distance,
)
from umbel.losses.domains import focal_cross_entropy, least_squares_domain
from umbel.losses.elementwise import (
    angular,
    bernoulli,
    cross_entropy,
    mean_squared_error_of_each,
    squared_error,
    standardised_squared_error,
)
from umbel.losses.joint_dependence import KINDS, joint_dependence, joint_overlap

__all__ = [
    "ESTIMATORS",
    "KINDS",
    "angular",
    "attention_distance",
    "attention_overlap",
    "bernoulli",
    "class_divergence",
    "cross_covariance",
    "cross_entropy",
    "focal_cross_entropy",
    "hsic",
    "joint_dependence",
    "joint_overlap",
    "least_squares_domain",
    "mean_squared_error_of_each",
    "prefix_distance",
    "relational_distance",
    "squared_error",
    "standardised_squared_error",
]
