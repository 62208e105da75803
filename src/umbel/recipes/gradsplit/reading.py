"""Numbers that the claims, the verdict and the charts of the gradient split study read off what was measured."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from umbel.core import UmbelError
from umbel.engine import Evaluation
from umbel.metrics import mean_relative_improvement
from umbel.recipes.bench import SINGLE
from umbel.recipes.gradsplit.arms import JOINT, MEASURED, RANDOM, Bench
from umbel.report import Estimate


@dataclass(frozen=True)
class Pair:
    """What was measured of a task and a group, over the seeds.

    Attributes:
        task: Whose gradient moves the filters.
        group: Whose filters, and whose loss.
        gain: Mean relative decrease of the group's loss in percent; its interval is that over seeds, or that of the
            warm-up where there is one seed.
        accepted: Seeds in which the group accepts the task.
    """

    task: str
    group: str
    gain: Estimate
    accepted: int


class Numbers:
    """Reads what was measured; every difference is taken seed by seed."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.seeds = range(bench.settings.seeds)
        self.arms = list(dict.fromkeys(arm for arm, _ in bench.outcomes))

    def over_seeds(self, value: Callable[[int], float]) -> Estimate:
        """Mean and interval of a number of each seed."""
        return Estimate.of(value(seed) for seed in self.seeds)

    def delta_m(self, arm: str, seed: int, split: str = "test") -> float:
        """Mean relative improvement over the single-task references in percent; NaN where it is not defined."""
        values, references = (
            Evaluation(getattr(self.bench.outcomes[key, seed], split), {}).main() for key in (arm, SINGLE)
        )
        try:
            return mean_relative_improvement(values, references, self.bench.directions)
        except UmbelError:  # a reference of 0
            return math.nan

    def gain(self, arm: str, other: str, seed: int) -> float:
        """Points of delta-m that an arm has more than another, on the test split."""
        return self.delta_m(arm, seed) - self.delta_m(other, seed)

    def mean_delta_m(self, arm: str, split: str = "test") -> Estimate:
        """Over the seeds."""
        return self.over_seeds(lambda seed: self.delta_m(arm, seed, split))

    def step_time(self, arm: str) -> Estimate:
        """Time of a step in steps of joint training."""
        seconds = self.bench.outcomes
        return self.over_seeds(lambda s: seconds[arm, s].seconds_per_step / seconds[JOINT, s].seconds_per_step)

    # -- the matrices --------------------------------------------------------------------------------

    def density(self, seed: int) -> float:
        """Part of the pairs of different tasks that the measured matrix accepts."""
        accept = self.bench.affinities[seed].accept
        return float(accept[~torch.eye(len(accept), dtype=torch.bool)].double().mean())

    def same_as_joint(self) -> list[int]:
        """Seeds in which nothing was refused, so that the measured split is joint training."""
        return [seed for seed in self.seeds if self.density(seed) == 1]

    def controlled(self) -> list[int]:
        """Seeds in which the random matrix is another one than the measured."""
        measured, drawn = self.bench.affinities, self.bench.drawn
        return [s for s in self.seeds if s in drawn and not torch.equal(drawn[s], measured[s].accept)]

    def pairs(self) -> Iterator[Pair]:
        """Every pair of a task and a group."""
        found = self.bench.affinities
        for g, group in enumerate(self.bench.tasks):
            for i, task in enumerate(self.bench.tasks):
                gain = self.over_seeds(lambda s, i=i, g=g: 100 * float(found[s].mean[i, g]))
                if len(self.seeds) == 1 and math.isfinite(half := 100 * float(found[0].half_width[i, g])):
                    gain = Estimate(gain.mean, half, int(found[0].count[i, g]))
                yield Pair(task, group, gain, sum(bool(found[s].accept[i, g]) for s in self.seeds))

    # -- the other set -------------------------------------------------------------------------------

    def on_other_set(self, arm: str) -> Estimate:
        """The task's metric on the other set."""
        return self.over_seeds(lambda seed: self.bench.on_other[arm, seed])

    def at_home(self, arm: str) -> Estimate:
        """The same task's metric on this set's test split."""
        task = self.bench.data.task(self.bench.other.tasks[0].name)
        return self.over_seeds(lambda seed: self.bench.outcomes[arm, seed].test[task.name][task.main_metric])

    def against_random(self) -> Estimate:
        """Points of delta-m that the measured matrix has more than a random one, where that is another one."""
        return Estimate.of(self.gain(MEASURED, RANDOM, seed) for seed in self.controlled())
