"""Metrics of control: Pareto fronts, hypervolume, uniformity, the response to a preference, the budget's error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from umbel.arguments import instance, names, one_of, real_number
from umbel.errors import UmbelError, shown

Direction = Literal["max", "min"]
"""Which way a coordinate is better."""

MOST_DIMENSIONS = 8


def _finite(name: str, values: ArrayLike, dimensions: int) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UmbelError(f"{name} is {shown(values)}; give numbers") from error
    if array.ndim != dimensions:
        raise UmbelError(f"{name} has shape {list(array.shape)}; it must have {dimensions} axes")
    if not np.isfinite(array).all():
        raise UmbelError(f"{name} holds NaN or infinity")
    return array


def pareto_front(points: ArrayLike, directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other point dominates, in their order.

    A point dominates another if it is nowhere worse and somewhere better. Of equal points only the first is kept.

    Args:
        points: [n, d].
        directions: "max" or "min" for each of the d coordinates.

    Raises:
        UmbelError: NaN or infinity, or a direction that is missing or unknown.
    """
    for direction in names(directions, "directions"):
        one_of(direction, "direction", ("max", "min"))
    if not np.size(points):
        return []
    array = _finite("points", points, 2)
    if array.shape[1] != len(directions):
        raise UmbelError(f"points have {array.shape[1]} coordinates, and there are {len(directions)} directions")
    losses = array * np.array([-1.0 if direction == "max" else 1.0 for direction in directions])
    no_worse = (losses[:, None] <= losses[None]).all(-1)
    better = (losses[:, None] < losses[None]).any(-1)
    earlier = np.arange(len(losses))[:, None] < np.arange(len(losses))
    return np.flatnonzero(~(no_worse & (better | earlier)).any(0)).tolist()


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """The volume that losses dominate: that of the union of the boxes from each point up to the reference.

    Exact: a sweep in two dimensions, slices of it in three, and above that the recursion over exclusive volumes of
    While, Bradstreet and Barone, "A fast way of calculating exact hypervolumes" (WFG, 2012), which takes long beyond
    some 50 points in six dimensions. Points that are not below the reference everywhere add nothing.

    Args:
        points: Losses, lower is better [n, d]. For an accuracy use 1 - accuracy.
        reference: The worst loss that counts [d].

    Raises:
        UmbelError: Shapes that do not match, NaN or infinity, more than eight dimensions.
    """
    corner = _finite("reference", reference, 1)
    array = _finite("points", np.reshape(points, (0, len(corner))) if not np.size(points) else points, 2)
    if array.shape[1] != len(corner):
        raise UmbelError(f"points have {array.shape[1]} coordinates, the reference {len(corner)}")
    if not 1 <= len(corner) <= MOST_DIMENSIONS:
        raise UmbelError(f"hypervolume in {len(corner)} dimensions; use 1 to {MOST_DIMENSIONS}, or average some tasks")
    gains = corner - array
    return _volume(_front(gains[(gains > 0).all(1)]))


def _front(gains: np.ndarray) -> np.ndarray:
    return gains[pareto_front(gains, ["max"] * gains.shape[1])]


def _volume(gains: np.ndarray) -> float:
    """Volume of the union of the boxes from 0 to each row; no row dominates another."""
    if len(gains) <= 1:
        return float(gains.prod(1).sum())
    if gains.shape[1] == 1:
        return float(gains.max())
    ranked = gains[np.argsort(-gains[:, -1], kind="stable")]
    if gains.shape[1] == 2:
        return float((ranked[:, 1] * np.diff(ranked[:, 0], prepend=0.0)).sum())
    if gains.shape[1] == 3:
        heights = ranked[:, 2] - np.append(ranked[1:, 2], 0.0)
        areas = ((height, _front(ranked[: i + 1, :2])) for i, height in enumerate(heights) if height)
        return float(sum(height * _volume(area) for height, area in areas))
    total = 0.0
    for i, row in enumerate(ranked):
        # Exclusive volume of the row: its box, without what the boxes after it take of that.
        total += float(row.prod()) - _volume(_front(np.minimum(ranked[i + 1 :], row)))
    return total


def group_losses(
    losses: Mapping[str, float], references: Mapping[str, float], groups: Sequence[Sequence[str]]
) -> list[float]:
    """For each group of tasks the mean of their losses, each as a part of a reference's: a point of a front.

    Args:
        losses: Task -> loss, 0 or more.
        references: Task -> the reference's loss.
        groups: Names of the tasks of each group.

    Raises:
        UmbelError: A task without a reference, a group of nothing, or of a task that has no loss.
    """
    instance(losses, Mapping, "losses", "a mapping from task")
    instance(references, Mapping, "references", "a mapping from task")
    instance(groups, Sequence, "groups", "a list of lists of tasks")
    for task in losses:
        one_of(task, "task of a reference", references)
        real_number(losses[task], f"the loss of {task!r}")
        real_number(references[task], f"the reference of {task!r}")
    for group in groups:
        if not [one_of(task, "task of a group", losses) for task in names(group, "a group of tasks")]:
            raise UmbelError("a group of tasks is empty; name at least one in each")
    relative = {name: loss / max(references[name], 1e-9) for name, loss in losses.items()}
    return [float(np.mean([relative[name] for name in group])) for group in groups]


def uniformity(losses: ArrayLike, preferences: ArrayLike) -> float:
    """How well the losses follow the preferences: 1 when r_t l_t is the same for every task.

    1 - KL(p || 1/T) = 1 - sum_t p_t log(T p_t) with p_t = r_t l_t / sum_j r_j l_j, as in Navon et al., "Learning the
    Pareto front with hypernetworks" (2021), after Mahapatra and Rajan (2020). The least value is 1 - log T.

    Args:
        losses: 0 or more [T].
        preferences: 0 or more [T].

    Raises:
        UmbelError: Different lengths, NaN, or a negative number.
    """
    products = _finite("losses", losses, 1), _finite("preferences", preferences, 1)
    if len(products[0]) != len(products[1]) or not len(products[0]):
        raise UmbelError(
            f"{len(products[0])} losses and {len(products[1])} preferences; give one of each for every task"
        )
    if min(products[0].min(), products[1].min()) < 0:
        raise UmbelError("uniformity needs losses and preferences of 0 or more")
    weighed = products[0] * products[1]
    if not weighed.sum():
        return 1.0
    shares = weighed / weighed.sum()
    present = shares[shares > 0]
    return 1.0 - float((present * np.log(len(shares) * present)).sum())


@dataclass(frozen=True)
class ControlResponse:
    """How a task's quality follows its preference.

    Attributes:
        spearman: Rank correlation of preference and quality, -1 to 1; NaN where either never changes.
        range: Mean quality at the largest preference less that at the smallest.
    """

    spearman: float
    range: float


def control_response(preferences: ArrayLike, qualities: ArrayLike) -> ControlResponse:
    """The response of one task to its preference, at a fixed budget.

    Args:
        preferences: Of the task [n].
        qualities: Of the task at each of them, higher is better [n].

    Raises:
        UmbelError: Different lengths, fewer than two values, NaN.
    """
    asked, got = _finite("preferences", preferences, 1), _finite("qualities", qualities, 1)
    if len(asked) != len(got) or len(asked) < 2:
        raise UmbelError(f"{len(asked)} preferences and {len(got)} qualities; give as many of both, two or more")
    difference = float(got[asked == asked.max()].mean() - got[asked == asked.min()].mean())
    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (asked, got)]
    norm = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return ControlResponse(float(ranks[0] @ ranks[1]) / norm if norm else float("nan"), difference)


def budget_error(cost: float, budget: float) -> float:
    """|cost - budget| / budget: how far what one got is from what one asked for.

    Raises:
        UmbelError: The budget is not above 0.
    """
    cost, budget = real_number(cost, "a cost"), real_number(budget, "a budget")
    if not budget > 0:
        raise UmbelError(f"a budget must be above 0; it is {budget:g}")
    return abs(cost - budget) / budget
