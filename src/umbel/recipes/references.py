"""Single-task references and joint networks: what studies that compare ways of joint training share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from umbel.core import Descent, Learner, Task, task_scores
from umbel.data import MultiTaskData
from umbel.descent import DESCENTS, make_descent
from umbel.engine import FitSettings
from umbel.engine.monitor import IMPROVEMENT
from umbel.metrics import mean_relative_improvement
from umbel.recipes.build import describe, make_learner, predicts_maps
from umbel.recipes.settings import DataSettings, ModelSettings, options
from umbel.report import Curve
from umbel.study import Bench, Job, Training

SINGLE = "single-task"
"""Key of the references' arm: one network for each task, which together make one run of each repeat."""
_LEAST_BATCH = 32


class ComparisonSettings(Protocol):
    """What the settings of such a study have.

    Attributes:
        data: What is learnt from.
        model: The network.
        reference_passes: How often a reference sees each labelled sample, relative to joint training.
    """

    data: DataSettings
    model: ModelSettings
    reference_passes: float


def reference_jobs(data: MultiTaskData, repeat: int) -> list[Job]:
    """The single-task networks of one repeat."""
    return [Job.at(SINGLE, repeat, task=task.name) for task in data.tasks]


def joint_job(data: MultiTaskData, arm: str, repeat: int, *needs: Job) -> Job:
    """A network for all tasks: behind the references of its repeat, and whatever else it needs."""
    return Job.at(arm, repeat, *reference_jobs(data, repeat), *needs)


def reference_training(bench: Bench[ComparisonSettings], job: Job) -> Training:
    """The reference of one task: the joint network's encoder, trained on the samples that have the task's label."""
    data = bench.data.only([job.place["task"]])
    fit = reference_fit(bench, data, job.repeat)
    return Training(
        network(bench, data, job.repeat), make_descent("equal"), data, fit, describe=_described(bench, data, job.repeat)
    )


def joint_training(bench: Bench[ComparisonSettings], job: Job, descent: Descent) -> Training:
    """A network for all tasks; its checkpoint is chosen by the improvement over the references on validation."""
    return Training(
        network(bench, bench.data, job.repeat),
        descent,
        references=tuple(need for need in job.needs if need.arm == SINGLE),
        describe=_described(bench, bench.data, job.repeat),
    )


def network(bench: Bench[ComparisonSettings], data: MultiTaskData, seed: int) -> Learner:
    """A fresh network for the tasks of `data`; its encoder is the joint network's."""
    return make_learner(bench.settings.model, data, seed, predicts_maps(bench.data))


def _described(bench: Bench[ComparisonSettings], data: MultiTaskData, seed: int) -> dict[str, object]:
    """What the checkpoints keep."""
    return describe(bench.settings.data, bench.settings.model, data, seed, predicts_maps(bench.data))


def reference_fit(bench: Bench[ComparisonSettings], data: MultiTaskData, seed: int) -> FitSettings:
    """The settings of a reference: it sees each labelled sample as often as joint training shows it.

    Where only a part of the samples has the task's label, the batch shrinks with that part (to 32 at least, so that
    the reference still takes many steps) and the passes stay the same. A metric of another task, which is to choose
    the checkpoints of joint training, cannot choose here; the improvement does.

    Args:
        bench: With the data of all tasks.
        data: That of the one task.
        seed: Of the training.
    """
    fit = bench.fit
    part = len(data.train) / len(bench.data.train)
    size = fit.batch_size if part == 1 else min(fit.batch_size, max(_LEAST_BATCH, round(fit.batch_size * part / 8) * 8))
    size += -size % bench.study.runtime.world_size
    passes = bench.steps / bench.data.train.steps(fit.batch_size) * bench.settings.reference_passes
    own = (IMPROVEMENT, *task_scores(data.tasks))
    return fit.replace(
        batch_size=size,
        steps=max(1, round(passes * data.train.steps(size))),
        monitor=fit.monitor if fit.monitor in own else IMPROVEMENT,
        seed=seed,
    )


def mean_improvements(
    tasks: Sequence[Task], trials: Sequence[Mapping[str, float]], references: Mapping[str, float]
) -> list[float]:
    """Each trial's mean relative improvement over the references, so that the best can be chosen.

    A task whose reference is 0 is compared with the trial whose metric is furthest from 0 instead, and left out where
    there is none.

    Args:
        tasks: Whose main metrics are meant.
        trials: Task -> main metric of each trial.
        references: Task -> main metric.
    """
    standards = {t.name: references[t.name] or max((trial[t.name] for trial in trials), key=abs) for t in tasks}
    judged = [t for t in tasks if standards[t.name]]
    directions = {t.name: t.higher_is_better for t in judged}
    if not judged:
        return [0.0] * len(trials)
    return [mean_relative_improvement({t: trial[t] for t in directions}, standards, directions) for trial in trials]


# -- arms that name a descent ----------------------------------------------------------------------------------------


def descent_of(arm: str) -> Descent:
    """The descent that an arm names: "upgrad", or with options "upgrad:engine=sketched:directions=32".

    Raises:
        UmbelError: An unknown name or option, or a missing solver.
    """
    name, _, given = arm.partition(":")
    return make_descent(name, **options(given.replace(":", ","), f"options of descent {name!r}"))


def about_descent(arm: str) -> str:
    """One line on the descent that an arm names."""
    name, _, given = arm.partition(":")
    return DESCENTS[name].summary + (f"; {given.replace(':', ', ')}" if given else "")


# -- curves ----------------------------------------------------------------------------------------------------------


def curves(bench: Bench, jobs: Iterable[Job]) -> Iterator[Curve]:
    """The training losses and the main metrics on validation of networks that are done, for each of their tasks."""
    for job in jobs:
        logs = {split: bench.study.log(job.key, split) for split in ("train", "validation")}
        for task in bench.data.tasks:
            metric = f"{task.name}/{task.main_metric}"
            for split, name, column in (("train", "loss", task.name), ("validation", task.main_metric, metric)):
                if rows := thinned([row for row in logs[split] if column in row]):
                    steps, values = [int(row["step"]) for row in rows], [row[column] for row in rows]
                    yield Curve(job.arm, job.repeat, name, steps, values, split=split, task=task.name)


def thinned(rows: list[dict[str, float]], most: int = 60) -> list[dict[str, float]]:
    """At most so many rows, evenly spaced, the last one among them."""
    if len(rows) <= most:
        return rows
    return [rows[round((i + 1) * len(rows) / most) - 1] for i in range(most)]
