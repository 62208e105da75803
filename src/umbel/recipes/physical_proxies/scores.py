"""Numbers of a study of physical proxies, from its results file alone: errors by place, maps, sigmas, DET curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from umbel.recipes.physical_proxies.measuring import AREA, DET, LIVENESS
from umbel.recipes.physical_proxies.places import UNSEEN
from umbel.recipes.physical_proxies.settings import EACH, OURS
from umbel.report import Results, Run
from umbel.study import Table, Values, average

RATES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""False acceptances at which DET curves of several places and seeds are averaged."""
Columns = Mapping[str, tuple[float, ...]]


class Scores:
    """Numbers of every seed; differences are taken seed by seed.

        gain = scores.gain("proxies", "binary")
        print(gain.estimate)

    Args:
        results: Of the study.

    Attributes:
        arms: Key -> title, in the order of the tables.
        places: Those that were held out, in the order of the runs.
    """

    def __init__(self, results: Results) -> None:
        self._table = Table(results.runs, LIVENESS)
        self.arms = {method.key: method.title for method in results.methods}
        held_out = (run.point.get("held_out") for run in results.runs)
        self.places = tuple(dict.fromkeys(str(place) for place in held_out if place not in (None, EACH)))
        self._places = {arm: self._held_out(results, arm) for arm in self.arms}
        self._curves: dict[tuple[str, str], dict[tuple[int, str], Columns]] = {}
        for profile in results.profiles:
            if profile.name == DET and profile.repeat is not None:
                curves = self._curves.setdefault((profile.method, str(profile.point["pictures"])), {})
                curves[profile.repeat, str(profile.point["held_out"])] = profile.columns

    def _held_out(self, results: Results, arm: str) -> tuple[str, ...]:
        there = {run.point.get("held_out") for run in results.runs if run.method == arm}
        return tuple(place for place in self.places if place in there)

    # -- metrics -----------------------------------------------------------------------------------------------------

    def at(self, arm: str, place: str, pictures: str = UNSEEN, metric: str = AREA, task: str = LIVENESS) -> Values:
        """A metric with one place held out, of each seed; NaN where it was not measured."""
        return self._table(arm, metric, task=task, held_out=place, pictures=pictures)

    def places_of(self, arm: str) -> tuple[str, ...]:
        """Those that were held out of an arm's networks."""
        return self._places.get(arm, ())

    def title(self, arm: str) -> str:
        """Of an arm, with its places where they are not all."""
        places = self.places_of(arm)
        return self.arms[arm] if places == self.places else f"{self.arms[arm]} ({', '.join(places)} alone)"

    def mean(self, arm: str, pictures: str = UNSEEN, metric: str = AREA, task: str = LIVENESS) -> Values:
        """Its mean over the places that were held out of the arm's networks, of each seed."""
        return average(self.at(arm, place, pictures, metric, task) for place in self.places_of(arm))

    def gain(self, arm: str, rival: str, pictures: str = UNSEEN) -> Values:
        """By how much the AUC of an arm is above a rival's, mean over the places that both have, of each seed."""
        return average(self.gains(arm, rival, pictures).values())

    def gains(self, arm: str, rival: str, pictures: str = UNSEEN) -> dict[str, Values]:
        """Place -> by how much the AUC of an arm is above a rival's."""
        both = [place for place in self.places_of(arm) if place in self.places_of(rival)]
        return {place: self.at(arm, place, pictures) - self.at(rival, place, pictures) for place in both}

    def repeated(self, arm: str) -> bool:
        """Whether an arm has every seed and place that ours has, so that it can be compared as well as ours allows."""
        alike = self.places_of(arm) == self.places_of(OURS)
        return alike and bool(self.mean(arm)) and set(self.mean(arm)) >= set(self.mean(OURS))

    def names(self, task: str, beginning: str) -> list[str]:
        """Metrics of a task that begin so, in the order in which the arms have them."""
        metrics = (name for run in self._table.runs for name in run.metrics.get(task, {}))
        return [name for name in dict.fromkeys(metrics) if name.startswith(beginning)]

    # -- curves ------------------------------------------------------------------------------------------------------

    def rejections(self, arm: str, pictures: str) -> dict[float, Values]:
        """False acceptances -> false rejections of each seed, averaged over the places that were held out."""
        curves = self._curves.get((arm, pictures), {})
        seeds = sorted({seed for seed, _ in curves})
        at: dict[float, Values] = {}
        for rate in RATES if seeds else ():
            by_place = {
                seed: [_rejected(columns, rate) for (other, _), columns in curves.items() if other == seed]
                for seed in seeds
            }
            at[rate] = Values({seed: sum(values) / len(values) for seed, values in by_place.items()})
        return at

    # -- trainings ---------------------------------------------------------------------------------------------------

    def trainings(self, arm: str) -> list[Run]:
        """A run of each network that was trained by steps."""
        runs = (run for run in self._table.runs if run.method == arm and run.steps)
        return [run for run in runs if run.point.get("pictures") == UNSEEN and run.point.get("held_out") != EACH]

    def chosen(self, arm: str) -> list[float]:
        """Of each training, where its chosen checkpoint lies: part of its steps, 1 for the last."""
        return [(run.steps if run.best_step is None else run.best_step) / run.steps for run in self.trainings(arm)]

    def validation_error(self, arm: str) -> Values:
        """Mean over places of the equal error rate on validation, of each seed."""
        parts = []
        for place in self.places_of(arm):
            runs = self._table.runs_of(arm, held_out=place, pictures=UNSEEN)
            errors = {seed: run.validation.get(LIVENESS, {}).get("EER", math.nan) for seed, run in runs.items()}
            parts.append(Values(errors))
        return average(parts)


def second_least(values: Sequence[Values]) -> Values:
    """The second smallest of several numbers of each seed: of four, at least three are as great.

    NaN if one of them is; nothing of fewer than two.
    """
    seeds = set.intersection(*(set(part) for part in values)) if len(values) > 1 else set()
    each = {seed: [part[seed] for part in values] for seed in seeds}
    return Values({s: math.nan if any(map(math.isnan, numbers)) else sorted(numbers)[1] for s, numbers in each.items()})


def _rejected(columns: Columns, rate: float) -> float:
    """False rejections where this part of the attacks is accepted, between points of a curve on the line of both."""
    far, frr = (np.asarray(columns[name])[::-1] for name in ("far", "frr"))  # the curve's far falls
    return float(np.interp(rate, far, frr))
