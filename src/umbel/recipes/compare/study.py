"""The general study: train every arm for every seed, then say what came of it."""

import dataclasses
import math
from collections.abc import Iterator

import torch

from umbel.core import Batch, UmbelError
from umbel.data import TensorSource
from umbel.descent import DESCENTS
from umbel.engine import decoded_predictions, load, load_weights, resolve
from umbel.recipes.bench import (
    SINGLE,
    about_descent,
    check_training,
    descent_of,
    joint_key,
    single_key,
    train_single,
)
from umbel.recipes.build import columns_text, load_data
from umbel.recipes.compare.arms import TUNED, Bench, probed_arm, train_joint
from umbel.recipes.compare.settings import CompareSettings
from umbel.recipes.compare.verdict import claims, verdict
from umbel.recipes.curves import task_curves
from umbel.recipes.settings import names
from umbel.recipes.study import Outcome, Study
from umbel.report import (
    Conflict,
    Curve,
    DataInfo,
    MethodInfo,
    Results,
    Run,
    SampleSheet,
    TaskInfo,
    describe_environment,
    draw_samples,
)

_SAMPLES = 6
_SPLITS = ("train", "validation", "test")


def compare(settings: CompareSettings, study: Study) -> Results:
    """Run the comparison.

    Raises:
        UmbelError: Unknown descent, data that cannot be learnt from, ...; before anything is trained.
    """
    arms = _arms(settings)
    if text := columns_text(settings.data):
        study.reporter.say(text)
    data = load_data(settings.data)
    if len(data.tasks) == 1:
        study.warnings.append("There is one task only, so joint training and single-task training are the same.")
    check_training(settings.model, settings.fit, data, study.runtime.world_size)
    fit = study.settle(settings, settings.fit)
    alone = {task.name: data.only([task.name]) for task in data.tasks}
    study.reporter.expect(count_trainings(settings, len(data.tasks)))
    bench = Bench(study, settings, fit, data, alone)
    for seed in range(settings.seeds):
        train_single(bench, seed)
        for arm in arms:
            train_joint(bench, arm, seed)
    return _results(bench, arms)


def count_trainings(settings: CompareSettings, tasks: int) -> int:
    """How many networks the study trains, for the progress."""
    arms = _arms(settings)
    trials = settings.tuning_trials if TUNED in arms else 0
    return settings.seeds * (tasks + len(arms)) + trials


def _arms(settings: CompareSettings) -> list[str]:
    arms = list(dict.fromkeys(names(settings.descents)))
    if not arms:
        raise UmbelError(f"--descents names none; choose from {', '.join(DESCENTS)}")
    for arm in arms:
        descent_of(arm)  # an unknown name or a missing solver stops the study before it trains anything
    return arms + ([TUNED] if settings.tuning_trials else [])


def _results(bench: Bench, arms: list[str]) -> Results:
    data, study = bench.data, bench.study
    results = Results(
        study="compare",
        title=f"One network for {len(data.tasks)} tasks, or one for each? {data.title}",
        command=study.command,
        data=DataInfo(
            data.name, data.title, data.note, {s: len(getattr(data, s)) for s in ("train", "validation", "test")}
        ),
        tasks=[TaskInfo.of(task) for task in data.tasks],
        methods=[_method(bench, arm) for arm in (SINGLE, *arms)],
        runs=[_run(bench, arm, seed, outcome) for (arm, seed), outcome in bench.outcomes.items()],
        reference=SINGLE,
        settings=dataclasses.asdict(bench.settings),
        environment=describe_environment(bench.fit.precision, _why(bench)),
        curves=list(_curves(bench, arms)),
        conflicts=list(_conflicts(bench)),
        samples=_samples(bench) if study.runtime.is_main else (),
        warnings=[*study.warnings, *_warnings(bench)],
    )
    return dataclasses.replace(results, claims=claims(results), verdict=verdict(results))


def _why(bench: Bench) -> str:
    if bench.settings.fit.precision != "auto":
        return "asked for"
    faster = bench.fit.precision == "bf16"
    return f"a convolution's training step was {'' if faster else 'not '}clearly faster in bf16 when the study began"


def _method(bench: Bench, arm: str) -> MethodInfo:
    outcomes = [o for (a, _), o in bench.outcomes.items() if a == arm]
    trials = f"the best of {bench.settings.tuning_trials} on validation"
    texts = {
        SINGLE: ("Single-task", f"{len(bench.data.tasks)} networks, one for each task"),
        TUNED: (
            "Tuned weights",
            f"fixed weights, {trials}: {_weights(bench)}",
        ),
    }
    title, description = texts.get(arm) or (arm, about_descent(arm))
    seconds = [o.seconds_per_step for o in outcomes if math.isfinite(o.seconds_per_step)]
    return MethodInfo(arm, title, description, outcomes[0].parameters, seconds)


def _weights(bench: Bench) -> str:
    return ", ".join(f"{name} {weight:.2f}" for name, weight in (bench.weights or {}).items())


def _run(bench: Bench, arm: str, seed: int, outcome: Outcome) -> Run:
    chosen = {"weights": bench.weights} if arm == TUNED else {}
    return Run(
        arm, seed, outcome.test, {}, outcome.validation, outcome.steps, outcome.seconds, outcome.best_step, chosen
    )


def _warnings(bench: Bench) -> list[str]:
    found = []
    if bench.settings.seeds < 3:
        found.append(
            f"{bench.settings.seeds} seed(s): intervals are wide or missing; use --seeds 3 or more to publish."
        )
    if bench.fit.steps is None and bench.fit.epochs < 10:
        found.append(f"{bench.fit.epochs} passes over the data: a quick look, networks may not have converged.")
    return found


def _curves(bench: Bench, arms: list[str]) -> Iterator[Curve]:
    """Training losses and validation metrics of every network, and the measured cosines."""
    for seed in range(bench.settings.seeds):
        for task in bench.data.tasks:
            yield from task_curves(bench.study, SINGLE, single_key(task.name, seed), seed, task)
        for arm in arms:
            for task in bench.data.tasks:
                yield from task_curves(bench.study, arm, joint_key(arm, seed), seed, task)
        yield from _cosine_curves(bench, seed)


def _pairs(bench: Bench) -> Iterator[tuple[str, str, str]]:
    tasks = [task.name for task in bench.data.tasks]
    for i, first in enumerate(tasks):
        for j in range(i + 1, len(tasks)):
            yield f"{i} {j}", first, tasks[j]


def _cosine_curves(bench: Bench, seed: int) -> Iterator[Curve]:
    arm = probed_arm(bench.settings)
    rows = bench.study.log(joint_key(arm, seed), "conflict")
    for column, first, other in _pairs(bench) if rows else ():
        steps, values = [int(r["step"]) for r in rows], [r[column] for r in rows]
        yield Curve(arm, seed, "cosine", steps, values, task=first, other=other)


def _conflicts(bench: Bench) -> Iterator[Conflict]:
    arm = probed_arm(bench.settings)
    rows = [r for s in range(bench.settings.seeds) for r in bench.study.log(joint_key(arm, s), "conflict")]
    for column, first, other in _pairs(bench):
        values = [row[column] for row in rows if math.isfinite(row[column])]
        if values:
            yield Conflict.of(arm, first, other, values)


def _samples(bench: Bench) -> list[SampleSheet]:
    """Pictures of a few test samples with the predictions of the references and of the probed joint network."""
    if not isinstance(bench.data.test, TensorSource):
        return []
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(bench.data.test), generator=generator)[:_SAMPLES]
    batch = next(bench.data.test.select(chosen).batches(_SAMPLES))
    targets = {task.name: task.target_of(batch) for task in bench.data.tasks}
    sheets = []
    for arm in (SINGLE, probed_arm(bench.settings)):
        path = bench.study.out / f"samples-{arm}.png"
        draw_samples(path, batch.inputs, bench.data.tasks, targets, _predictions(bench, arm, batch), _SAMPLES)
        title = f"{arm}, seed 0: {_SAMPLES} samples of the test split"
        alt = f"Input, target and prediction of every task for {_SAMPLES} test samples, predicted by {arm}"
        sheets.append(SampleSheet(arm, path.name, title, alt))
    return sheets


def _predictions(bench: Bench, arm: str, batch: Batch) -> dict[str, torch.Tensor]:
    parts = [(joint_key(arm, 0), bench.data)]
    if arm == SINGLE:
        parts = [(single_key(name, 0), data) for name, data in bench.alone.items()]
    decoded: dict[str, torch.Tensor] = {}
    for key, data in parts:
        learner = bench.learner(data, 0)
        load_weights(learner, load(resolve(bench.study.folder(key))))
        runtime = bench.study.runtime.with_settings(bench.fit.precision, 1)
        learner.to(runtime.device)
        decoded |= decoded_predictions(learner, batch, runtime, learner.sweep()[0])
    return decoded
