"""The gradient split study: which networks are trained, all with the same encoder and steps, and what is measured."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from umbel.core import Descent, Learner, OperatingPoint, UmbelError
from umbel.data import MultiTaskData
from umbel.data.catalogue import SETS
from umbel.descent import Affinity, AfterWarmUp, GradSplit, Measured, make_descent, random_matrix
from umbel.descent.passes import untouched
from umbel.engine import peak_bytes
from umbel.engine.plan import Observer
from umbel.files import reading, write_atomically
from umbel.nn import count_macs, with_attention
from umbel.recipes.build import open_data
from umbel.recipes.gradsplit.settings import GradSplitSettings
from umbel.recipes.other_set import load_other_set, most_frequent, on_other_set
from umbel.recipes.references import (
    SINGLE,
    about_descent,
    curves,
    descent_of,
    joint_job,
    joint_training,
    network,
    reference_jobs,
    reference_training,
)
from umbel.recipes.settings import options
from umbel.report import Results, TaskInfo
from umbel.report.schema import finite_again, plain
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training, on_test_split

JOINT, MEASURED, OWN, RANDOM, MTAN = "joint", "measured", "own", "random", "mtan"
SPLIT = (MEASURED, OWN, RANDOM)
"""The arms that GradSplit teaches."""
_ARMS = {
    SINGLE: ("Single-task", "one network for each task"),
    JOINT: ("Joint", "one network, equal weights"),
    MEASURED: ("GradSplit measured", "each group refuses the tasks that were measured to hurt it in a warm-up"),
    OWN: ("GradSplit own", "each group learns from its own task only"),
    RANDOM: ("GradSplit random", "after the same warm-up as many entries as were measured, drawn elsewhere"),
    MTAN: ("MTAN-like attention", "one network, and a mask on the shared features for each task"),
}
"""Key of an arm -> title and what it does; other arms are descents."""
MACS, PEAK = "multiply-accumulates", "peak bytes of a step"
"""Costs of an arm: of one sample through all its networks; activations and gradients of its largest training step."""
_AFFINITY = "affinity.json"
_FEW_STEPS = 300


def gradsplit_study(settings: GradSplitSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A layer with fewer channels than tasks, an unknown descent, another set that does not fit, ...;
            before anything is trained.
    """
    data = open_data(settings.data, say=study.reporter.say)
    bench = Bench(study, settings, settings.fit, data)
    jobs = list(all_jobs(settings, data))
    bench.check(jobs, partial(training_of, bench))
    GradSplit("own", settings.layers).prepare(network(bench, data, 0))
    _check_length(bench)
    other = other_set(settings, data, study)
    bench.run(jobs, partial(training_of, bench), partial(_measure, bench, other))
    return bench.results(
        "gradsplit",
        f"Which task may teach which filters? {data.title}",
        [arm_of(key) for key in dict.fromkeys(job.arm for job in jobs)],
        tasks=_tasks(data, other),
        costs=_costs(bench, jobs),
        warnings=_warnings(bench),
        reference=SINGLE,
        curves=tuple(curves(bench, jobs)),
        facts=_facts(data, other),
    )


def arm_of(key: str) -> Arm:
    """An arm as a row of the tables."""
    return Arm(key, *(_ARMS.get(key) or (key, about_descent(key))))


def all_jobs(settings: GradSplitSettings, data: MultiTaskData) -> Iterator[Job]:
    """All networks, those of one seed together; the random split needs the density of the measured one."""
    for seed in range(settings.seeds):
        yield from reference_jobs(data, seed)
        yield joint_job(data, JOINT, seed)
        measured = joint_job(data, MEASURED, seed)
        yield measured
        for arm in settings.beside:
            yield joint_job(data, arm, seed, *([measured] if arm == RANDOM else []))


def training_of(bench: Bench[GradSplitSettings], job: Job) -> Training:
    """How a job's network is trained; all start from the same encoder and heads.

    Raises:
        UmbelError: An unknown descent, features that are no map (for attention).
    """
    if job.arm == SINGLE:
        return reference_training(bench, job)
    descent = _descent(bench, job)
    training = joint_training(bench, job, descent)
    if job.arm == MEASURED:
        return dataclasses.replace(training, observe=_keeper(bench, job, descent))
    if job.arm == MTAN:
        norm = options(bench.settings.model.encoder_options, "--encoder-options").get("norm", "batch")
        attended = Learner(with_attention(training.learner.model, job.repeat, str(norm)), bench.data.tasks)
        return dataclasses.replace(training, learner=attended, describe=None)
    return training


def _descent(bench: Bench[GradSplitSettings], job: Job) -> Descent:
    settings, warm_up = bench.settings, bench.settings.warm_up_steps(bench.steps)
    if job.arm in (JOINT, MTAN):
        return make_descent("equal")
    if job.arm == OWN:
        return GradSplit("own", settings.layers)
    if job.arm == MEASURED:
        measured = Measured(warm_up, settings.every, settings.look_ahead, unsure=settings.unsure)
        return GradSplit(measured, settings.layers)
    if job.arm == RANDOM:
        return AfterWarmUp(matrix_of(bench, job), warm_up, settings.layers)
    return descent_of(job.arm)


def _check_length(bench: Bench[GradSplitSettings]) -> None:
    warm_up = bench.settings.warm_up_steps(bench.steps)
    if warm_up >= bench.steps:
        raise UmbelError(
            f"a training of {bench.steps} steps is too short for a warm-up of {warm_up} and something after it; give "
            "more --steps or a smaller --warm-up"
        )


# -- the matrices ----------------------------------------------------------------------------------------------------


def _keeper(bench: Bench[GradSplitSettings], job: Job, descent: GradSplit) -> Observer:
    """Writes what the warm-up measured beside the network, once it is over."""
    file = bench.study.folder(job.key) / _AFFINITY

    def observe(*_: object) -> None:
        if descent.measured.finished and bench.study.runtime.is_main and not file.exists():
            write_atomically(file, json.dumps(plain(descent.affinity().record()), indent=1))

    return observe


def affinity_of(bench: Bench[GradSplitSettings], repeat: int) -> Affinity | None:
    """What the warm-up of a repeat measured; None while that is not known."""
    file = bench.study.folder(joint_job(bench.data, MEASURED, repeat).key) / _AFFINITY
    if not file.exists():
        return None
    remedy = "restore it: the networks that read it cannot be made again"
    with reading(file, remedy):
        record = finite_again(json.loads(file.read_text(encoding="utf-8")))
        try:
            return Affinity.of_record(record)
        except (KeyError, TypeError, RuntimeError) as error:
            raise UmbelError(f"{file} is damaged ({error}); {remedy}") from error


def matrix_of(bench: Bench[GradSplitSettings], job: Job) -> Tensor:
    """What groups accept after the warm-up of the measured or the random arm; everything while that is not known."""
    affinity = affinity_of(bench, job.repeat)
    if affinity is None:
        return torch.ones(len(bench.data.tasks), len(bench.data.tasks), dtype=torch.bool)
    return affinity.accept if job.arm == MEASURED else random_matrix(affinity.accept, job.repeat)


# -- what is measured ------------------------------------------------------------------------------------------------


def other_set(settings: GradSplitSettings, data: MultiTaskData, study: Study) -> MultiTaskData | None:
    """The set on which a task is tested besides, with that task alone; None where none is wanted or found.

    Raises:
        UmbelError: See `load_other_set`.
    """
    if settings.other_set is None:
        return None
    name, task = settings.other_set
    if settings.cross_set == "auto":
        if task not in [one.name for one in data.tasks]:
            return None
        if not SETS[name].available:
            study.warnings.append(
                f"No accuracy on another set: {name} was not found (`umbel list` says where it goes)."
            )
            return None
    return load_other_set(name, task, data, settings.data)


def _other_metric(data: MultiTaskData, other: MultiTaskData) -> tuple[str, str]:
    """The task that is tested on the other set, and its metric's name in tables."""
    task = data.task(other.tasks[0].name)
    return task.name, f"{task.main_metric} on {other.name}"


def _tasks(data: MultiTaskData, other: MultiTaskData | None) -> Iterator[TaskInfo]:
    tested_there, metric = _other_metric(data, other) if other is not None else ("", "")
    for info in map(TaskInfo.of, data.tasks):
        more = (metric,) if info.name == tested_there else ()
        yield dataclasses.replace(info, metrics=(*info.metrics, *more))


def _facts(data: MultiTaskData, other: MultiTaskData | None) -> dict[str, Any]:
    """Which set the task was tested on besides, and what a network must beat there."""
    if other is None:
        return {}
    task, metric = _other_metric(data, other)
    frequent = most_frequent(other)
    return {"other set": {"name": other.name, "task": task, "metric": metric, "most frequent class": frequent}}


def _measure(bench: Bench[GradSplitSettings], other: MultiTaskData | None, trained: Trained) -> Iterator[Measurement]:
    """All metrics, the task's on the other set among them, and what a split accepted."""
    for one in on_test_split(trained):
        test = {task: dict(metrics) for task, metrics in one.test.items()}
        if other is not None and other.tasks[0].name in test:
            task, metric = _other_metric(bench.data, other)
            test[task][metric] = on_other_set(trained.model, other, trained.runtime)
        yield dataclasses.replace(one, test=test, settings=_chosen(bench, trained.job))


def _chosen(bench: Bench[GradSplitSettings], job: Job) -> dict[str, Any]:
    if job.arm == MEASURED and (affinity := affinity_of(bench, job.repeat)) is not None:
        return affinity.record()
    return {"accept": matrix_of(bench, job).int().tolist()} if job.arm == RANDOM else {}


# -- what it costs ---------------------------------------------------------------------------------------------------


def _costs(bench: Bench[GradSplitSettings], jobs: Sequence[Job]) -> dict[str, dict[str, float]]:
    """Arm -> what its networks of the first repeat cost together; kept beside them."""
    costs: dict[str, dict[str, float]] = {}
    for job in jobs:
        if job.repeat == 0:
            one = bench.study.measured(job.key, "costs", dict[str, float], partial(_cost, bench, job))
            before = costs.get(job.arm, {MACS: 0.0, PEAK: 0.0})
            costs[job.arm] = {MACS: before[MACS] + one[MACS], PEAK: max(before[PEAK], one[PEAK])}
    check_same_inference({arm: cost[MACS] for arm, cost in costs.items()})
    return costs


def _cost(bench: Bench[GradSplitSettings], job: Job) -> dict[str, int]:
    training = training_of(bench, job)
    macs = inference_macs(training.learner, bench.data.input_shape)
    settled = job.arm in (MEASURED, RANDOM)  # past the warm-up
    descent = GradSplit(matrix_of(bench, job), bench.settings.layers) if settled else training.descent
    return {MACS: macs, PEAK: step_bytes(bench, training.learner, descent, training.data or bench.data)}


def inference_macs(learner: Learner, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one sample through encoder and heads."""
    model = learner.model
    heads = (count_macs(model.heads[name], model.encoder.feature_shape) for name in model.task_names)
    return count_macs(model.encoder, input_shape) + sum(heads)


def step_bytes(bench: Bench, learner: Learner, descent: Descent, data: MultiTaskData) -> int:
    """Bytes of activations and gradients at the peak of a training step: forward and backward, without the optimizer.

    Args:
        bench: Its settings say the batch size and the precision.
        learner: A network of the arm, whose weights and statistics stay as they are.
        descent: What teaches it, past any warm-up.
        data: What it learns from.
    """
    fit, study = bench.fit, bench.study
    runtime = study.runtime.with_settings(fit.precision, fit.accumulate)
    learner = learner.to(runtime.device).train()
    batches = data.train.train_batches(fit.batch_size, 0, 0, 0, runtime.rank, runtime.world_size)
    batch, point = next(iter(batches)).to(runtime.device), OperatingPoint()
    descent.prepare(learner)
    with untouched(learner, runtime.device):
        descent(learner, batch, point, runtime)  # the first step holds checks
        learner.zero_grad(set_to_none=True)
        peak = peak_bytes(lambda: descent(learner, batch, point, runtime), runtime.device)
    learner.zero_grad(set_to_none=True)
    return peak


def check_same_inference(macs: Mapping[str, float]) -> None:
    """Gradient split changes gradients, never the network: its arms must cost what joint training's network does.

    Raises:
        UmbelError: One does not.
    """
    for arm in SPLIT:
        if arm in macs and macs[arm] != macs[JOINT]:
            raise UmbelError(
                f"gradsplit: the network of arm {arm!r} takes {macs[arm]:,.0f} multiply-accumulates, that of joint "
                f"{macs[JOINT]:,.0f}; they must be the same network, so this is a fault of Umbel"
            )


def _warnings(bench: Bench[GradSplitSettings]) -> Iterator[str]:
    settings, data = bench.settings, bench.data
    seeds = range(settings.seeds)
    affinities = [affinity for seed in seeds if (affinity := affinity_of(bench, seed)) is not None]
    least = min(int(affinity.count.min()) for affinity in affinities)
    if least < 2:
        yield (
            f"A pair of tasks was measured {least} time(s) in the warm-up, which has no interval and refuses nothing "
            "(with --unsure refuse, everything); use more --steps or a smaller --every."
        )
    warm_up = settings.warm_up_steps(bench.steps)
    best_steps = [bench.outcomes[joint_job(data, MEASURED, seed)].best_step for seed in seeds]
    if early := sum(step <= warm_up for step in best_steps):
        yield (
            f"In {early} seed(s) the best checkpoint of the measured split lies in its warm-up, where it is joint "
            "training."
        )
    if bench.steps < _FEW_STEPS:
        yield f"{bench.steps} steps: a quick look, networks may not have converged."
