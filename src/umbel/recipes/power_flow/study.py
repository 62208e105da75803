"""The power flow study: which networks are trained, and what is measured of them.

Weights of the angle differences are chosen on validation from networks of seed 0; then every arm is trained with every
seed. Arms without a network are computed once. What came of it is in `findings`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from umbel.descent import make_descent
from umbel.recipes.power_flow.facts import facts
from umbel.recipes.power_flow.networks import TUNING, Networks
from umbel.recipes.power_flow.pictures import PICTURES, draw
from umbel.recipes.power_flow.prepare import prepare
from umbel.recipes.power_flow.settings import (
    CLOSED,
    FREE,
    FREE_WITHOUT,
    MEAN,
    OURS,
    PLAIN,
    PLAIN_DIFFERENCE,
    PLAIN_MODES,
    QUADRATIC,
    RIDGE,
    VARIATION,
    WITHOUT,
    PowerFlowSettings,
)
from umbel.report import Results, SampleSheet, TaskInfo
from umbel.study import Arm, Bench, Job, Study

TASKS = (
    TaskInfo("magnitude", "voltage magnitude", "RMSE", False, "pu", metrics=("RMSE", "greatest")),
    TaskInfo("angle", "voltage angle", "RMSE", False, "°", metrics=("RMSE",)),
    TaskInfo("difference", "angle difference over branches", "RMSE", False, "°", metrics=("RMSE",)),
    TaskInfo("flow", "active power of branches", "nRMSE", False, "", metrics=("nRMSE", "RMSE")),
    TaskInfo(
        "distribution",
        "distribution of |V|",
        "std error",
        False,
        "%",
        metrics=("std error", "quantile error", "mean quantile error", "mean error", "violation error"),
    ),
)
"""What is measured of every arm."""


def arms(settings: PowerFlowSettings) -> list[Arm]:
    """The arms, in the order of the tables."""
    return [
        Arm(OURS, "Linear part and network", f"{settings.linear}, a network through modes, angle differences a task"),
        Arm(WITHOUT, "… without differences", "The same network without the task of angle differences"),
        Arm(FREE, "… without modes", "The same, each output with weights of its own"),
        Arm(FREE_WITHOUT, "… without both", "Without modes and without the task of angle differences"),
        Arm(PLAIN, "Network alone", "No linear part, no modes, no angle differences"),
        Arm(PLAIN_MODES, "Network alone, modes", "No linear part; through modes of the voltages themselves"),
        Arm(PLAIN_DIFFERENCE, "Network alone, differences", "No linear part; angle differences a task"),
        Arm(VARIATION, "Ridge or network", "Ridge for steady buses, else a network; angle differences a task"),
        Arm(RIDGE, "Ridge regression", "The linear map alone, its penalty chosen on validation"),
        Arm(QUADRATIC, "Quadratic regression", "Ridge, and a ridge on squares of principal components"),
        Arm(MEAN, "Mean state", "The mean of training; with corrections, chord steps from there"),
        Arm(OURS + TUNING, "Linear part and network: weights tried"),
    ]


def power_flow_study(settings: PowerFlowSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: No such network or descent, a network that cannot be solved, a missing extra, ...; before anything
            is trained.
    """
    make_descent(settings.descent)
    prepared = prepare(settings, study.reporter)
    networks = Networks(settings, prepared)
    study.reporter.say("fitting linear maps and modes in closed form")
    bench = Bench(study, settings, settings.fit, networks.data, settings.descent)
    weights = settings.weights
    bench.check(jobs(settings, weights[0]), networks.make)
    if len(weights) > 1:
        tried = [Job.at(OURS + TUNING, 0, weight=weight) for weight in weights]
        bench.run(tried, networks.make, networks.on_validation)
    weight = chosen_weight(bench, weights)
    every = list(jobs(settings, weight))
    bench.run(every, networks.make, networks.measure)
    first = next(job for job in every if job.arm == OURS)
    study.reporter.say("analysing the test days with the network of seed 0")
    told = study.measured(first.key, "facts", dict[str, Any], lambda: facts(networks, bench, first))
    if study.runtime.is_main:
        study.reporter.say("drawing the pictures")
        draw(study.out, networks, bench.learner(first).model)
    study.runtime.barrier()
    return bench.results(
        "power_flow",
        f"Power flows of {prepared.grid.name}, predicted and checked",
        arms(settings),
        tasks=TASKS,
        facts={"weight": weight, **told},
        samples=sheets(study),
        headline=({"corrections": 1, "scenario": None, "weight": None},),
    )


def jobs(settings: PowerFlowSettings, weight: float) -> Iterator[Job]:
    """Every arm: with every seed where it is trained, once where it is not."""
    for seed in range(settings.seeds):
        for arm in settings.chosen_arms:
            if arm not in CLOSED:
                yield Job(arm, seed) if arm != OURS else Job.at(arm, seed, weight=weight)
            elif seed == 0:
                yield Job(arm, 0)


def chosen_weight(bench: Bench[PowerFlowSettings], weights: list[float]) -> float:
    """The weight with the least product of errors of |V| and of flows on validation, after one correction."""
    if len(weights) == 1:
        return weights[0]

    def product(weight: float) -> float:
        at = bench.table.at(corrections=1, weight=weight)
        values = (at(OURS + TUNING, metric, "validation", task).mean for task, metric in _CHOSEN_BY)
        return float(np.prod(list(values)))

    return min(weights, key=product)


_CHOSEN_BY = (("magnitude", "RMSE"), ("flow", "nRMSE"))


def sheets(study: Study) -> tuple[SampleSheet, ...]:
    """The pictures beside the results."""
    return tuple(SampleSheet(OURS, file, title, alt) for file, title, alt in PICTURES if (study.out / file).exists())
