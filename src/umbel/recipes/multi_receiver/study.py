"""The study of several receivers: which networks are trained, all with the same parts, and what is measured of them.

`digital` has the rivals that send bits; `findings` says what came of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from umbel.channels import parse_channel
from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import metrics_of
from umbel.methods.multi_receiver import ReusedTransmitter, multi_receiver
from umbel.metrics import guess_accuracy
from umbel.recipes.build import open_data, with_options
from umbel.recipes.communications.clean import clean_classifier
from umbel.recipes.communications.predictions import predict_over_points
from umbel.recipes.multi_receiver.digital import CLEAN, FREE, GENIE, WHOLE, DigitalRivals, group_of
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.report import Results
from umbel.study import Arm, Bench, Job, Measurement, Study, Trained, Training, on_test_split

JOINT, SAME, EACH = "joint", "single-same-total", "single-each"
REUSED, WEIGHTS, UNEQUAL = "reused-transmitter", "weights", "unequal"
SINGLE = "single"
"""Jobs of single-task networks: no row of the tables, but each serves several of `SAME` and `EACH`."""
GUESSES = "guesses"
"""Name of the fact that says how well one label tells another; see `guesses`."""


def arms(settings: MultiReceiverSettings) -> list[Arm]:
    """The arms, in the order of the tables; sizes are those at the uses of the main table."""
    uses, count = settings.sweep_uses, len(settings.groups[0])
    here, share = OperatingPoint(uses=uses), OperatingPoint(uses=uses // count)
    weights = [weight for weight in settings.weight_values if not _is_equal(weight, count)]
    swept = ("", OperatingPoint(weight=weights[0])) if weights else (JOINT, here)
    return [
        Arm(JOINT, "Shared", "One transmission of n uses for all receivers, trained for all tasks at once", at=here),
        Arm(SAME, "Single-task, same total", "A network for each task; together they take n uses", SINGLE, share),
        Arm(EACH, "Single-task, n each", "A network for each task, each with n uses of its own", SINGLE, here),
        Arm(REUSED, "Transmitter of another task", "The transmission made for the next task; receivers alone learn"),
        Arm(WEIGHTS, "Shared, weights swept", "As shared, with other weights of the tasks", *swept),
        Arm(UNEQUAL, "Shared, for unequal SNRs", "As shared, trained with SNRs that differ between the receivers"),
        Arm(GENIE, "Labels, digitally", "The transmitter classifies; its labels are sent at their best", CLEAN),
        Arm(WHOLE, "Coded picture, whole file", "WebP, CRC, LDPC, QAM, then a classifier; all bytes count", CLEAN),
        Arm(FREE, "Coded picture, header-free", "The same, as if the receiver knew the file's header", CLEAN),
        Arm(CLEAN, "Clean picture", "The digital links' classifiers, on pictures that were never sent"),
    ]


def multi_receiver_study(settings: MultiReceiverSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task, channel or descent that is not known, a task that is no classification, ...; before
            anything is trained.
    """
    data = _data(settings, study)
    labels = _labels(data)
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    digital = DigitalRivals(bench, labels) if settings.digital else None
    bench.run(list(network_jobs(settings)), partial(_training, bench), partial(_measure, settings))
    if digital:
        bench.run(list(digital.jobs()), digital.make, digital.measure)
    shown = [settings.sweep_uses, *(settings.digital_values[-1:] if settings.digital else ())]
    return bench.results(
        "multi_receiver",
        f"One transmission for several receivers, or one for each? {data.title}",
        arms(settings),
        counted=partial(_serves_first_group, settings),
        facts={GUESSES: {"/".join(group): guesses(labels, group) for group in settings.groups}},
        headline=tuple({"snr_db": settings.middle_snr_db, "uses": uses, "weight": None} for uses in shown),
        warnings=digital.warnings if digital else (),
    )


def _serves_first_group(settings: MultiReceiverSettings, job: Job) -> bool:
    """Whether a network's size counts: those of the first group on the first channel."""
    group, place, first = settings.groups[0], job.place, settings.link.channel_names[0]
    if place.get("channel", first) != first:
        return False
    if "pair" in place:
        return place["pair"] == "/".join(group)
    return (place["task"], place["by"]) in _next_tasks(group) if "by" in place else place["task"] in group


# -- data ----------------------------------------------------------------------------------------------------------


def _data(settings: MultiReceiverSettings, study: Study) -> MultiTaskData:
    served = list(dict.fromkeys(name for group in settings.groups for name in group))
    data = open_data(settings.data, say=study.reporter.say).only(served)
    for task in data.tasks:
        if task.output != "vector" or "accuracy" not in task.metrics:
            wrong = f"--pairs: {task.name!r} is a task of kind {task.kind}"
            raise UmbelError(f"{wrong}; this study compares accuracies and takes classifications only")
    return data


def _labels(data: MultiTaskData) -> dict[str, Tensor]:
    """Task -> its training labels."""
    parts: dict[str, list[Tensor]] = {task.name: [] for task in data.tasks}
    for batch in data.train.batches(1024):
        for task in data.tasks:
            parts[task.name].append(task.target_of(batch))
    return {name: torch.cat(values) for name, values in parts.items()}


def guesses(labels: Mapping[str, Tensor], group: Sequence[str]) -> list[dict[str, Any]]:
    """How well one label tells another, for every two tasks of a group, counted on the samples that have both.

    Args:
        labels: Task -> labels [N], negative where missing.
        group: Names of its tasks.

    Returns:
        "known" and "wanted" are two tasks; "right" is the part of the samples whose wanted label is the commonest one
        among those with the same known label (1: the one determines the other); "right without" the part whose wanted
        label is the commonest of all.
    """
    rows = []
    for known, wanted in permutations(group, 2):
        both = (labels[known] >= 0) & (labels[wanted] >= 0)
        first, second = labels[known][both], labels[wanted][both]
        parts = {"right": guess_accuracy(first, second), "right without": guess_accuracy(first * 0, second)}
        rows.append({"known": known, "wanted": wanted, **parts})
    return rows


# -- networks ------------------------------------------------------------------------------------------------------


def network_jobs(settings: MultiReceiverSettings) -> Iterator[Job]:
    """All networks; those of one seed and channel together, single tasks first, because others reuse them."""
    for seed in range(settings.seeds):
        for channel in settings.link.channel_names:
            for task, counts in settings.single_uses.items():
                yield from (Job.at(SINGLE, seed, task=task, channel=channel, uses=uses) for uses in counts)
            yield from dict.fromkeys(job for group in settings.groups for job in _jobs(settings, seed, channel, group))
        if settings.digital:
            yield from (Job.at(CLEAN, seed, task=task) for task in settings.single_uses)


def _jobs(settings: MultiReceiverSettings, seed: int, channel: str, group: Sequence[str]) -> Iterator[Job]:
    """Of one group; a receiver that reads another task's transmission is the same in every group that has both."""
    place, sweep = {"pair": "/".join(group), "channel": channel}, settings.sweep_uses
    yield from (Job.at(JOINT, seed, **place, uses=uses) for uses in settings.use_values)
    for task, other in _next_tasks(group):
        source = Job.at(SINGLE, seed, task=other, channel=channel, uses=sweep)
        yield Job.at(REUSED, seed, source, task=task, by=other, channel=channel, uses=sweep)
    if settings.unequal_values:
        yield Job.at(UNEQUAL, seed, **place, uses=sweep)
    if channel == settings.link.channel_names[0]:
        for weight in settings.weight_values:
            if not _is_equal(weight, len(group)):
                yield Job.at(WEIGHTS, seed, **place, uses=sweep, weight=weight)


def _next_tasks(group: Sequence[str]) -> list[tuple[str, str]]:
    """Each task, and the one whose transmission its receiver is given to read."""
    return [(task, group[(index + 1) % len(group)]) for index, task in enumerate(group)]


def _is_equal(weight: float, count: int) -> bool:
    """Whether a weight of the first of so many tasks is that of all: then the shared network itself stands for it."""
    return abs(weight - 1 / count) <= 1e-9


def _training(bench: Bench[MultiReceiverSettings], job: Job) -> Training:
    """How a network is trained. What serves one task alone has no conflict to settle."""
    names = group_of(job) if "pair" in job.place else (job.place["task"],)
    data = bench.data.only(names)
    learner = with_options(bench.settings.encoder_options, partial(_learner, bench, job, data))
    return Training(learner, None if len(names) > 1 else make_descent("equal"), data)


def _learner(bench: Bench[MultiReceiverSettings], job: Job, data: MultiTaskData, **options: Any) -> Learner:
    """A fresh network; the same seed gives the same encoder to every arm."""
    settings, place, encoder = bench.settings, job.place, bench.settings.encoder or None
    if job.arm == CLEAN:
        return clean_classifier(data.input_shape, data.tasks[0], encoder, seed=job.repeat, **options)
    receivers, snr_db = {task.name: [task] for task in data.tasks}, settings.link.train_range
    learner = multi_receiver(
        data.input_shape,
        receivers,
        place["uses"],
        parse_channel(place["channel"]),
        weights=_weights(list(receivers), place["weight"]) if job.arm == WEIGHTS else None,
        snr_db=settings.unequal_ranges(list(receivers)) if job.arm == UNEQUAL else snr_db,
        encoder=encoder,
        seed=job.repeat,
        **options,
    )
    if job.arm == REUSED:
        return ReusedTransmitter(learner.model, snr_db, bench.learner(job.needs[0]).model)
    return learner


def _weights(group: Sequence[str], first: float) -> dict[str, float]:
    return {name: (1 - first) / (len(group) - 1) if index else first for index, name in enumerate(group)}


def _measure(settings: MultiReceiverSettings, trained: Trained) -> Iterator[Measurement]:
    """A network's accuracy at every test SNR, for each arm and group that it serves."""
    places = list(served(settings, trained.job))
    if trained.job.arm == CLEAN:
        (clean,) = on_test_split(trained)
        yield from (Measurement(clean.test, place, clean.validation) for _, place in places)
        return
    goals = trained.model.model.goals
    validation = {goal.task.name: trained.outcome.validation[goal.name] for goal in goals}
    snrs: list[Any] = list(settings.link.test_values)
    if "pair" in trained.job.place and (unequal := settings.unequal_of(group_of(trained.job))):
        snrs.append(unequal)
    points, draws = [OperatingPoint(snr_db=snr_db) for snr_db in snrs], settings.link.draws
    every = predict_over_points(trained.model, trained.data.test, trained.runtime, points, draws=draws)
    for snr_db, one in zip(snrs, every, strict=True):
        test = {goal.task.name: metrics_of(goal.task, one.raw[goal.name], one.targets[goal.name]) for goal in goals}
        for arm, place in places:
            yield Measurement(test, {**place, "snr_db": snr_db}, validation, arm=arm)


def served(settings: MultiReceiverSettings, job: Job) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arms, and their places without the SNR, that a network's numbers belong to."""
    place = job.place
    for group in settings.groups:
        where = {"pair": "/".join(group), "channel": place.get("channel", "none")}
        if job.arm == CLEAN and place["task"] in group:
            yield CLEAN, where
        elif job.arm == SINGLE and place["task"] in group:
            for uses in settings.use_values:
                if place["uses"] == uses:
                    yield EACH, {**where, "uses": uses, "total_uses": uses * len(group)}
                if place["uses"] == uses // len(group):
                    yield SAME, {**where, "uses": uses, "total_uses": uses}
        elif place.get("pair") == where["pair"] or (place.get("task"), place.get("by")) in _next_tasks(group):
            where |= {"uses": place["uses"], "total_uses": place["uses"]}
            yield job.arm, {**where, "weight": place["weight"]} if job.arm == WEIGHTS else where
            if job.arm == JOINT and (place["channel"], place["uses"]) == settings.swept:
                equal = (weight for weight in settings.weight_values if _is_equal(weight, len(group)))
                yield from ((WEIGHTS, {**where, "weight": weight}) for weight in equal)
