"""Numbers of a study of source-free detection, from its results file alone: precisions, curves, what variance tells."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

import torch

from umbel.metrics import AreaUnderROC, rank_correlation
from umbel.recipes.source_free_detection.networks import CURVE, SPLIT, WEATHER
from umbel.recipes.source_free_detection.settings import SOURCE
from umbel.report import Estimate, Results, Series
from umbel.study import Table, Values

TEST, SEEN, OWN = "test fold", "adapted to", "source"
"""Kinds of pictures: held out, adapted to without labels, of the source."""
Columns = Mapping[str, tuple[float, ...]]


class Scores:
    """Numbers of every repeat, and intervals that know that repeats are folds of the same pictures.

        gain = scores.precision("source-free") - scores.precision("norms")
        print(scores.estimate(gain))

    Args:
        results: Of the study.
    """

    def __init__(self, results: Results) -> None:
        self._table = Table(results.runs)
        self.arms = {method.key: method.title for method in results.methods}
        test, train = (results.data.sizes.get(split, 0) for split in ("test", "train"))
        self.test_to_train = test / train if test and train else math.nan
        self._profiles: dict[tuple[str, str], dict[int, Columns]] = {}
        for profile in results.profiles:
            if profile.repeat is not None:
                of_name = self._profiles.setdefault((profile.method, profile.name), {})
                of_name[profile.repeat] = profile.columns

    def estimate(self, values: Values) -> Estimate:
        """Mean over repeats with the corrected interval; see `umbel.metrics.confidence_interval`."""
        return Estimate.of(values.values(), self.test_to_train)

    # -- average precision -------------------------------------------------------------------------------------------

    def precision(self, arm: str, pictures: str = TEST, metric: str = "mAP50") -> Values:
        """In points, of each repeat; nothing of an arm that was not measured on these pictures."""
        runs = self._table.runs_of(arm, pictures=pictures)
        numbers = {r: next(iter(run.metrics.values()), {}).get(metric, math.nan) for r, run in runs.items()}
        return 100 * Values(numbers)

    # -- over the steps ----------------------------------------------------------------------------------------------

    @property
    def adapting(self) -> list[str]:
        """Arms that have a curve, in the order of the tables."""
        return [arm for arm in self.arms if (arm, CURVE) in self._profiles]

    def curves(self, arm: str) -> dict[int, Columns]:
        """Repeat -> step, mAP50 (from 0 to 1, on the pictures adapted to) and stability at every validation."""
        return self._profiles.get((arm, CURVE), {})

    def over_steps(self, arm: str, column: str, times: float = 1.0) -> dict[float, Values]:
        """Step -> a column of the curve for each repeat that came so far; what is not finite is left out."""
        at: dict[float, dict[int, float]] = {}
        for repeat, columns in self.curves(arm).items():
            for step, value in zip(columns["step"], columns[column], strict=True):
                if math.isfinite(value):
                    at.setdefault(step, {})[repeat] = times * value
        return {step: Values(numbers) for step, numbers in sorted(at.items())}

    def peak(self, arm: str) -> Values:
        """The greatest mAP50 of the curve, in points. Labels find it; nothing is chosen by it."""
        return self._of_curve(arm, lambda steps, precisions, repeat: max(precisions))

    def at_last(self, arm: str) -> Values:
        """mAP50 at the curve's last step, in points."""
        return self._of_curve(arm, lambda steps, precisions, repeat: precisions[-1])

    def at_chosen(self, arm: str) -> Values:
        """mAP50 at the step that was chosen without labels, in points; NaN where the curve has no such step."""
        runs = self._table.runs_of(arm, pictures=SEEN)
        chosen = {repeat: run.best_step for repeat, run in runs.items()}

        def at(steps: Sequence[float], precisions: Sequence[float], repeat: int) -> float:
            step = chosen.get(repeat)
            return dict(zip(steps, precisions, strict=True)).get(steps[-1] if step is None else step, math.nan)

        return self._of_curve(arm, at)

    def _of_curve(self, arm: str, number: Callable[[Sequence[float], Sequence[float], int], float]) -> Values:
        curves = {repeat: columns for repeat, columns in self.curves(arm).items() if columns["step"]}
        return 100 * Values({r: number(columns["step"], columns["mAP50"], r) for r, columns in curves.items()})

    def stability_tells(self, arms: Sequence[str]) -> Values:
        """Rank correlation of stability and mAP50 over the checkpoints of these arms, of each repeat."""
        pairs: dict[int, list[tuple[float, float]]] = {}
        for arm in arms:
            for repeat, columns in self.curves(arm).items():
                pairs.setdefault(repeat, []).extend(zip(columns["stability"], columns["mAP50"], strict=True))
        return Values({r: rank_correlation(*zip(*both, strict=True)) for r, both in pairs.items() if both})

    # -- what the variance tells -------------------------------------------------------------------------------------

    @property
    def weathers(self) -> list[str]:
        """Kinds of weather whose strength is known."""
        return [name.removeprefix(WEATHER) for _, name in self._profiles if name.startswith(WEATHER)]

    def weather(self, kind: str) -> dict[int, Columns]:
        """Repeat -> strength and variances of each picture."""
        return self._profiles.get((SOURCE, WEATHER + kind), {})

    @property
    def split(self) -> dict[int, Columns]:
        """Repeat -> recall and variances of each picture adapted to."""
        return self._profiles.get((SOURCE, SPLIT), {})

    def tells_mild(self, kind: str, score: str) -> Values:
        """Area under the ROC curve of the variance for mild weather: of a strength below the median."""
        return _each(self.weather(kind), score, "strength", _mild)

    def tells_strength(self, kind: str, score: str) -> Values:
        """Rank correlation of variance and strength; below 0 where mild weather has the greater variance."""
        return _each(self.weather(kind), score, "strength", rank_correlation)

    def tells_recall(self, score: str) -> Values:
        """Rank correlation of variance and recall on the pictures adapted to."""
        return _each(self.split, score, "recall", rank_correlation)

    # -- lines of charts ---------------------------------------------------------------------------------------------

    def line(self, label: str, values: Mapping[float, Values], style: str = "line", group: str = "") -> Series | None:
        """Mean and corrected interval at each x; None where nothing is known."""
        known = {x: self.estimate(numbers) for x, numbers in values.items()}
        known = {x: one for x, one in known.items() if one.known}
        if not known:
            return None
        widths = tuple(one.half_width for one in known.values())
        widths = widths if any(map(math.isfinite, widths)) else ()
        return Series(label, tuple(known), tuple(one.mean for one in known.values()), widths, style, group)


def binned(curves: Mapping[int, Columns], x: str, y: str, bins: int = 8) -> dict[float, Values]:
    """Means of one column in bins of another, of equal size: middle of the bin in percent of the pictures -> numbers.

    Args:
        curves: Repeat -> columns.
        x: Column that pictures are ordered by.
        y: Column whose mean is taken, in parts of its mean over all pictures.
        bins: How many; fewer where there are fewer pictures.
    """
    at: dict[float, dict[int, float]] = {}
    for repeat, columns in curves.items():
        order = sorted(range(len(columns[x])), key=columns[x].__getitem__)
        ordered = [columns[y][place] for place in order]
        count, whole = min(bins, len(ordered)), fmean(ordered) if ordered else 0.0
        for part in range(count if whole else 0):
            within = ordered[part * len(ordered) // count : (part + 1) * len(ordered) // count]
            at.setdefault(100 * (part + 0.5) / count, {})[repeat] = fmean(within) / whole
    return {x: Values(numbers) for x, numbers in at.items()}


def _each(profiles: Mapping[int, Columns], one: str, other: str, function: Callable[..., float]) -> Values:
    present = {r: columns for r, columns in profiles.items() if one in columns and other in columns}
    return Values({r: function(columns[one], columns[other]) for r, columns in present.items()})


def _mild(variances: Sequence[float], strengths: Sequence[float]) -> float:
    middle, area = median(strengths), AreaUnderROC()
    mild = torch.tensor([float(strength < middle) for strength in strengths])
    area.update(torch.tensor(variances), mild)
    return float(area.compute())
