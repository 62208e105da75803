"""The broadcast study: one network for all receivers against one for each at the same total of channel uses."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from umbel.core import OperatingPoint, UmbelError
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import FitSettings, evaluate
from umbel.metrics import confidence_interval
from umbel.recipes.broadcast.network import leave_early, make_learner, middle_point, wanted_task
from umbel.recipes.broadcast.settings import BroadcastSettings, Wish
from umbel.recipes.build import load_data
from umbel.recipes.communications import numbers
from umbel.recipes.study import Outcome, Study
from umbel.report import (
    Chart,
    Claim,
    DataInfo,
    MethodInfo,
    Results,
    Run,
    TaskInfo,
    chart_series,
    describe_environment,
)

JOINT, OWN = "broadcast", "separate"
_AT_STOP, _ALL = "at its stop", "all stages"


@dataclass(frozen=True)
class Trained:
    """One network and what was measured of it.

    Attributes:
        arm: JOINT or OWN.
        seed: Of the repetition.
        wishes: Its receivers.
        uses: Of each stage.
        outcome: Of its training.
        found: See `_measure`.
    """

    arm: str
    seed: int
    wishes: list[Wish]
    uses: list[int]
    outcome: Outcome
    found: dict[str, Any]


def broadcast_study(settings: BroadcastSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task, channel, encoder or descent that is not there, ...; before anything is trained.
    """
    make_descent(settings.descent)
    data = load_data(settings.data)
    plans = [(JOINT, settings.wishes, settings.stages)]
    plans += [(OWN, [wish], settings.own_stages(i)) for i, wish in enumerate(settings.wishes)]
    for _, wishes, uses in plans:
        make_learner(settings, data, wishes, uses, 0)
    processes, size = study.runtime.world_size, settings.fit.batch_size
    if size % processes:
        raise UmbelError(f"batch size {size} does not divide by {processes} processes; use a multiple of {processes}")
    if settings.fit.monitor != "loss":
        raise UmbelError(f"monitor {settings.fit.monitor!r}: networks of other receivers share no metric; use loss")
    fit = study.settle(settings, settings.fit)
    study.reporter.expect(settings.seeds * len(plans))
    trained = [
        _trained(settings, study, fit, data, arm, seed, wishes, uses)
        for seed in range(settings.seeds)
        for arm, wishes, uses in plans
    ]
    return _results(settings, study, fit, data, trained)


def _trained(
    settings: BroadcastSettings,
    study: Study,
    fit: FitSettings,
    data: MultiTaskData,
    arm: str,
    seed: int,
    wishes: list[Wish],
    uses: list[int],
) -> Trained:
    key = f"{arm}/seed-{seed}" if arm == JOINT else f"{arm}/{quote(wishes[0].name, safe='')}/seed-{seed}"
    learner = make_learner(settings, data, wishes, uses, seed)
    descent, mine = make_descent(settings.descent), fit.replace(seed=seed)
    outcome = study.trained(key, learner, descent, data, mine, label=key.replace("/", " "), tested=False)
    runtime = study.runtime.with_settings(fit.precision, 1)
    points = [(f"{snr_db:g}", OperatingPoint(snr_db=snr_db)) for snr_db in _snrs(settings)]
    points.append(("middle", middle_point(wishes)))

    def measure() -> dict[str, Any]:
        draws = settings.draws
        metrics = {name: evaluate(learner, data.test, runtime, p, draws=draws).metrics for name, p in points}
        return {"metrics": metrics, "stop": leave_early(learner, wishes, uses, data, runtime, draws, settings.spare)}

    return Trained(arm, seed, wishes, uses, outcome, study.measured(key, "test", measure))


def _snrs(settings: BroadcastSettings) -> list[float]:
    return sorted(set(numbers(settings.test_snr_db, "--test-snr-db")))


def _runs(one: Trained) -> Iterator[Run]:
    """Of each network: every stage at every SNR, and each receiver at the middle of its own, with and without stop."""
    about = {"steps": one.outcome.steps, "seconds": one.outcome.seconds, "best_step": one.outcome.best_step}
    pairs = [(wish, task) for wish in one.wishes for task in wish.tasks]
    for place, metrics in one.found["metrics"].items():
        for stage in range(1, len(one.uses) + 1):
            taken = {f"{w.name}/{t}": metrics[f"{w.name}/{t}@{stage}"] for w, t in pairs}
            if place != "middle":
                yield Run(one.arm, one.seed, taken, {"stage": stage, "snr_db": float(place)}, **about)
        if place == "middle":
            whole = {name: {**values, "uses": float(sum(one.uses))} for name, values in taken.items()}
            yield Run(one.arm, one.seed, whole, {"rule": _ALL}, **about)
            yield Run(one.arm, one.seed, _stopped(one, whole), {"rule": _AT_STOP}, **about)


def _stopped(one: Trained, whole: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The same where receivers leave early; of those that stay, what they had."""
    found = {}
    for wish in one.wishes:
        stop = one.found["stop"]["receivers"][wish.name]
        for task in wish.tasks:
            name = f"{wish.name}/{task}"
            early = {"accuracy": stop["accuracy"][task]} if task in stop["accuracy"] else whole[name]
            found[name] = {**early, "uses": stop["delay"]}
    return found


def _results(
    settings: BroadcastSettings, study: Study, fit: FitSettings, data: MultiTaskData, trained: list[Trained]
) -> Results:
    infos = []
    for wish in settings.wishes:
        for name in wish.tasks:
            info = TaskInfo.of(wanted_task(name, data, 1.0))
            infos.append(dataclasses.replace(info, name=f"{wish.name}/{name}", metrics=(*info.metrics, "uses")))
    runs = _merged([run for one in trained for run in _runs(one)])
    total = sum(settings.stages)
    count = len(settings.wishes)
    texts = {
        JOINT: ("One broadcast", f"one network, {total} uses for all {count} receivers"),
        OWN: ("A network each", f"{count} networks that share the {total} uses"),
    }
    parameters = {
        arm: sum(one.outcome.parameters for one in trained if one.arm == arm and one.seed == 0) for arm in texts
    }
    sizes = {split: len(getattr(data, split)) for split in ("train", "validation", "test")}
    found = Results(
        study="broadcast",
        title=f"One transmission for {count} receivers: {settings.uses} channel uses, {data.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, sizes),
        tasks=infos,
        methods=[MethodInfo(arm, *text, parameters[arm]) for arm, text in texts.items()],
        runs=runs,
        settings=dataclasses.asdict(settings),
        environment=describe_environment(fit.precision, ""),
        headline=[{"rule": _ALL}, {"rule": _AT_STOP}],
        warnings=[*study.warnings, *([] if settings.seeds > 2 else ["few seeds: intervals are wide or missing."])],
    )
    charts = [_chart(settings, found, info) for info in infos]
    return dataclasses.replace(found, charts=charts, claims=_claims(found), verdict=_verdict(settings, found, trained))


def _merged(runs: list[Run]) -> list[Run]:
    """The networks of one arm and seed serve different receivers: together they are one run at each point."""
    together: dict[tuple, Run] = {}
    for run in runs:
        place = (run.method, run.repeat, *run.point.items())
        before = together.get(place)
        together[place] = (
            dataclasses.replace(run, metrics=before.metrics | run.metrics, seconds=before.seconds + run.seconds)
            if before
            else run
        )
    return list(together.values())


def _chart(settings: BroadcastSettings, results: Results, info: TaskInfo) -> Chart:
    """A task of a receiver over its SNR, after every stage."""
    stages = range(1, len(settings.stages) + 1)
    lines = [
        chart_series(
            results.runs, arm, "snr_db", info.name, info.metric, {"stage": stage},
            label=f"{title}, stage {stage}", style=style, group=arm,
        )
        for arm, title, style in ((JOINT, "broadcast", "line"), (OWN, "own network", "dashed"))
        for stage in (stages if arm == JOINT else stages[-1:])
    ]  # fmt: skip
    unit = f" in {info.unit}" if info.unit else ""
    note = "Both arms take the same total of channel uses; a network of its own has the receiver's share of them."
    return Chart(info.name, "SNR in dB", f"{info.metric}{unit}", lines, note, info.name.split("/")[0])


def _value(results: Results, arm: str, rule: str, info: TaskInfo, metric: str) -> list[float]:
    """A metric for each seed, in order."""
    runs = [run for run in results.runs if run.method == arm and run.point == {"rule": rule}]
    return [run.metrics[info.name][metric] for run in sorted(runs, key=lambda run: run.repeat)]


def _claims(results: Results) -> list[Claim]:
    claims = []
    for info in results.tasks:
        ours, own = (_value(results, arm, _ALL, info, info.metric) for arm in (JOINT, OWN))
        sign = 1 if info.higher_is_better else -1
        scale, unit = (100, "points") if info.metric == "accuracy" else (1, info.unit)
        mean, half = confidence_interval([scale * sign * (a - b) for a, b in zip(ours, own, strict=True)])
        statement = f"{info.name}: the broadcast is no worse than a network of its own with its share of the uses"
        claims.append(Claim.measured(f"gain {info.name}", statement, mean, 0.0, half_width=half, unit=unit))
    return claims


def _verdict(settings: BroadcastSettings, results: Results, trained: list[Trained]) -> list[str]:
    total, said = sum(settings.stages), []
    for info in results.tasks:
        ours, own = (_value(results, arm, _ALL, info, info.metric) for arm in (JOINT, OWN))
        early, uses = (_value(results, JOINT, _AT_STOP, info, metric) for metric in (info.metric, "uses"))
        mean = [confidence_interval(values)[0] for values in (ours, own, early, uses)]
        text = f"{info.name}: {info.metric} {mean[0]:.3g}{info.unit and ' ' + info.unit} after all {total} uses"
        if mean[3] < total:
            text += f", {mean[2]:.3g} when it leaves after {mean[3]:.3g} on average"
        said.append(f"{text}; a network of its own with its share of the uses: {mean[1]:.3g}.")
    air = confidence_interval([one.found["stop"]["air"] for one in trained if one.arm == JOINT])[0]
    if air < total:
        said.append(
            f"The last receiver has left after {air:.3g} of {total} uses on average; then nothing more is sent."
        )
    return said
