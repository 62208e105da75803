"""When a surrogate has paid for its training."""

import math

from umbel.arguments import real_number
from umbel.errors import UmbelError


def break_even(
    train_seconds: float, label_seconds: float, solver_per_second: float, surrogate_per_second: float
) -> float:
    """How many power flows a surrogate must answer until it was quicker than to solve all of them.

        N = (training + labels) / (1 / solver - 1 / surrogate)

    Args:
        train_seconds: Of training, with all that was chosen by validation.
        label_seconds: Of solving the training, validation and calibration rows.
        solver_per_second: Power flows a second of the fastest solver.
        surrogate_per_second: Of the surrogate, with the rows that its guard gives to the solver.

    Returns:
        A number, not rounded; infinity where the surrogate is no quicker and never pays.

    Raises:
        UmbelError: Seconds below 0, or rates not above 0.
    """
    seconds = {"train_seconds": train_seconds, "label_seconds": label_seconds}
    rates = {"solver_per_second": solver_per_second, "surrogate_per_second": surrogate_per_second}
    for name, value in {**seconds, **rates}.items():
        number = real_number(value, name)
        if number < 0 or (name in rates and number == 0):
            raise UmbelError(f"{name} is {number:g}; give a number {'above' if name in rates else 'of at least'} 0")
    saved = 1 / solver_per_second - 1 / surrogate_per_second
    return (train_seconds + label_seconds) / saved if saved > 0 else math.inf
