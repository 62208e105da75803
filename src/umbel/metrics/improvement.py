"""How much better or worse than a reference: for one task, and on average (delta-m)."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from umbel.arguments import any_number, instance
from umbel.core import UmbelError

# Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def relative_improvement(value: float, reference: float, higher_is_better: bool) -> float:
    """100 · (value - reference) / |reference| percent, with the sign turned so that positive is better.

    Raises:
        UmbelError: The reference is 0.
    """
    value, reference = any_number(value, "a metric"), any_number(reference, "the reference of a metric")
    instance(higher_is_better, bool, "higher_is_better", "True or False")
    if reference == 0:
        raise UmbelError("relative improvement over a reference of 0 is not defined; use another metric")
    return (100 if higher_is_better else -100) * (value - reference) / abs(reference)


def relative_change(value: float, other: float, higher_is_better: bool) -> float:
    """200 · (value - other) / (|value| + |other|) percent, with the sign turned so that positive is better.

    Close values differ by what `relative_improvement` says. Unlike it, this is defined for every pair, at most 200 in
    size (where one value is 0, infinite, or of the other sign), and its opposite when the two are exchanged; changes
    add up, nearly, from step to step, since it is 100 · log(value / other) but for the third power. NaN is worse than
    any number, and 0 away from NaN.
    """
    value, other = any_number(value, "a metric"), any_number(other, "the other metric")
    instance(higher_is_better, bool, "higher_is_better", "True or False")
    if math.isnan(value) or math.isnan(other):
        return 200.0 * (math.isnan(other) - math.isnan(value))
    if value == other:
        return 0.0
    largest = max(abs(value), abs(other))
    difference = (1 if value > other else -1) if math.isinf(largest) else value / largest - other / largest
    size = 1 if math.isinf(largest) else abs(value / largest) + abs(other / largest)
    return (200 if higher_is_better else -200) * difference / size


def as_loss(value: float, higher_is_better: bool) -> float:
    """A loss from a metric M: 1 - M for a part from 0 to 1 (an accuracy, an overlap), M itself where lower is better.

    Raises:
        UmbelError: Higher is better and the value is above 1, so that there is no loss to make of it.
    """
    if not higher_is_better:
        return value
    if value > 1:
        raise UmbelError(f"a metric of {value:g}, higher is better, is no part from 0 to 1, so it has no loss")
    return 1 - value


def mean_relative_improvement(
    values: Mapping[str, float], references: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """delta-m: the mean over tasks of `relative_improvement`, in percent; **positive is better**.

    Source: Maninis et al., "Attentive single-tasking of multiple tasks", CVPR 2019, eq. 4 (their sign for
    lower-is-better metrics; papers that write delta-m as a *drop* use the opposite sign).

    Args:
        values: Task -> metric of the multi-task model.
        references: Task -> the same metric of the single-task reference.
        higher_is_better: Task -> direction.

    Raises:
        UmbelError: No task at all, one without a reference or a direction, or a reference of 0.
    """
    given = {"values": values, "references": references, "higher_is_better": higher_is_better}
    for what, mapping in given.items():
        instance(mapping, Mapping, f"delta-m: {what}", "a mapping from task")
        if missing := set(values) - set(mapping):
            raise UmbelError(f"delta-m: {what} has no task {min(missing)!r}")
    if not values:
        raise UmbelError("delta-m: there is no task to average over")
    return statistics.fmean(relative_improvement(v, references[t], higher_is_better[t]) for t, v in values.items())


def confidence_interval(values: Sequence[float], test_to_train: float = 0.0) -> tuple[float, float]:
    """Mean and half-width of its 95 % confidence interval (Student's t over repetitions).

        half-width = t sqrt(1/k + n_test/n_train) s          of k repetitions with the standard deviation s

    Independent repetitions have 1/k alone. Folds of the same samples share most of what they learn from, so that their
    spread tells too little: the second term corrects for it.

    Source: Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52, 2003, eq. 9 (there of
    resampled splits; used for folds, too).

    One value has no interval: the half-width is NaN. A value that is not finite leaves neither: both are NaN.

    Args:
        values: One for each repetition.
        test_to_train: n_test/n_train of repetitions that are folds of the same samples; 0: independent ones. NaN, not
            known, leaves no interval.

    Raises:
        UmbelError: No value at all, something that is not a number, or a ratio below 0.
    """
    instance(values, Iterable, "the values of an interval", "a list of numbers")
    values = [any_number(value, "a value of an interval") for value in values]
    ratio = any_number(test_to_train, "test_to_train of an interval")
    if not values:
        raise UmbelError("an interval needs at least one value")
    if ratio < 0:
        raise UmbelError(f"test_to_train of an interval is {ratio:g}; give samples tested by samples learnt from")
    if not all(math.isfinite(value) for value in values):
        return math.nan, math.nan
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    quantile = _T95[len(values) - 2] if len(values) <= len(_T95) + 1 else 1.96
    independent = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean, independent * math.sqrt(1 + len(values) * ratio)
