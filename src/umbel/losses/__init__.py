"""Losses as pure functions: (raw prediction, target) -> unreduced losses; two sets of features -> their dependence."""

from umbel.losses.attribute_mining import MinedPairs, attribute_mining, group_triplets, mined_pairs
from umbel.losses.contrastive import contrastive_depth
from umbel.losses.decorrelation import ESTIMATORS, attention_overlap, cross_covariance, hsic
from umbel.losses.distillation import (
    attention_distance,
    class_divergence,
    prefix_distance,
    relational_distance,
)
from umbel.losses.domains import focal_cross_entropy, least_squares_domain
from umbel.losses.elementwise import (
    absolute_error,
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
    "MinedPairs",
    "absolute_error",
    "angular",
    "attention_distance",
    "attention_overlap",
    "attribute_mining",
    "bernoulli",
    "class_divergence",
    "contrastive_depth",
    "cross_covariance",
    "cross_entropy",
    "focal_cross_entropy",
    "group_triplets",
    "hsic",
    "joint_dependence",
    "joint_overlap",
    "least_squares_domain",
    "mean_squared_error_of_each",
    "mined_pairs",
    "prefix_distance",
    "relational_distance",
    "squared_error",
    "standardised_squared_error",
]
