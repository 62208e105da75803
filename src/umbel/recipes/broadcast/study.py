"""The broadcast study: one network for all receivers against one for each at the same total of channel uses.

A network is stages x receivers x tasks. Receivers that want classes alone leave when they are sure; their thresholds
are chosen on validation. `findings` says what came of it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from umbel.channels import parse_channel
from umbel.core import OperatingPoint, Task, UmbelError
from umbel.data import MultiTaskData
from umbel.engine import evaluate, predict_split
from umbel.methods.multi_round import check_classification
from umbel.recipes.broadcast.settings import PICTURES, BroadcastSettings, ReceiverSpec
from umbel.recipes.build import open_data, with_options
from umbel.report import Profile, Results, TaskInfo
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training
from umbel.tasks import picture
from umbel.transmission import (
    Goal,
    Listener,
    RoundPredictions,
    Stage,
    StagedLearner,
    build_transmission,
    delay_of,
)

JOINT, OWN = "broadcast", "separate"
AT_STOP, ALL = "at its stop", "all stages"
"""Rules: receivers leave when they are sure, or all listen to the end."""
AIR = "uses until the last receiver has left"
"""Name of the profile with one number, "uses": the mean over test samples."""


def broadcast_study(settings: BroadcastSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task, channel, encoder or descent that is not there, ...; before anything is trained.
    """
    data, total, count = open_data(settings.data, say=study.reporter.say), sum(settings.stages), len(settings.specs)
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    bench.run(list(jobs(settings)), lambda job: Training(make_learner(settings, data, job)), _Measure(settings, data))
    return bench.results(
        "broadcast",
        f"One transmission for {count} receivers: {settings.uses} channel uses, {data.title}",
        [
            Arm(JOINT, "One broadcast", f"one network, {total} uses for all {count} receivers"),
            Arm(OWN, "A network each", f"{count} networks that share the {total} uses"),
        ],
        tasks=[_info(spec, name, data) for spec in settings.specs for name in spec.tasks],
        headline=({"rule": ALL}, {"rule": AT_STOP}),
    )


def jobs(settings: BroadcastSettings) -> Iterator[Job]:
    """The broadcast, and the network that each receiver has for itself."""
    for seed in range(settings.seeds):
        yield Job(JOINT, seed)
        yield from (Job.at(OWN, seed, receiver=spec.name) for spec in settings.specs)


def served(settings: BroadcastSettings, job: Job) -> tuple[list[ReceiverSpec], list[int]]:
    """The receivers of a network, and the channel uses of each of its stages."""
    if job.arm == JOINT:
        return settings.specs, settings.stages
    index = [spec.name for spec in settings.specs].index(job.place["receiver"])
    return [settings.specs[index]], settings.own_stages(index)


# -- networks ------------------------------------------------------------------------------------------------------


def make_learner(settings: BroadcastSettings, data: MultiTaskData, job: Job) -> StagedLearner:
    """A fresh network; the same seed gives every network the same encoder, where it can be.

    Raises:
        UmbelError: A task, channel, encoder or option that is not there, ...
    """
    specs, uses = served(settings, job)
    everyone = [wanted_task(name, data) for spec in settings.specs for name in spec.tasks]
    encoder = settings.encoder or ("pixel" if any(task.output == "picture" for task in everyone) else None)
    model = with_options(
        settings.encoder_options,
        lambda **options: build_transmission(
            data.input_shape,
            [Stage(count) for count in uses],
            goals_of(specs, data, len(uses), settings.picture_scale),
            {spec.name: parse_channel(spec.channel) for spec in specs},
            encoder,
            seed=job.repeat,
            **options,
        ),
    )
    return StagedLearner(model, {spec.name: spec.snr_db for spec in specs})


def goals_of(specs: Sequence[ReceiverSpec], data: MultiTaskData, stages: int, scale: float) -> list[Goal]:
    """Every task of every receiver after every stage; a pyramid's picture is half as large a stage before."""
    goals = []
    for stage in range(1, stages + 1):
        for spec in specs:
            for name in spec.tasks:
                shrink = 2 ** (stages - stage) if name == "pyramid" else 1
                goals.append(Goal(wanted_task(name, data, scale), stage, spec.name, shrink=shrink))
    return goals


def wanted_task(name: str, data: MultiTaskData, scale: float = 1.0) -> Task:
    """The task that a receiver's word means.

    Raises:
        UmbelError: No task of the set, or pictures of inputs that are none.
    """
    if name not in PICTURES:
        return data.task(name)
    if len(data.input_shape) != 3:
        raise UmbelError(f"{data.name} has inputs of shape {tuple(data.input_shape)}; nobody can want a {name} of them")
    return picture(name, data.input_shape[0], scale)


def _info(spec: ReceiverSpec, name: str, data: MultiTaskData) -> TaskInfo:
    info = TaskInfo.of(wanted_task(name, data))
    return dataclasses.replace(info, name=f"{spec.name}/{name}", metrics=(*info.metrics, "uses"))


# -- measurement ---------------------------------------------------------------------------------------------------


def middle_point(specs: Sequence[ReceiverSpec]) -> OperatingPoint:
    """Every receiver at the middle of its SNRs."""
    return OperatingPoint(snr_db={spec.name: spec.middle_db for spec in specs})


class _Measure:
    """Every stage at every SNR; each receiver at the middle of its own, to the end and where it leaves."""

    def __init__(self, settings: BroadcastSettings, data: MultiTaskData) -> None:
        self.settings, self.data = settings, data

    def __call__(self, trained: Trained) -> Iterator[Measurement | Profile]:
        specs, uses = served(self.settings, trained.job)
        for snr_db in self.settings.test_values:
            metrics = self._evaluated(trained, OperatingPoint(snr_db=snr_db))
            for stage in range(1, len(uses) + 1):
                yield Measurement(_after(metrics, specs, stage), {"stage": stage, "snr_db": snr_db})
        last = _after(self._evaluated(trained, middle_point(specs)), specs, len(uses))
        whole = {name: {**values, "uses": float(sum(uses))} for name, values in last.items()}
        early, chosen, air = self._leaving(trained, specs, uses)
        yield Measurement(whole, {"rule": ALL})
        yield Measurement(whole | early, {"rule": AT_STOP}, settings=chosen)
        yield Profile(trained.job.arm, AIR, {"uses": (air,)}, trained.job.repeat, dict(trained.job.place))

    def _evaluated(self, trained: Trained, point: OperatingPoint) -> dict[str, dict[str, float]]:
        draws = self.settings.draws
        return evaluate(trained.model, trained.data.test, trained.runtime, point, draws=draws).metrics

    def _leaving(
        self, trained: Trained, specs: Sequence[ReceiverSpec], uses: Sequence[int]
    ) -> tuple[dict[str, dict[str, float]], dict[str, Any], float]:
        """What leaving early changes; a receiver that wants more than classes stays to the end.

        Returns:
            Name of a task -> its metrics where its receiver leaves; the thresholds, from validation; mean uses until
            the last one has left.
        """
        leaving = [spec for spec in specs if self._wants_classes(spec)]
        validation, test = (self._listeners(trained, split, leaving, len(uses)) for split in ("validation", "test"))
        early, chosen, stops = {}, {}, []
        for spec in leaving:
            thresholds = validation[spec.name].thresholds(uses, self.settings.spare)
            chosen[f"thresholds of {spec.name}"] = thresholds
            stops.append(test[spec.name].leaves(thresholds))
            delay = float(delay_of(stops[-1], uses).mean())
            for task, accuracy in test[spec.name].accuracies(stops[-1]).items():
                early[f"{spec.name}/{task}"] = {"accuracy": accuracy, "uses": delay}
        if len(leaving) < len(specs):
            return early, chosen, float(sum(uses))
        return early, chosen, float(delay_of(torch.stack(stops).amax(0), uses).mean())

    def _wants_classes(self, spec: ReceiverSpec) -> bool:
        try:
            for name in spec.tasks:
                check_classification(wanted_task(name, self.data))
        except UmbelError:
            return False
        return True

    def _listeners(
        self, trained: Trained, split: str, specs: Sequence[ReceiverSpec], stages: int
    ) -> Mapping[str, Listener]:
        """By name, all on the same samples: those that have a label of every task of these receivers."""
        goals = {(s.name, task): [f"{s.name}/{task}@{n + 1}" for n in range(stages)] for s in specs for task in s.tasks}
        names = [name for of_task in goals.values() for name in of_task]
        if not names:
            return {}
        point, draws = middle_point(served(self.settings, trained.job)[0]), self.settings.draws
        source = getattr(trained.data, split)
        seen = predict_split(trained.model, source, trained.runtime, point, tasks=names, draws=draws)
        kept = torch.stack([seen.targets[name] >= 0 for name in names]).all(0)

        def rounds(of_task: Sequence[str]) -> RoundPredictions:
            logits: Tensor = torch.stack([seen.raw[name][kept] for name in of_task])
            return RoundPredictions(logits, seen.targets[of_task[0]][kept])

        return {s.name: Listener({task: rounds(goals[s.name, task]) for task in s.tasks}) for s in specs}


def _after(metrics: Mapping[str, Any], specs: Sequence[ReceiverSpec], stage: int) -> dict[str, dict[str, float]]:
    """Those after a stage, by "receiver/task"."""
    return {f"{spec.name}/{task}": metrics[f"{spec.name}/{task}@{stage}"] for spec in specs for task in spec.tasks}
