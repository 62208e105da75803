"""The study of several receivers: train every arm for every seed, then say what came of it."""

import dataclasses
from itertools import permutations

import torch

from umbel.core import Task, UmbelError, unknown
from umbel.data import MultiTaskData, Source
from umbel.descent import make_descent
from umbel.recipes.build import load_data
from umbel.recipes.multi_receiver.arms import (
    EACH,
    JOINT,
    REUSED,
    SAME,
    UNEQUAL,
    WEIGHTS,
    Bench,
    Group,
    channels_of,
    count_trainings,
    train_seed,
)
from umbel.recipes.multi_receiver.charts import charts
from umbel.recipes.multi_receiver.digital import CLEAN, FREE, GENIE, WHOLE, add_digital, check_digital_uses
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.recipes.multi_receiver.verdict import Questions, claims, verdict
from umbel.recipes.study import Study
from umbel.report import DataInfo, MethodInfo, Results, TaskInfo, describe_environment

_TEXTS = {
    JOINT: ("Shared", "One transmission of n uses for all receivers, trained for all tasks at once"),
    SAME: ("Single-task, same total", "A network for each task; together they take n uses"),
    EACH: ("Single-task, n each", "A network for each task, each with n uses: n times the receivers in all"),
    REUSED: ("Transmitter of another task", "The transmission made for the next task; only the receiver is trained"),
    WEIGHTS: ("Shared, weights swept", "As shared, with other weights of the tasks"),
    UNEQUAL: ("Shared, for unequal SNRs", "As shared, trained with the first receiver's SNR apart from the others'"),
    GENIE: ("Labels, digitally", "The transmitter classifies; its labels are sent at their best in n uses"),
    WHOLE: (
        "Coded picture, whole file",
        "WebP, CRC, LDPC, QAM, then a classifier of clean pictures; the whole file counts",
    ),
    FREE: ("Coded picture, header-free", "The same, as if the receiver knew the file's header"),
    CLEAN: ("Clean picture", "The digital links' classifiers, on pictures that were never sent"),
}


def study_receivers(settings: MultiReceiverSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task, channel or descent that is not known, a task that is no classification, ...; before
            anything is trained.
    """
    data, groups = _data(settings)
    make_descent(settings.descent)
    channels = channels_of(settings)
    nested = [sentence for group in groups for sentence in determined(data.train, group)]
    bench = Bench(study, settings, settings.fit, data, groups, channels)
    bench.learner(groups[0].tasks, next(iter(channels)), settings.use_values[0], 0)  # an encoder that fits
    if settings.digital:
        check_digital_uses(settings.digital_values)
    bench.fit = study.settle(settings, settings.fit)
    for sentence in nested:
        study.reporter.say(sentence)
    study.reporter.expect(count_trainings(settings))
    for seed in range(settings.seeds):
        for channel in channels:
            train_seed(bench, channel, seed)
    if settings.digital:
        add_digital(bench)
    return _results(bench, nested)


def _data(settings: MultiReceiverSettings) -> tuple[MultiTaskData, list[Group]]:
    data = load_data(settings.data)
    known = [task.name for task in data.tasks]
    for name in (name for group in settings.groups for name in group):
        if name not in known:
            raise unknown(f"task of {data.name}", name, known)
        _check_task(data.task(name))
    groups = [Group("/".join(names), tuple(data.task(name) for name in names)) for names in settings.groups]
    wanted = dict.fromkeys(name for group in settings.groups for name in group)
    return data.only(list(wanted)), groups


def _check_task(task: Task) -> None:
    if task.output != "vector" or "accuracy" not in task.metrics:
        raise UmbelError(
            f"--pairs: {task.name!r} is a task of kind {task.kind}; this study compares accuracies and takes "
            "classifications only"
        )


def determined(train: Source, group: Group) -> list[str]:
    """For every two tasks of a group: does the one label determine the other? Counted on the training labels."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in group.names}
    for batch in train.batches(1024):
        for task in group.tasks:
            parts[task.name].append(task.target_of(batch))
    labels = {name: torch.cat(values) for name, values in parts.items()}
    sentences = []
    for first, second in permutations(group.names, 2):
        both = (labels[first] >= 0) & (labels[second] >= 0)
        share = _guessed(labels[first][both], labels[second][both])
        if share == 1:
            sentences.append(f"{group.name} is nested: {first} determines {second}.")
        else:
            usual = _guessed(torch.zeros_like(labels[first][both]), labels[second][both])
            sentences.append(
                f"{group.name}: {first} does not determine {second} (the best guess from it is right for {share:.1%}, "
                f"without it for {usual:.1%})."
            )
    return sentences


def _guessed(known: torch.Tensor, wanted: torch.Tensor) -> float:
    """Share of samples whose wanted label is the commonest one among samples with the same known label."""
    if not len(known):
        return 0.0
    counts = torch.zeros(int(known.max()) + 1, int(wanted.max()) + 1, dtype=torch.int64)
    counts.index_put_((known.long(), wanted.long()), torch.ones(len(known), dtype=torch.int64), accumulate=True)
    return float(counts.max(1).values.sum()) / len(known)


def middle_snr(settings: MultiReceiverSettings) -> float:
    """The SNR at which claims and the main table are read, in dB: the middle one of the evaluation's."""
    values = settings.link.test_values
    return values[(len(values) - 1) // 2]


def _results(bench: Bench, nested: list[str]) -> Results:
    data, study, settings = bench.data, bench.study, bench.settings
    snr_db = middle_snr(settings)
    shown = [settings.sweep_uses, *(settings.digital_values[-1:] if settings.digital else ())]
    sizes = {split: len(getattr(data, split)) for split in ("train", "validation", "test")}
    questions = Questions(bench.groups, list(bench.channels), settings, snr_db)
    results = Results(
        study="multi_receiver",
        title=f"One transmission for several receivers, or one for each? {data.title}",
        command=study.command,
        data=DataInfo(data.name, data.title, data.note, sizes),
        tasks=[TaskInfo.of(task) for task in data.tasks],
        methods=[_method(bench, arm) for arm in _TEXTS if any(run.method == arm for run in bench.runs)],
        runs=bench.runs,
        settings=dataclasses.asdict(settings),
        environment=describe_environment(bench.fit.precision, "as for every network of the study"),
        charts=charts(bench.runs, questions),
        headline=[{"snr_db": snr_db, "uses": uses, "weight": None} for uses in shown],
        warnings=[*study.warnings, *_warnings(bench)],
    )
    return dataclasses.replace(
        results, claims=claims(bench.runs, questions), verdict=[*verdict(bench.runs, questions), *nested]
    )


def _method(bench: Bench, arm: str) -> MethodInfo:
    title, description = _TEXTS[arm]
    outcomes = bench.outcomes[arm]
    seconds = [outcome.seconds_per_step for outcome in outcomes[: bench.settings.seeds]]
    return MethodInfo(arm, title, description, max(o.parameters for o in outcomes), seconds)


def _warnings(bench: Bench) -> list[str]:
    settings, found = bench.settings, []
    if settings.seeds < 3:
        found.append(f"{settings.seeds} seed(s): intervals are wide or missing; use --seeds 3 or more to publish.")
    if settings.digital:
        found.append(
            f"The coded picture is measured on the first {settings.digital_pictures} test pictures (at most) with "
            "block error rates from a table; a few channel uses are too few for any file, so it is shown at more."
        )
        found.append(
            "The digital labels are a bound: ideal signals and decoding, the better of two ways to send at each SNR."
        )
    return found
