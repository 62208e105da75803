"""The multi-round study: train every arm for every seed and channel, measure it, say what came of it."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from umbel.core import UmbelError, unknown
from umbel.descent import make_descent
from umbel.recipes.build import load_data
from umbel.recipes.multi_round.arms import (
    COST,
    ERROR,
    GENIE,
    PREFIX,
    RANDOM,
    ROUNDS,
    SINGLE,
    TITLES,
    Bench,
    Network,
    make_learner,
    networks,
    one_task,
    train,
)
from umbel.recipes.multi_round.charts import charts
from umbel.recipes.multi_round.measure import (
    ALWAYS,
    BUDGET,
    METRICS,
    MIDDLE,
    measure_genie,
    measure_rounds,
    measure_single,
)
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.recipes.multi_round.verdict import claims, verdict
from umbel.recipes.study import Outcome, Study
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo, describe_environment

Measured = dict[Network, Any]
"""Network -> what `measure_single` or `measure_rounds` gave."""


def multi_round_study(settings: MultiRoundSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task that is no classification, an unknown channel or descent, ...; before anything is trained.
    """
    make_descent(settings.descent)
    data = one_task(load_data(settings.data))
    planned = list(networks(settings))
    for network in {(n.arm, n.channel, n.uses): n for n in planned}.values():
        make_learner(settings, data, network)
    _check_training(settings, study)
    fit = study.settle(settings, settings.fit)
    study.reporter.expect(len(planned))
    bench = Bench(study, settings, fit, data)
    measured: Measured = {}
    for network in planned:
        learner = train(bench, network)
        measured[network] = study.measured(
            network.key, "curves", lambda n=network, m=learner: _measure(bench, n, m, measured)
        )
    return _results(bench, measured)


def _check_training(settings: MultiRoundSettings, study: Study) -> None:
    """Find what would stop a training later on, before the folder is claimed."""
    processes, size = study.runtime.world_size, settings.fit.batch_size
    if size % processes:
        raise UmbelError(f"batch size {size} does not divide by {processes} processes; use a multiple of {processes}")
    if settings.fit.monitor not in ("loss", "improvement"):
        raise unknown("monitor of networks with other numbers of rounds", settings.fit.monitor, ("loss", "improvement"))


def _measure(bench: Bench, network: Network, learner, measured: Measured) -> Any:
    if network.arm == GENIE:
        return measure_genie(bench, network)
    if network.arm in (SINGLE, PREFIX):
        return measure_single(bench, network, learner)
    conventional = dataclasses.replace(network, arm=SINGLE, uses=(bench.settings.total,))
    single = {point["snr_db"]: point["validation"]["accuracy"] for point in measured[conventional]}
    return measure_rounds(bench, network, learner, single)


def _results(bench: Bench, measured: Measured) -> Results:
    data, settings, study = bench.data, bench.settings, bench.study
    runs = [run for network, found in measured.items() for run in _runs(bench, network, found)]
    task = TaskInfo(bench.task.name, bench.task.kind, "accuracy", True, "", tuple(bench.task.labels), METRICS)
    rounds = "+".join(map(str, settings.rounds))
    results = Results(
        study="multi_round",
        title=f"Rounds until the receiver is sure: {rounds} channel uses, {bench.task.name} of {data.title}",
        command=study.command,
        data=DataInfo(
            data.name, data.title, data.note, {s: len(getattr(data, s)) for s in ("train", "validation", "test")}
        ),
        tasks=[task],
        methods=[_method(bench, arm) for arm in TITLES if arm in {run.method for run in runs}],
        runs=runs,
        settings=dataclasses.asdict(settings),
        environment=describe_environment(bench.fit.precision, _why(bench)),
        headline=list(_headline(settings)),
        warnings=[*study.warnings, *_warnings(bench)],
    )
    drawn = charts(settings, results, _reliability(measured))
    return dataclasses.replace(
        results, charts=drawn, claims=claims(settings, results), verdict=verdict(settings, results)
    )


def _runs(bench: Bench, network: Network, found: Any) -> Iterator[Run]:
    """The runs of one network; the multi-round one also stands for random escalation and for feedback's cost.

    Curves over thresholds at other than the middle SNR are those of multi-round alone; the networks' folders have
    the others.
    """
    outcome, middle = bench.outcomes[network], bench.settings.middle_snr_db

    def run(arm: str, entry: Mapping[str, Any], test: Mapping[str, float], **point: object) -> Run:
        point = {"channel": entry.get("channel", network.channel), "snr_db": entry["snr_db"], **point}
        validation = {bench.task.name: entry["validation"]} if "validation" in entry and arm != RANDOM else {}
        chosen = {"thresholds": entry["thresholds"]} if "thresholds" in entry else {}
        about = {"steps": outcome.steps, "seconds": outcome.seconds, "best_step": outcome.best_step}
        return Run(arm, network.seed, {bench.task.name: dict(test)}, point, validation, **about, settings=chosen)

    if network.arm in (SINGLE, PREFIX, GENIE):
        yield from (run(network.arm, entry, entry["test"], uses=entry["uses"]) for entry in found)
        return
    for kind in ("tau", "rule", "round"):
        for entry in found[kind]:
            if kind == "tau" and network.arm != ROUNDS and entry["snr_db"] != middle:
                continue
            yield run(network.arm, entry, entry["test"], **{kind: entry[kind]})
            if network.arm == ROUNDS and "random" in entry and (kind == "rule" or entry["snr_db"] == middle):
                yield run(RANDOM, entry, entry["random"], **{kind: entry[kind]})
    for entry in (entry for entry in found["round"] if entry["round"] == len(network.uses)):
        yield run(network.arm, entry, entry["test"], rule=ALWAYS)
    yield from (run(entry["arm"], entry, entry["test"], tau=entry["tau"]) for entry in found["feedback"])


def _headline(settings: MultiRoundSettings) -> Iterator[dict[str, Any]]:
    """The middle SNR: chosen thresholds, every round always sent, single rounds of the first and of all uses."""
    at = {"snr_db": settings.middle_snr_db}
    for rule in (MIDDLE, BUDGET, ALWAYS):
        yield {**at, "rule": rule}
    for uses in (settings.rounds[0], settings.total):
        yield {**at, "uses": uses}


def _reliability(measured: Measured) -> dict[tuple[str, int], list[dict[str, list[float]]]]:
    """(channel, seed) -> the multi-round network's reliability in each round, at the middle SNR."""
    return {(n.channel, n.seed): found["reliability"] for n, found in measured.items() if n.arm == ROUNDS}


def _method(bench: Bench, arm: str) -> MethodInfo:
    trained = ROUNDS if arm in (RANDOM, COST, ERROR) else arm
    outcomes: dict[Network, Outcome] = {n: o for n, o in bench.outcomes.items() if n.arm == trained}
    title, description = TITLES[arm]
    if arm == COST:
        description += f" ({bench.settings.feedback_uses:g})"
    if arm == ERROR:
        description += f" (probability {bench.settings.feedback_error:g})"
    first = next(iter(outcomes)).channel
    parameters = sum(o.parameters for n, o in outcomes.items() if n.seed == 0 and n.channel == first)
    seconds = [o.seconds_per_step for o in outcomes.values() if math.isfinite(o.seconds_per_step)]
    return MethodInfo(arm, title, description, parameters, seconds if arm == trained else ())


def _why(bench: Bench) -> str:
    if bench.settings.fit.precision != "auto":
        return "asked for"
    faster = bench.fit.precision == "bf16"
    return f"a convolution's training step was {'' if faster else 'not '}clearly faster in bf16 when the study began"


def _warnings(bench: Bench) -> list[str]:
    settings = bench.settings
    found = []
    if settings.seeds < 3:
        found.append(f"{settings.seeds} seed(s): intervals are wide or missing; use --seeds 3 or more to publish.")
    if bench.fit.steps is None and bench.fit.epochs < 10:
        found.append(f"{bench.fit.epochs} passes over the data: a quick look, networks may not have converged.")
    if settings.coherence == "stage" and any("awgn" not in name for name in settings.link.channel_names):
        found.append(
            "Each round has a fade of its own, while a single round has one fade for all its uses: on fading channels "
            "part of the gain is diversity in time. With --coherence picture all rounds of a picture share one fade."
        )
    return found
