"""Losses as pure functions: (raw prediction, target) -> unreduced losses."""

from umbel.losses.distillation import (
    attention_distance,
    class_divergence,
    prefix_distance,
    relational_distance,
)
from umbel.losses.elementwise import (
    angular,
    bernoulli,
    cross_entropy,
    mean_squared_error_of_each,
    squared_error,
    standardised_squared_error,
)

__all__ = [
    "angular",
    "attention_distance",
    "bernoulli",
    "class_divergence",
    "cross_entropy",
    "mean_squared_error_of_each",
    "prefix_distance",
    "relational_distance",
    "squared_error",
    "standardised_squared_error",
]
