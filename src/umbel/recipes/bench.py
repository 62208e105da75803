"""What studies that compare ways of joint training share: the bench, single-task references, joint networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import quote

from umbel.core import Descent, Learner, UmbelError, task_scores
from umbel.data import MultiTaskData
from umbel.descent import DESCENTS, make_descent
from umbel.engine import FitSettings, check_monitor
from umbel.recipes.build import describe, make_learner, predicts_maps
from umbel.recipes.settings import DataSettings, ModelSettings, options
from umbel.recipes.study import Outcome, Study

SINGLE = "single-task"
"""Key of the references in results."""


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
    """

    study: Study
    settings: ComparisonSettings
    fit: FitSettings
    data: MultiTaskData
    alone: dict[str, MultiTaskData]
    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)

    @property
    def joint_steps(self) -> int:
        """Steps of one joint training."""
        return self.fit.total_steps(self.data.train.steps(self.fit.batch_size))

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in self.data.tasks]

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


def check_training(model: ModelSettings, fit: FitSettings, data: MultiTaskData, processes: int) -> None:
    """Find what would stop a training later on, before a study's folder is claimed.

    Raises:
        UmbelError: No such network, a batch that does not divide by the processes, or an unknown monitor.
    """
    make_learner(model, data, 0)
    if fit.batch_size % processes:
        raise UmbelError(
            f"batch size {fit.batch_size} does not divide by {processes} processes; use a multiple of {processes}"
        )
    check_monitor(fit.monitor, task_scores(data.tasks))


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


def single_key(task: str, seed: int) -> str:
    """The folder of a single-task network."""
    return f"{SINGLE}/{safe(task)}/seed-{seed}"


def joint_key(arm: str, seed: int) -> str:
    """The folder of an arm's network."""
    return f"{safe(arm)}/seed-{seed}"


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


def train_alone(bench: Bench, task: str, seed: int) -> tuple[Outcome, Learner]:
    """The reference of one task."""
    data = bench.alone[task]
    learner = bench.learner(data, seed)
    outcome = bench.study.trained(
        single_key(task, seed),
        learner,
        make_descent("equal"),
        data,
        single_settings(bench, task, seed),
        describe=bench.described([task], seed),
        label=f"{task} alone, seed {seed}",
    )
    return outcome, learner


def merged(parts: Mapping[str, Outcome]) -> Outcome:
    """One outcome from those of networks that together serve all tasks."""
    found = list(parts.values())
    return Outcome(
        test={name: metrics for part in found for name, metrics in part.test.items()},
        validation={name: metrics for part in found for name, metrics in part.validation.items()},
        steps=sum(part.steps for part in found),
        best_step=max(part.best_step for part in found),
        seconds_per_step=sum(part.seconds_per_step for part in found),
        seconds=sum(part.seconds for part in found),
        parameters=sum(part.parameters for part in found),
    )


def train_single(bench: Bench, seed: int) -> Outcome:
    """One network for each task; their results side by side."""
    outcome = merged({task: train_alone(bench, task, seed)[0] for task in bench.tasks})
    bench.outcomes[SINGLE, seed] = outcome
    return outcome


def train_together(bench: Bench, arm: str, learner: Learner, descent: Descent, seed: int, **more: Any) -> Outcome:
    """One network for all tasks; the references' validation sets the scale for choosing its checkpoint.

    Args:
        bench: With the references of this seed.
        arm: Its key.
        learner: Fresh; it ends with its best weights.
        descent: What teaches it.
        seed: Of the repetition.
        **more: For `Study.trained`.
    """
    outcome = bench.study.trained(
        joint_key(arm, seed),
        learner,
        descent,
        bench.data,
        replace(bench.fit, seed=seed),
        references=bench.outcomes[SINGLE, seed].main_validation(),
        label=f"{arm}, seed {seed}",
        **more,
    )
    bench.outcomes[arm, seed] = outcome
    return outcome


def safe(name: str) -> str:
    """A task's name as a folder's, another one for every name: all but letters, digits and "._-~" as in addresses."""
    quoted = quote(name, safe="", errors="surrogatepass")
    return f"%2E{quoted[1:]}" if quoted.startswith(".") else quoted
