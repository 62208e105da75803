"""Errors of the arms of a power flow study, their ratios, and how sure both are: over seeds and over days."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from umbel.recipes.power_flow.networks import DAYS
from umbel.recipes.power_flow.settings import CLOSED
from umbel.report import Estimate, Results
from umbel.study import Table, Values

METRICS = {
    "magnitude": ("magnitude", "RMSE"),
    "angle": ("angle", "RMSE"),
    "flow": ("flow", "nRMSE"),
    "std error": ("distribution", "std error"),
    "quantile error": ("distribution", "quantile error"),
}
"""Column of the profiles on draws of test days -> task and metric of the runs."""
_NORMAL = 1.96


class Errors:
    """The errors of a study's arms on test days.

        errors.ratio("magnitude", ("ours", 1), ("ridge", 0))

    An arm and its number of corrections are named together, as ("ours", 1). Arms without a network have repeat 0
    only, which stands for every seed.

    Args:
        results: Of the study.
    """

    def __init__(self, results: Results) -> None:
        self._table = Table(results.runs).at(scenario=None)
        self._draws = {
            (profile.method, profile.point.get("corrections"), profile.repeat or 0): profile.columns
            for profile in results.profiles
            if profile.name == DAYS
        }

    def values(self, column: str, arm: tuple[str, int]) -> Values:
        """The metric on all test days: a number for each seed."""
        task, metric = METRICS[column]
        return self._table(arm[0], metric, task=task, corrections=arm[1])

    def estimate(self, column: str, arm: tuple[str, int]) -> Estimate:
        """The metric with an interval over seeds and days."""
        values, seeded = self.values(column, arm), arm[0] not in CLOSED
        return _estimate(values, (self._drawn(column, arm, repeat) for repeat in values), seeded)

    def ratio(self, column: str, arm: tuple[str, int], rival: tuple[str, int]) -> Estimate:
        """The metric in parts of a rival's; seeds are paired, and so are draws of days."""
        mine, theirs = self.values(column, arm), self.values(column, rival)
        alone = rival[0] in CLOSED and bool(theirs)
        ratio = mine / (theirs.constant if alone else theirs)
        draws = (
            self._drawn(column, arm, repeat) / self._drawn(column, rival, 0 if alone else repeat) for repeat in ratio
        )
        return _estimate(ratio, draws, arm[0] not in CLOSED or not alone)

    def _drawn(self, column: str, arm: tuple[str, int], repeat: int) -> NDArray[np.float64]:
        """The metric on each draw of days; one NaN where there are no draws."""
        return np.array(self._draws.get((*arm, repeat), {}).get(column, (math.nan,)), dtype=float)


def _estimate(values: Values, draws: Iterable[NDArray[np.float64]], seeded: bool) -> Estimate:
    """Mean over seeds, and both widths as if they were independent: over seeds (Student's t), over draws of days."""
    over_seeds = values.estimate
    if not over_seeds.known:
        return over_seeds
    by_draw = np.mean(list(draws), axis=0)
    days = _NORMAL * float(by_draw.std(ddof=1)) if len(by_draw) > 1 else math.nan
    seeds = over_seeds.half_width if seeded else 0.0
    return Estimate(over_seeds.mean, math.hypot(seeds, days), over_seeds.count)
