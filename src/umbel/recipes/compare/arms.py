"""The arms of the study: single-task references, joint training by each descent, tuned fixed weights."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import torch

from umbel.core import Batch, Descent, Learner, OperatingPoint
from umbel.data import MultiTaskData, seeded
from umbel.descent import ConflictProbe, WeightedSum, make_descent
from umbel.descent.weightings import Fixed
from umbel.engine import FitSettings
from umbel.engine.log import append_row
from umbel.metrics import mean_relative_improvement
from umbel.recipes.build import describe, make_learner, predicts_maps
from umbel.recipes.compare.settings import CompareSettings
from umbel.recipes.settings import names
from umbel.recipes.study import Outcome, Study

SINGLE = "single-task"
TUNED = "tuned-weights"
_TUNING_SEED = 1000


@dataclass
class Bench:
    """What all arms of one comparison share.

    Attributes:
        study: Folder, processes, progress.
        settings: Of the comparison.
        fit: How every network is trained, precision resolved.
        data: All tasks.
        alone: Task -> the data with this task only.
        outcomes: (arm, seed) -> outcome; single-task references merged over their tasks.
        weights: The tuned fixed weights, once they are known.
    """

    study: Study
    settings: CompareSettings
    fit: FitSettings
    data: MultiTaskData
    alone: dict[str, MultiTaskData]
    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    weights: dict[str, float] | None = None

    @property
    def joint_steps(self) -> int:
        """Steps of one joint training."""
        return self.fit.total_steps(self.data.train.steps(self.fit.batch_size))

    @property
    def directions(self) -> dict[str, bool]:
        """Task -> whether its main metric is better when higher."""
        return {task.name: task.higher_is_better for task in self.data.tasks}

    def described(self, tasks: list[str], seed: int) -> dict[str, object]:
        """What the checkpoints keep."""
        return describe(self.settings.data, self.settings.model, tasks, seed, predicts_maps(self.data))

    def learner(self, data: MultiTaskData, seed: int) -> Learner:
        """A fresh network for the tasks of `data`; its encoder is the joint network's."""
        return make_learner(self.settings.model, data, seed, predicts_maps(self.data))


def single_settings(bench: Bench, task: str, seed: int) -> FitSettings:
    """How a single-task reference is trained: it sees each labelled sample as often as joint training shows it.

    Where only a part of the samples has the task's label, the batch shrinks with that part (to 32 at least, so that
    the reference still takes many steps) and the passes stay the same. A metric of another task, which is to choose
    the checkpoints of joint training, cannot choose here; the improvement does.
    """
    data, fit = bench.alone[task], bench.fit
    part = len(data.train) / len(bench.data.train)
    size = fit.batch_size if part == 1 else min(fit.batch_size, max(32, round(fit.batch_size * part / 8) * 8))
    if bench.study.runtime.world_size > 1:
        size += -size % bench.study.runtime.world_size
    passes = bench.joint_steps / bench.data.train.steps(fit.batch_size) * bench.settings.reference_passes
    metrics = [f"{task}/{metric}" for metric in bench.data.task(task).metrics]
    return replace(
        fit,
        batch_size=size,
        steps=max(1, round(passes * data.train.steps(size))),
        monitor=fit.monitor if fit.monitor in ("improvement", "loss", *metrics) else "improvement",
        seed=seed,
    )


def train_single(bench: Bench, seed: int) -> Outcome:
    """One network for each task; their results side by side."""
    parts = []
    for task in bench.data.tasks:
        data = bench.alone[task.name]
        parts.append(
            bench.study.trained(
                f"{SINGLE}/{safe(task.name)}/seed-{seed}",
                bench.learner(data, seed),
                make_descent("equal"),
                data,
                single_settings(bench, task.name, seed),
                describe=bench.described([task.name], seed),
                label=f"{task.name} alone, seed {seed}",
            )
        )
    merged = Outcome(
        test={name: metrics for part in parts for name, metrics in part.test.items()},
        validation={name: metrics for part in parts for name, metrics in part.validation.items()},
        steps=sum(part.steps for part in parts),
        best_step=max(part.best_step for part in parts),
        seconds_per_step=sum(part.seconds_per_step for part in parts),
        seconds=sum(part.seconds for part in parts),
        parameters=sum(part.parameters for part in parts),
    )
    bench.outcomes[SINGLE, seed] = merged
    return merged


def train_joint(bench: Bench, arm: str, seed: int) -> Outcome:
    """One network for all tasks, by the arm's descent; the references' validation sets the scale for choosing."""
    descent = tuned(bench) if arm == TUNED else make_descent(arm)
    probe = bench.settings.probes if arm == probed_arm(bench.settings) else 0
    key = f"{arm}/seed-{seed}"
    outcome = bench.study.trained(
        key,
        bench.learner(bench.data, seed),
        descent,
        bench.data,
        replace(bench.fit, seed=seed),
        references=bench.outcomes[SINGLE, seed].main_validation(),
        describe=bench.described([task.name for task in bench.data.tasks], seed),
        observe=_prober(bench, key, probe) if probe and len(bench.data.tasks) > 1 else None,
        label=f"{arm}, seed {seed}",
    )
    bench.outcomes[arm, seed] = outcome
    return outcome


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
    pairs = pair_names([task.name for task in bench.data.tasks])

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
    tasks = [task.name for task in bench.data.tasks]
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


def safe(name: str) -> str:
    """A task's name as a folder's, another one for every name: all but letters, digits and "._-~" as in addresses."""
    quoted = quote(name, safe="", errors="surrogatepass")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
