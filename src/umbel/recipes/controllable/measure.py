"""What is measured on the trained networks of the controllable study; plain values, kept in each network's folder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from umbel.control import (
    main_metrics,
    measure_latency,
    quality_table,
    time_model,
    training_inputs,
    with_latency,
    with_quality,
)
from umbel.core import Learner, OperatingPoint
from umbel.methods.controllable import ControllableLearner
from umbel.methods.preference_conditioned import PreferenceLearner
from umbel.nn import dense_model, fixed_model
from umbel.recipes.controllable.arms import EQUAL, EXACT, RULE, Bench
from umbel.search import Budget, Choice, ConfigurationTable, equal_widths, proportional_rule, search

SPLITS = ("validation", "test")
TIME_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Budgets of time that are asked for, from the fastest configuration (0) to the full one (1)."""
_STATISTICS_SAMPLES = 1024
_RULES = {EXACT: search, RULE: proportional_rule, EQUAL: equal_widths}


def measure_tables(bench: Bench, learner: ControllableLearner, table: ConfigurationTable) -> dict[str, Any]:
    """The table of a controllable network (validation), and the quality of all its configurations on the test split."""
    runtime = bench.study.runtime.with_settings(bench.fit.precision, 1)
    return {"table": table.to_json(), "test": quality_table(learner, bench.data.test, runtime).tolist()}


def measure_plain(bench: Bench, learner: Learner) -> dict[str, Any]:
    """Split -> task -> main metric of an ordinary network."""
    return {split: _by_task(bench, learner, split) for split in SPLITS}


def _by_task(bench: Bench, learner: Learner, split: str) -> dict[str, float]:
    """The main metric of every task of an ordinary network on a split."""
    runtime = bench.study.runtime.with_settings(bench.fit.precision, 1)
    values = main_metrics(learner, getattr(bench.data, split), runtime, [[OperatingPoint()]])
    return dict(zip(bench.tasks, values[:, 0, 0].tolist(), strict=True))


def measure_preference(
    bench: Bench, learner: PreferenceLearner, splits: Sequence[str] = SPLITS
) -> list[dict[str, Any]]:
    """For each ray: the preferences, and split -> task -> main metric, with statistics measured for that preference."""
    runtime = bench.study.runtime.with_settings(bench.fit.precision, 1)
    inputs, found = training_inputs(bench.data.train, runtime, _STATISTICS_SAMPLES), []
    for ray in bench.settings.rays(len(bench.groups)):
        point = learner.at(ray)
        with runtime.autocast():
            plain = Learner(fixed_model(learner.model, point, inputs), bench.data.tasks)
        found.append({"ray": list(ray), **{split: _by_task(bench, plain, split) for split in splits}})
    return found


def dial(bench: Bench, measured: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every budget and preference answered by each rule on validation, with what came out on the test split."""
    table = ConfigurationTable.from_json(measured["table"])
    test = with_quality(table, np.array(measured["test"]))
    for percent in bench.settings.percents:
        for ray in bench.settings.rays(len(bench.groups)):
            for arm, rule in _RULES.items():
                choice = rule(table, f"{percent}% macs", bench.preferences(ray))
                yield {
                    "arm": arm,
                    "percent": percent,
                    "ray": list(ray),
                    "point": choice.point.as_dict(),
                    "used": choice.cost["macs"] / choice.limit,
                    "validation": dict(choice.quality),
                    "test": at_choice(test, choice),
                }


def at_choice(table: ConfigurationTable, choice: Choice) -> dict[str, float]:
    """Task -> quality that a table has at the widths of a choice."""
    row = table.encoder_widths.index(choice.point["width"])
    columns = [table.head_widths.index(choice.point["head_widths"][task]) for task in table.tasks]
    values = table.quality[range(len(columns)), row, columns]
    return dict(zip(table.tasks, values.tolist(), strict=True))


def measure_times(bench: Bench, learner: ControllableLearner, table: ConfigurationTable) -> list[dict[str, float]]:
    """Times asked for, predicted and got on this machine, for several budgets and preferences."""
    say = bench.study.reporter.say
    timed = with_latency(table, measure_latency(learner.model, say=say))
    rays = bench.settings.rays(len(bench.groups))
    found = []
    fastest = (timed.encoder_costs["latency_ms"] + timed.head_costs["latency_ms"].min(2).sum(0)).min()
    for number, place in enumerate(TIME_PLACES):
        limit = fastest + place * max(0.0, timed.full_cost("latency_ms") - fastest)
        choice = search(
            timed, Budget(limit, "latency_ms"), bench.preferences(rays[(number * 3) % len(rays)]), ordered=False
        )
        got = time_model(dense_model(learner.model, choice.point), bench.data.input_shape)
        found.append({"asked": choice.limit, "predicted": choice.cost["latency_ms"], "got": got})
    return found
