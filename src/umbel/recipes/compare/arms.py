"""The arms of the study: single-task references, joint training by each descent, tuned fixed weights."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from umbel.core import Batch, Descent, Learner, OperatingPoint
from umbel.data import seeded
from umbel.descent import ConflictProbe, WeightedSum
from umbel.descent.weightings import Fixed
from umbel.engine.log import append_row
from umbel.metrics import mean_relative_improvement
from umbel.recipes import bench as benches
from umbel.recipes.bench import SINGLE, descent_of, joint_key, train_together
from umbel.recipes.compare.settings import CompareSettings
from umbel.recipes.settings import names
from umbel.recipes.study import Outcome

TUNED = "tuned-weights"
_TUNING_SEED = 1000


@dataclass
class Bench(benches.Bench):
    """What all arms of one comparison share.

    Attributes:
        weights: The tuned fixed weights, once they are known.
    """

    weights: dict[str, float] | None = None


def train_joint(bench: Bench, arm: str, seed: int) -> Outcome:
    """One network for all tasks, by the arm's descent; the references' validation sets the scale for choosing."""
    descent = tuned(bench) if arm == TUNED else descent_of(arm)
    probe = bench.settings.probes if arm == probed_arm(bench.settings) else 0
    return train_together(
        bench,
        arm,
        bench.learner(bench.data, seed),
        descent,
        seed,
        describe=bench.described(bench.tasks, seed),
        observe=_prober(bench, joint_key(arm, seed), probe) if probe and len(bench.tasks) > 1 else None,
    )


def probed_arm(settings: CompareSettings) -> str:
    """The arm in whose trainings gradient conflicts are measured: equal weights where chosen, else the first."""
    arms = names(settings.descents)
    return "equal" if "equal" in arms else arms[0]


def _prober(bench: Bench, key: str, count: int) -> Callable[[int, Learner, Batch, OperatingPoint], None]:
    """An observer that writes the cosines of all pairs to `conflict.csv`, `count` times over a training."""
    every = max(1, bench.joint_steps // count)
    probe = ConflictProbe()
    runtime = bench.study.runtime.with_settings(bench.fit.precision, bench.fit.accumulate)
    file = bench.study.folder(key) / "conflict.csv"
    pairs = pair_names(bench.tasks)

    def observe(step: int, learner: Learner, batch: Batch, point: OperatingPoint) -> None:
        if step % every:
            return
        cosines = probe.measure(learner, batch, point, runtime).cpu()
        first, second = torch.triu_indices(len(cosines), len(cosines), 1)
        if runtime.is_main:
            values = cosines[first, second].tolist()
            append_row(file, step + 1, dict(zip(pairs, values, strict=True)))

    return observe


def pair_names(tasks: list[str]) -> list[str]:
    """Columns of `conflict.csv`: positions of the two tasks, "0 1", "0 2", ..."""
    return [f"{i} {j}" for i in range(len(tasks)) for j in range(i + 1, len(tasks))]


def candidate_weights(tasks: list[str], trials: int) -> list[dict[str, float]]:
    """Weightings to try: equal; each task times 3; then random ones, log-uniform between 1/4 and 4; mean weight 1."""
    raw = [[1.0] * len(tasks)]
    raw += [[3.0 if i == j else 1.0 for j in range(len(tasks))] for i in range(len(tasks))]
    generator = seeded(_TUNING_SEED, len(tasks))
    while len(raw) < trials:
        raw.append(torch.exp((torch.rand(len(tasks), generator=generator) * 2 - 1) * math.log(4)).tolist())
    return [dict(zip(tasks, (w * len(tasks) / sum(row) for w in row), strict=True)) for row in raw[:trials]]


def tuned(bench: Bench) -> Descent:
    """A weighted sum with the fixed weights that did best on validation, over trials with a seed of their own."""
    if bench.weights is None:
        bench.weights = max(_trials(bench), key=lambda trial: trial[0])[1]
    return WeightedSum(Fixed(bench.weights))


def _trials(bench: Bench) -> list[tuple[float, dict[str, float]]]:
    tasks = bench.tasks
    references = bench.outcomes[SINGLE, 0].main_validation()
    steps = max(1, round(bench.joint_steps * bench.settings.tuning_budget))
    score = functools.partial(mean_relative_improvement, references=references, higher_is_better=bench.directions)
    trials = []
    for number, weights in enumerate(candidate_weights(tasks, bench.settings.tuning_trials)):
        outcome = bench.study.trained(
            f"tuning/trial-{number}",
            bench.learner(bench.data, _TUNING_SEED),
            WeightedSum(Fixed(weights)),
            bench.data,
            replace(bench.fit, seed=_TUNING_SEED, steps=steps),
            references=references,
            describe=bench.described(tasks, _TUNING_SEED),
            label=f"tuning weights, trial {number + 1}",
            tested=False,
        )
        trials.append((score(outcome.main_validation()), weights))
    return trials
