"""What the jobs of a study add up to: runs of several networks as one, sizes and times of an arm, usual warnings."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from umbel.engine import FitSettings
from umbel.report import MethodInfo, Run, TaskInfo
from umbel.report.schema import contains
from umbel.report.summary import point_key
from umbel.study.folder import Outcome
from umbel.study.job import Arm, Job
from umbel.study.table import Table


def merged(runs: Iterable[Run]) -> list[Run]:
    """Runs of one arm and repeat at one point as one run: its networks serve different tasks, and their times add up.

    Raises:
        ValueError: Two of them measured the same task.
    """
    together: dict[tuple[str, int, str], Run] = {}
    for run in runs:
        place = (run.method, run.repeat, point_key(run.point))
        before = together.get(place)
        together[place] = run if before is None else _joined(before, run)
    return list(together.values())


def _joined(one: Run, two: Run) -> Run:
    if both := set(one.metrics) & set(two.metrics):
        raise ValueError(f"{one.method!r} at {one.point}: two runs of repeat {one.repeat} measure {min(both)!r}")
    return dataclasses.replace(
        one,
        metrics=one.metrics | two.metrics,
        validation=one.validation | two.validation,
        settings=one.settings | two.settings,
        steps=one.steps + two.steps,
        seconds=one.seconds + two.seconds,
        best_step=max((s for s in (one.best_step, two.best_step) if s is not None), default=None),
    )


def method_info(arm: Arm, outcomes: Mapping[Job, Outcome], timed: bool, costs: Mapping[str, float]) -> MethodInfo:
    """An arm as a row of the tables.

    Args:
        arm: The arm.
        outcomes: Of the jobs that together serve all tasks once, in every repeat.
        timed: Whether it shows how long its networks trained; one that reads the networks of another row does not.
        costs: Further costs by name.
    """
    key = arm.of or arm.key
    of_arm = [(job, o) for job, o in outcomes.items() if job.arm == key and contains(job.place, arm.at)]
    seconds: dict[int, float] = {}
    for job, outcome in of_arm:
        seconds[job.repeat] = seconds.get(job.repeat, 0.0) + outcome.seconds_per_step
    first = min((job.repeat for job, _ in of_arm), default=0)
    parameters = sum(outcome.parameters for job, outcome in of_arm if job.repeat == first)
    known = tuple(s for s in seconds.values() if s > 0) if timed else ()
    also = {name: float(cost) for name, cost in costs.items()}
    return MethodInfo(arm.key, arm.title, arm.about, parameters, known, also)


def why_precision(settings: Any, fit: FitSettings) -> str:
    """Why a study was trained in its precision."""
    if getattr(settings, "fit", fit).precision != "auto":
        return "asked for"
    faster = "" if fit.precision == "bf16" else "not "
    return f"a convolution's training step was {faster}clearly faster in bf16 when the study began"


def usual_warnings(table: Table, fit: FitSettings) -> Iterator[str]:
    """What every study says when it has few repeats or short trainings."""
    if (repeats := len(table.repeats)) < 3:
        yield f"{repeats} seed(s): intervals are wide or missing; use --seeds 3 or more to publish."
    if fit.steps is None and fit.epochs < 10:
        yield f"{fit.epochs} passes over the data: a quick look, networks may not have converged."


def reference_warnings(runs: Iterable[Run], reference: str | None, tasks: Iterable[TaskInfo]) -> Iterator[str]:
    """Which references are 0, so that nothing can be said relative to them."""
    tasks = tuple(tasks)
    for run in runs:
        for task in tasks if run.method == reference else ():
            splits = {"validation": run.validation, "test": run.metrics}
            if zero := [s for s, metrics in splits.items() if metrics.get(task.name, {}).get(task.metric) == 0]:
                yield (
                    f"Task {task.name!r}: the {task.metric} of its reference is 0 on {' and '.join(zero)} (seed "
                    f"{run.repeat}), so that no relative improvement and no delta-m can be given; another main metric, "
                    "more data or a longer training would help."
                )
