"""The gradient split study: train every arm for every seed, measure, say what came of it."""

import dataclasses
import math
from collections.abc import Iterator

from umbel.core import Learner, UmbelError
from umbel.descent import make_descent
from umbel.recipes.bench import SINGLE, check_training, joint_key, merged, single_key, train_alone
from umbel.recipes.build import columns_text, load_data, make_learner
from umbel.recipes.curves import task_curves
from umbel.recipes.gradsplit.arms import (
    JOINT,
    MEASURED,
    RANDOM,
    Bench,
    affinity_record,
    arm_learner,
    check_arms,
    settled_descent,
    title_of,
    train_arm,
)
from umbel.recipes.gradsplit.charts import charts
from umbel.recipes.gradsplit.measure import (
    check_same_cost,
    inference_cost,
    load_other_set,
    on_other_set,
    step_memory,
)
from umbel.recipes.gradsplit.reading import Numbers
from umbel.recipes.gradsplit.settings import GradSplitSettings
from umbel.recipes.gradsplit.verdict import claims, verdict
from umbel.recipes.study import Outcome, Study
from umbel.report import Curve, DataInfo, MethodInfo, Results, Run, TaskInfo, describe_environment

_SPLITS = ("train", "validation", "test")


def gradsplit_study(settings: GradSplitSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A layer with fewer channels than tasks, an unknown descent, another set that does not fit, ...;
            before anything is trained.
    """
    if text := columns_text(settings.data):
        study.reporter.say(text)
    data = load_data(settings.data)
    check_training(settings.model, settings.fit, data, study.runtime.world_size)
    arms = check_arms(settings, data, make_learner(settings.model, data, 0))
    _check_length(settings, settings.fit.total_steps(data.train.steps(settings.fit.batch_size)))
    other = load_other_set(settings, data, study)
    fit = study.settle(settings, settings.fit)
    alone = {task.name: data.only([task.name]) for task in data.tasks}
    bench = Bench(study, settings, fit, data, alone, other=other)
    study.reporter.expect(settings.seeds * (len(data.tasks) + len(arms)))
    for seed in range(settings.seeds):
        _references(bench, seed)
        for arm in arms:
            learner = train_arm(bench, arm, seed)
            _measure(bench, arm, joint_key(arm, seed), seed, [learner])
    check_same_cost(bench.costs)
    return _results(bench, arms)


def _check_length(settings: GradSplitSettings, steps: int) -> None:
    warm_up = settings.warm_up_steps(steps)
    if warm_up >= steps:
        raise UmbelError(
            f"a training of {steps} steps is too short for a warm-up of {warm_up} and something after it; give more "
            "--steps or a smaller --warm-up"
        )


def _references(bench: Bench, seed: int) -> None:
    """One network for each task, measured as if they were one."""
    trained = {task: train_alone(bench, task, seed) for task in bench.tasks}
    bench.outcomes[SINGLE, seed] = merged({task: outcome for task, (outcome, _) in trained.items()})
    learners = {task: learner for task, (_, learner) in trained.items()}
    if seed == 0:
        bench.costs[SINGLE] = inference_cost(list(learners.values()), bench.data.input_shape)
        peaks = [_memory(bench, single_key(task, seed), task) for task in bench.tasks]
        bench.memory[SINGLE] = max(peaks)
    if bench.other is not None:
        task = bench.other.tasks[0].name
        _on_other(bench, SINGLE, single_key(task, seed), seed, learners[task])


def _measure(bench: Bench, arm: str, key: str, seed: int, learners: list[Learner]) -> None:
    if seed == 0:
        bench.costs[arm] = inference_cost(learners, bench.data.input_shape)
        bench.memory[arm] = _memory(bench, key, None, arm)
    if bench.other is not None:
        _on_other(bench, arm, key, seed, learners[0])


def _memory(bench: Bench, key: str, task: str | None, arm: str = JOINT) -> int:
    """Of a step of the first seed's network: that of one task alone, or of an arm."""

    def measure() -> int:
        if task is not None:
            return step_memory(bench, bench.learner(bench.alone[task], 0), make_descent("equal"), bench.alone[task])
        return step_memory(bench, arm_learner(bench, arm, 0), settled_descent(bench, arm, 0), bench.data)

    return bench.study.measured(key, "memory", measure)


def _on_other(bench: Bench, arm: str, key: str, seed: int, learner: Learner) -> None:
    found = bench.study.measured(key, "other-set", lambda: on_other_set(bench, learner))
    bench.on_other[arm, seed] = found


def _results(bench: Bench, arms: list[str]) -> Results:
    data, study = bench.data, bench.study
    numbers = Numbers(bench)
    asked = "as asked" if bench.settings.fit.precision != "auto" else ""
    return Results(
        study="gradsplit",
        title=f"Which task may teach which filters? {data.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, {s: len(getattr(data, s)) for s in _SPLITS}),
        tasks=list(_task_infos(bench)),
        methods=[_method(bench, arm) for arm in (SINGLE, *arms)],
        runs=[_run(bench, arm, seed, outcome) for (arm, seed), outcome in bench.outcomes.items()],
        reference=SINGLE,
        settings=dataclasses.asdict(bench.settings),
        environment=describe_environment(bench.fit.precision, asked),
        curves=list(_curves(bench, arms)),
        charts=charts(numbers),
        claims=claims(numbers),
        verdict=verdict(numbers),
        warnings=[*study.warnings, *_warnings(bench)],
    )


def _other_metric(bench: Bench) -> tuple[str, str]:
    """The task that is tested on the other set, and its metric's name in tables."""
    task = bench.data.task(bench.other.tasks[0].name)
    return task.name, f"{task.main_metric} on {bench.other.name}"


def _task_infos(bench: Bench) -> Iterator[TaskInfo]:
    for task in bench.data.tasks:
        info = TaskInfo.of(task)
        if bench.other is not None and _other_metric(bench)[0] == task.name:
            info = dataclasses.replace(info, metrics=(*info.metrics, _other_metric(bench)[1]))
        yield info


def _method(bench: Bench, arm: str) -> MethodInfo:
    title, about = title_of(arm)
    cost = bench.costs[arm]
    seconds = [o.seconds_per_step for (a, _), o in bench.outcomes.items() if a == arm]
    known = [value for value in seconds if math.isfinite(value)]
    text = (
        f"{about}; {cost['macs']:,} multiply-accumulates for one sample; {bench.memory[arm] / 1e6:.1f} MB of "
        "activations and gradients at the peak of a training step"
    )
    return MethodInfo(arm, title, text, cost["parameters"], known)


def _run(bench: Bench, arm: str, seed: int, outcome: Outcome) -> Run:
    test = {task: dict(metrics) for task, metrics in outcome.test.items()}
    if bench.other is not None:
        task, metric = _other_metric(bench)
        test[task][metric] = bench.on_other[arm, seed]
    chosen = {}
    if arm == MEASURED:
        chosen = affinity_record(bench.affinities[seed])
    elif arm == RANDOM:
        chosen = {"accept": bench.drawn[seed].int().tolist()}
    return Run(
        arm, seed, test, {}, outcome.validation, outcome.steps, outcome.seconds, outcome.best_step, settings=chosen
    )


def _curves(bench: Bench, arms: list[str]) -> Iterator[Curve]:
    for seed in range(bench.settings.seeds):
        for task in bench.data.tasks:
            yield from task_curves(bench.study, SINGLE, single_key(task.name, seed), seed, task)
            for arm in arms:
                yield from task_curves(bench.study, arm, joint_key(arm, seed), seed, task)


def _warnings(bench: Bench) -> Iterator[str]:
    settings = bench.settings
    if settings.seeds < 3:
        yield f"{settings.seeds} seed(s): intervals are wide or missing; use --seeds 3 or more to publish."
    least = min(int(found.count.min()) for found in bench.affinities.values())
    if least < 2:
        yield (
            f"A pair of tasks was measured {least} time(s) in the warm-up, which has no interval and refuses nothing "
            "(with --unsure refuse, everything); use more --steps or a smaller --every."
        )
    early = [seed for seed in range(settings.seeds) if bench.outcomes[MEASURED, seed].best_step <= bench.warm_up]
    if early:
        yield (
            f"In {len(early)} seed(s) the best checkpoint of the measured split lies in its warm-up, where it is joint "
            "training."
        )
    if any(o.steps < 300 for (arm, _), o in bench.outcomes.items() if arm == JOINT):
        yield f"{bench.joint_steps} steps: a quick look, networks may not have converged."
