"""The general study: single-task references, joint training by each descent, fixed weights tuned on validation."""

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from umbel.core import Batch, Learner, OperatingPoint, UmbelError
from umbel.data import MultiTaskData, TensorSource, seeded
from umbel.descent import DESCENTS, ConflictProbe, WeightedSum
from umbel.descent.weightings import Fixed
from umbel.engine import decoded_predictions
from umbel.engine.log import append_row
from umbel.engine.plan import Observer
from umbel.recipes.build import open_data
from umbel.recipes.compare.settings import CompareSettings
from umbel.recipes.references import (
    SINGLE,
    about_descent,
    curves,
    descent_of,
    joint_job,
    joint_training,
    mean_improvements,
    reference_jobs,
    reference_training,
)
from umbel.recipes.settings import names
from umbel.recipes.teaching import check_alike, prepare
from umbel.report import Conflict, Curve, Results, SampleSheet, draw_samples
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training, on_test_split

TUNED = "tuned-weights"
TRIAL = "tuning"
"""Arm of the weightings that are tried; it has no runs."""
_TUNING_SEED = 1000
_SAMPLES = 6


def compare(settings: CompareSettings, study: Study) -> Results:
    """Run the comparison.

    Raises:
        UmbelError: Unknown descent, data that cannot be learnt from, ...; before anything is trained.
    """
    joint = joint_arms(settings)
    check_alike(settings.teaching)
    data = open_data(settings.data, say=study.reporter.say)
    if len(data.tasks) == 1:
        study.warnings.append("There is one task only, so joint training and single-task training are the same.")
    bench = Bench(study, settings, settings.fit, data)
    networks = _Networks(bench)
    seeds = range(settings.seeds)
    references = [job for seed in seeds for job in reference_jobs(data, seed)]
    jobs = [joint_job(data, arm, seed) for seed in seeds for arm in joint]
    bench.check([*references, *networks.trials, *jobs], networks.make)
    bench.run([*references, *networks.trials], networks.make, networks.measure)
    if networks.trials:
        networks.weights = networks.best_weights()
    bench.run(jobs, networks.make, networks.measure)
    return bench.results(
        "compare",
        f"One network for {len(data.tasks)} tasks, or one for each? {data.title}",
        arms(settings, data),
        reference=SINGLE,
        curves=(*curves(bench, [*references, *jobs]), *_cosine_curves(bench)),
        conflicts=tuple(_conflicts(bench)),
        samples=tuple(_samples(bench)) if study.runtime.is_main else (),
    )


def joint_arms(settings: CompareSettings) -> list[str]:
    """Keys of the arms that are trained jointly.

    Raises:
        UmbelError: None, an unknown descent, or a missing solver.
    """
    chosen = list(dict.fromkeys(names(settings.descents)))
    if not chosen:
        raise UmbelError(f"--descents names none; choose from {', '.join(DESCENTS)}")
    for arm in chosen:
        descent_of(arm)
    return chosen + ([TUNED] if settings.tuning_trials else [])


def arms(settings: CompareSettings, data: MultiTaskData) -> list[Arm]:
    """The arms, in the order of the tables."""
    single = Arm(SINGLE, "Single-task", f"{len(data.tasks)} networks, one for each task")
    tuned = Arm(TUNED, "Tuned weights", f"fixed weights, the best of {settings.tuning_trials} on validation")
    return [single, *(tuned if arm == TUNED else Arm(arm, arm, about_descent(arm)) for arm in joint_arms(settings))]


class _Networks:
    """How every network of the study is trained and measured.

    Attributes:
        trials: A job for each weighting that is tried, with a seed of their own.
        weights: Those of the arm with tuned weights; equal ones until they are chosen.
    """

    def __init__(self, bench: Bench[CompareSettings]) -> None:
        self.bench, settings, data = bench, bench.settings, bench.data
        tasks = [task.name for task in data.tasks]
        self.references = reference_jobs(data, 0)
        self.candidates = candidate_weights(tasks, settings.tuning_trials)
        self.trials = [Job.at(TRIAL, _TUNING_SEED, *self.references, trial=n) for n in range(len(self.candidates))]
        self.weights = dict.fromkeys(tasks, 1.0)
        self._said: set[str] = set()

    def make(self, job: Job) -> Training:
        """How the network of a job is trained; all of them start and learn as the settings say."""
        training = self._training(job)
        told = prepare(training.learner, self.bench.settings.teaching)
        if told and told not in self._said:
            self._said.add(told)
            self.bench.study.reporter.say(f"{job.arm} {told}")
        if not training.learner.shared_parameters():
            raise UmbelError(
                "--freeze leaves nothing that the tasks could compete for, so that there is nothing to compare; freeze "
                "a part of the encoder, or use `umbel train`"
            )
        return training

    def _training(self, job: Job) -> Training:
        bench, settings = self.bench, self.bench.settings
        if job.arm == SINGLE:
            return reference_training(bench, job)
        if job.arm == TRIAL:
            fit = bench.fit.replace(seed=job.repeat, steps=max(1, round(bench.steps * settings.tuning_budget)))
            trial = joint_training(bench, job, WeightedSum(Fixed(self.candidates[job.place["trial"]])))
            return dataclasses.replace(trial, fit=fit)
        if job.arm == TUNED:
            return joint_training(bench, job, WeightedSum(Fixed(self.weights)))
        training = joint_training(bench, job, descent_of(job.arm))
        return dataclasses.replace(training, observe=_prober(bench, job)) if _is_probed(bench, job.arm) else training

    def measure(self, trained: Trained) -> list[Measurement]:
        """All metrics; nothing of trials, for which the test split is not looked at."""
        if trained.job.arm == TRIAL:
            return []
        chosen = {"weights": self.weights} if trained.job.arm == TUNED else {}
        return [dataclasses.replace(one, settings=chosen) for one in on_test_split(trained)]

    def best_weights(self) -> dict[str, float]:
        """Those of the trial with the best mean improvement over the references on validation."""
        references = {name: value for job in self.references for name, value in self.bench.validation(job).items()}
        scores = mean_improvements(self.bench.data.tasks, [self.bench.validation(t) for t in self.trials], references)
        return self.candidates[max(range(len(scores)), key=scores.__getitem__)]


def candidate_weights(tasks: list[str], trials: int) -> list[dict[str, float]]:
    """Weightings to try: equal; each task times 3; then random ones, log-uniform between 1/4 and 4; mean weight 1."""
    raw = [[1.0] * len(tasks)]
    raw += [[3.0 if i == j else 1.0 for j in range(len(tasks))] for i in range(len(tasks))]
    generator = seeded(_TUNING_SEED, len(tasks))
    while len(raw) < trials:
        raw.append(torch.exp((torch.rand(len(tasks), generator=generator) * 2 - 1) * math.log(4)).tolist())
    return [dict(zip(tasks, (w * len(tasks) / sum(row) for w in row), strict=True)) for row in raw[:trials]]


# -- conflicts -------------------------------------------------------------------------------------------------------


def probed_arm(settings: CompareSettings) -> str:
    """The arm in whose trainings gradient conflicts are measured: equal weights where chosen, else the first."""
    chosen = names(settings.descents)
    return "equal" if "equal" in chosen else chosen[0]


def _is_probed(bench: Bench[CompareSettings], arm: str) -> bool:
    return bool(bench.settings.probes) and len(bench.data.tasks) > 1 and arm == probed_arm(bench.settings)


def _prober(bench: Bench[CompareSettings], job: Job) -> Observer:
    """An observer that writes the cosines of all pairs to `conflict.csv`, as often as asked for over a training."""
    every = max(1, bench.steps // bench.settings.probes)
    probe = ConflictProbe()
    runtime = bench.study.runtime.with_settings(bench.fit.precision, bench.fit.accumulate)
    file = bench.study.folder(job.key) / "conflict.csv"
    columns = [column for column, _, _ in pairs([task.name for task in bench.data.tasks])]

    def observe(step: int, learner: Learner, batch: Batch, point: OperatingPoint) -> None:
        if step % every:
            return
        cosines = probe.measure(learner, batch, point, runtime).cpu()
        first, second = torch.triu_indices(len(cosines), len(cosines), 1)
        if runtime.is_main:
            append_row(file, step + 1, dict(zip(columns, cosines[first, second].tolist(), strict=True)))

    return observe


def pairs(tasks: list[str]) -> list[tuple[str, str, str]]:
    """Column of `conflict.csv` (the positions "0 1", "0 2", ...) and names of every pair of tasks."""
    count = len(tasks)
    return [(f"{i} {j}", tasks[i], tasks[j]) for i in range(count) for j in range(i + 1, count)]


def _cosines(bench: Bench[CompareSettings]) -> Iterator[tuple[int, str, str, list[int], list[float]]]:
    """Repeat, two tasks, steps and cosines, of every repeat of the probed arm and every pair."""
    arm = probed_arm(bench.settings)
    for seed in range(bench.settings.seeds):
        rows = bench.study.log(joint_job(bench.data, arm, seed).key, "conflict")
        for column, first, other in pairs([task.name for task in bench.data.tasks]) if rows else ():
            yield seed, first, other, [int(row["step"]) for row in rows], [row[column] for row in rows]


def _cosine_curves(bench: Bench[CompareSettings]) -> Iterator[Curve]:
    for seed, first, other, steps, values in _cosines(bench):
        yield Curve(probed_arm(bench.settings), seed, "cosine", steps, values, task=first, other=other)


def _conflicts(bench: Bench[CompareSettings]) -> Iterator[Conflict]:
    of_pair: dict[tuple[str, str], list[float]] = {}
    for _, first, other, _, values in _cosines(bench):
        of_pair.setdefault((first, other), []).extend(filter(math.isfinite, values))
    for (first, other), values in of_pair.items():
        if values:
            yield Conflict.of(probed_arm(bench.settings), first, other, values)


# -- pictures --------------------------------------------------------------------------------------------------------


def _samples(bench: Bench[CompareSettings]) -> Iterator[SampleSheet]:
    """Pictures of a few test samples with the predictions of the references and of the probed joint network."""
    data, probed = bench.data, probed_arm(bench.settings)
    if not isinstance(data.test, TensorSource):
        return
    chosen = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(0))[:_SAMPLES]
    batch = next(data.test.select(chosen).batches(_SAMPLES))
    targets = {task.name: task.target_of(batch) for task in data.tasks}
    for arm, jobs in ((SINGLE, reference_jobs(data, 0)), (probed, [joint_job(data, probed, 0)])):
        decoded: dict[str, Tensor] = {}
        for learner in map(bench.learner, jobs):
            decoded |= decoded_predictions(learner, batch, bench.runtime, learner.sweep()[0])
        path = bench.study.out / f"samples-{arm}.png"
        draw_samples(path, batch.inputs, data.tasks, targets, decoded, _SAMPLES)
        title = f"{arm}, seed 0: {_SAMPLES} samples of the test split"
        alt = f"Input, target and prediction of every task for {_SAMPLES} test samples, predicted by {arm}"
        yield SampleSheet(arm, path.name, title, alt)
