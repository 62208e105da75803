"""Losses as pure functions: (raw prediction, target) -> unreduced losses."""

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
    "bernoulli",
    "cross_entropy",
    "mean_squared_error_of_each",
    "squared_error",
    "standardised_squared_error",
]
