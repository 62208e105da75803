"""The digital rivals of a shared transmission: the labels that the transmitter classified, and the coded picture.

Both ends decide by classifiers of clean pictures, so their jobs come after those classifiers' trainings.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from umbel.channels.digital import (
    FADINGS,
    CodedPictures,
    LabelCombinations,
    PictureJudge,
    RateTable,
    mean_colour,
    shipped_table,
)
from umbel.core import OperatingPoint, UmbelError
from umbel.data import Source, first_samples
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.study import Bench, Job, Measurement, Trained

GENIE, WHOLE, FREE, CLEAN = "label-genie", "picture-whole-file", "picture-header-free", "clean"
PICTURE = "coded-picture"
"""Jobs that send coded pictures: no row of the tables, but each serves `WHOLE` and `FREE`."""
_PICTURES_FOR_COLOUR = 2000


class DigitalRivals:
    """Jobs of the digital rivals, and what is measured in them.

    Args:
        bench: Of the study.
        labels: Task -> its training labels [N], of the same samples; negative where missing.

    Attributes:
        warnings: How far the rivals are to be trusted, and what was left out.

    Raises:
        UmbelError: Labels of a group that never differ, or channel uses of which no block was measured.
    """

    def __init__(self, bench: Bench[MultiReceiverSettings], labels: Mapping[str, Tensor]) -> None:
        self.bench, self.settings = bench, bench.settings
        groups = self.settings.groups
        self.combinations = {group: LabelCombinations({n: labels[n] for n in group}) for group in groups}
        for uses in self.settings.digital_values:
            shipped_table().codes(uses)
        self._judges: dict[Job, PictureJudge] = {}
        self.why_no_pictures = self._why_no_pictures()
        self.warnings = list(self._warnings())

    def _why_no_pictures(self) -> str:
        try:
            RateTable(self.splits[0][0][:1])
        except UmbelError as error:
            return str(error)
        return ""

    def _warnings(self) -> Iterator[str]:
        for channel in self.settings.link.channel_names:
            if channel not in FADINGS:
                yield f"The digital rivals know awgn and rayleigh only; none is shown for {channel}."
        if self.why_no_pictures:
            yield f"The coded picture is left out: {self.why_no_pictures}."
        else:
            yield (
                f"The coded picture is measured on the first {self.settings.digital_pictures} test pictures (at most) "
                "with block error rates from a table; a few channel uses are too few for any file, so it is shown at "
                "more."
            )
        yield "The digital labels are a bound: ideal signals and decoding, the better of two ways to send at each SNR."

    def jobs(self) -> Iterator[Job]:
        """One of each kind for each seed, group and channel."""
        for seed in range(self.settings.seeds):
            for group in self.settings.groups:
                clean = [Job.at(CLEAN, seed, task=task) for task in group]
                for channel in (name for name in self.settings.link.channel_names if name in FADINGS):
                    for arm in (GENIE,) if self.why_no_pictures else (GENIE, PICTURE):
                        yield Job.at(arm, seed, *clean, pair="/".join(group), channel=channel)

    def make(self, job: Job) -> Callable[[], Any]:
        """The combinations of labels of a job's group, or the judges of its coded pictures."""
        if job.arm == GENIE:
            return lambda: self.combinations[group_of(job)]
        return lambda: [self.judge(clean) for clean in job.needs]

    def measure(self, trained: Trained) -> Iterator[Measurement]:
        """Accuracy of all tasks at every test SNR and number of channel uses."""
        return self._labels(trained) if trained.job.arm == GENIE else self._pictures(trained)

    def _labels(self, trained: Trained) -> Iterator[Measurement]:
        job, table = trained.job, self.bench.table.at(pair=trained.job.place["pair"], channel="none")
        clean = {task: table(CLEAN, "accuracy", task=task)[job.repeat] for task in group_of(job)}
        for uses in self.settings.use_values:
            for snr_db in self.settings.link.test_values:
                accuracies = trained.model.accuracies(clean, uses, snr_db, FADINGS[job.place["channel"]])
                yield _measurement(job, accuracies.values(), uses, snr_db)

    def _pictures(self, trained: Trained) -> Iterator[Measurement]:
        """The best coding on validation pictures at each SNR, measured on test pictures."""
        judges, fading = trained.model, FADINGS[trained.job.place["channel"]]
        for arm, whole in ((WHOLE, True), (FREE, False)):
            for uses in self.settings.digital_values:
                link = self.pictures.link(uses, whole)
                for snr_db in self.settings.link.test_values:
                    coding = link.best(snr_db, fading, judges)
                    accuracies = link.expected(snr_db, coding, fading, judges).accuracies
                    chosen = {"coding": coding.mcs.name}
                    yield _measurement(trained.job, accuracies, uses, snr_db, arm=arm, settings=chosen)

    @cached_property
    def splits(self) -> tuple[tuple[Tensor, dict[str, Tensor]], tuple[Tensor, dict[str, Tensor]]]:
        """The first pictures and labels of validation and test."""
        data, count = self.bench.data, self.settings.digital_pictures
        return _first(data.validation, count), _first(data.test, count)

    @cached_property
    def pictures(self) -> CodedPictures:
        """These pictures as files; encoded only where a job is not done yet."""
        (validation, _), (test, _) = self.splits
        return CodedPictures(validation, test, mean_colour(_first(self.bench.data.train, _PICTURES_FOR_COLOUR)[0]))

    def judge(self, clean: Job) -> PictureJudge:
        """Whether the classifier of that job recognises what arrives; it sees every file once."""
        if clean not in self._judges:
            task, device = clean.place["task"], self.bench.runtime.device
            model = self.bench.learner(clean).eval().model

            def classify(pictures: Tensor) -> Tensor:
                return model(pictures.to(device), OperatingPoint())[task]

            self._judges[clean] = self.pictures.judge(classify, *(labels[task] for _, labels in self.splits))
        return self._judges[clean]


def group_of(job: Job) -> tuple[str, ...]:
    """The tasks of a job that serves several."""
    return tuple(job.place["pair"].split("/"))


def _measurement(job: Job, accuracies: Iterable[float], uses: int, snr_db: float, **more: Any) -> Measurement:
    """Of all tasks of a job."""
    test = {task: {"accuracy": value} for task, value in zip(group_of(job), accuracies, strict=True)}
    return Measurement(test, {**job.place, "uses": uses, "total_uses": uses, "snr_db": snr_db}, **more)


def _first(source: Source, count: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The first samples of a split that have every label: pictures in 0 to 1, and task -> labels."""
    batch = first_samples(source, count)
    if not isinstance(batch.inputs, Tensor):
        raise UmbelError("the inputs are no pictures")
    whole = torch.stack([labels >= 0 for labels in batch.targets.values()]).all(0)
    return batch.inputs[whole], {name: labels[whole] for name, labels in batch.targets.items()}
