"""The digital chain of the study: the best coding at each SNR, ideal codes, one coding for all SNRs, and pictures.

It has no repeats: no seed changes anything in it.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from umbel.channels.digital import (
    FADINGS,
    CodedLink,
    CodedPictures,
    Coding,
    PictureJudge,
    PictureLink,
    RateTable,
    Received,
    SeparateChain,
    find_mcs,
    mean_colour,
    shipped_table,
    why_unusable,
)
from umbel.core import Batch, Learner, OperatingPoint, UmbelError
from umbel.data import first_samples
from umbel.descent import make_descent
from umbel.engine import decoded_predictions
from umbel.methods.multires_jscc import PICTURE
from umbel.nn import build_model
from umbel.recipes.multires_jscc.settings import COUNTS, FIXED_CHAIN, IDEAL, JOINT, MultiresSettings
from umbel.recipes.settings import names
from umbel.report import SampleSheet, draw_image_grid, psnr_captions
from umbel.study import Bench, Job, Measurement, Trained, Training

CLASSIFIER = "classifier"
"""The job that trains a classifier of clean pictures, for what the chain delivers."""
_CLIFF_STEP_DB = 0.25
_COLOUR_PICTURES = 2000


class DigitalChain:
    """Separate source and channel coding of the study's pictures: its jobs and what is measured in them.

    Args:
        bench: Of the study; it is told what is left out, and why.

    Raises:
        UmbelError: An unknown codec, or blocks are to be really decoded and the `[comms]` extra is missing.
    """

    def __init__(self, bench: Bench[MultiresSettings]) -> None:
        self.bench, self.settings = bench, bench.settings
        self.semantic = next((task for task in bench.data.tasks if task.kind == "classification"), None)
        self.classifier = Job(CLASSIFIER, 0) if self.semantic else None
        reasons = {name: why_unusable(name) for name in names(self.settings.codecs)}
        self.codecs = [name for name, why in reasons.items() if not why]
        bench.study.warnings += self._left_out(reasons)
        if self.codecs and self.settings.real_decoding:
            CodedLink("QPSK 1/2", uses=128)  # complains at once, and not when all networks are trained

    def _left_out(self, reasons: dict[str, str]) -> Iterator[str]:
        yield from (f"The digital chain with {name} was left out: {why}." for name, why in reasons.items() if why)
        for channel in self.settings.link.channel_names if self.codecs else ():
            if channel not in FADINGS:
                yield f"The digital chain knows no channel {channel}: awgn and rayleigh only."
        for uses in self.settings.totals if self.codecs else ():
            try:
                shipped_table().codes(uses)
            except UmbelError as error:
                yield f"The digital chain shows bounds only at {uses} uses: {error}."

    def jobs(self) -> list[Job]:
        """The classifier, then one job for each channel, layer and way to count bytes."""
        before = (self.classifier,) if self.classifier else ()
        channels = [name for name in self.settings.link.channel_names if name in FADINGS]
        places = itertools.product(channels, range(1, self.settings.layers + 1), COUNTS)
        links = [Job.at(arm, 0, *before, channel=channel, layer=layer) for channel, layer, arm in places]
        return [*before, *links] if self.codecs else []

    def make(self, job: Job) -> Training | Callable[[], PictureLink]:
        """How the classifier is trained; for the other jobs the link at the layer's channel uses."""
        if job.arm != CLASSIFIER:
            uses, whole = self.settings.totals[job.place["layer"] - 1], COUNTS[job.arm] == "whole file"
            return lambda: self.pictures.link(uses, whole)
        data = self.bench.data.only([self.semantic.name])
        learner = Learner(build_model(data.input_shape, data.tasks, "conv", seed=0), data.tasks)
        return Training(learner, make_descent("equal"), data)

    @cached_property
    def colour(self) -> Tensor:
        """Shown where a picture is lost."""
        return mean_colour(first_samples(self.bench.data.train, _COLOUR_PICTURES).inputs)

    @cached_property
    def _samples(self) -> list[Batch]:
        data, count = self.bench.data, self.settings.sscc_images
        return [first_samples(split, count) for split in (data.validation, data.test)]

    @cached_property
    def pictures(self) -> CodedPictures:
        """The first pictures of validation and test as files; encoded only where a job is not done yet."""
        validation, test = (batch.inputs for batch in self._samples)
        self.bench.study.reporter.say(f"encoding {len(validation) + len(test)} pictures with {', '.join(self.codecs)}")
        return CodedPictures(validation, test, self.colour, self.codecs)

    @cached_property
    def judges(self) -> list[PictureJudge]:
        """The classifier of clean pictures; none where there is no such task or labels are missing."""
        if self.classifier is None:
            return []
        name, device = self.semantic.name, self.bench.runtime.device
        labels = [batch.targets[name] for batch in self._samples]
        if any(bool((of_split < 0).any()) for of_split in labels):
            return []
        model = self.bench.learner(self.classifier).eval().model

        def ask(pictures: Tensor) -> Tensor:
            return model(pictures.to(device), OperatingPoint())[name]

        return [self.pictures.judge(ask, *labels)]

    # -- measurement ---------------------------------------------------------------------------------------------------

    def measure(self, trained: Trained) -> Iterator[Measurement]:
        """The envelope and the bounds at every test SNR; after the last layer also one coding at many SNRs."""
        if trained.job.arm == CLASSIFIER:
            return
        link, place, fading = trained.model, dict(trained.job.place), FADINGS[trained.job.place["channel"]]
        uses, snrs_db = self.settings.totals[place["layer"] - 1], self.settings.link.test_values
        place["uses"] = uses
        counted = {**place, "count": COUNTS[trained.job.arm]}
        for snr_db in snrs_db:
            for bound, arm in IDEAL.items():
                received = link.ideal(snr_db, bound, fading, self.judges)
                yield self._measurement(received, {**counted, "snr_db": snr_db}, arm=arm)
        if uses not in shipped_table().uses:
            return
        for snr_db in snrs_db:
            yield self._sent(link, link.best(snr_db, fading), fading, {**place, "snr_db": snr_db})
        if place["layer"] == self.settings.layers:
            fixed = link.best(self.settings.design_snr_db, fading)
            for snr_db in self._cliff_snrs_db():
                yield self._sent(link, fixed, fading, {**counted, "snr_db": snr_db}, arm=FIXED_CHAIN)

    def _cliff_snrs_db(self) -> list[float]:
        """From the lowest test SNR to 6 dB above the design in small steps, and wherever networks are measured."""
        settings = self.settings
        grid = {settings.design_snr_db + step * _CLIFF_STEP_DB for step in range(-80, 25)}
        lowest = min(settings.link.test_values)
        return sorted({*(s for s in grid if s >= lowest), *settings.link.test_values, *settings.around_design})

    def _sent(self, link: PictureLink, coding: Coding, fading: str | None, place: dict, arm: str = "") -> Measurement:
        """By the table of block errors, or really sent and decoded."""
        if self.settings.real_decoding:
            generator = torch.Generator().manual_seed(0)
            received = link.decoded(place["snr_db"], coding, fading, self.judges, generator)
        else:
            received = link.expected(place["snr_db"], coding, fading, self.judges)
        chosen = {"codec": coding.codec, "coding": coding.mcs.name}
        return self._measurement(received, place, settings=chosen, arm=arm)

    def _measurement(self, received: Received, place: dict, **more: Any) -> Measurement:
        metrics = {PICTURE: {"PSNR": received.psnr}}
        for accuracy in received.accuracies:
            metrics[self.semantic.name] = {self.semantic.main_metric: accuracy}
        return Measurement(metrics, place, **more)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def sheets(self) -> Iterator[SampleSheet]:
        """A sheet for each channel: the first test picture as the joint network of seed 0 and the chain show it."""
        bench, snrs_db = self.bench, self.settings.link.test_values
        batch = first_samples(bench.data.test, 1)
        for number, channel in enumerate(self.settings.link.channel_names, start=1):
            learner = bench.learner(Job.at(JOINT, 0, channel=channel))
            points = [OperatingPoint(snr_db=float(snr_db)) for snr_db in snrs_db]
            shown = [decoded_predictions(learner, batch, bench.runtime, point) for point in points]
            rows: list[tuple[str, Sequence[Any]]] = [("original", [batch.inputs[0]] * len(snrs_db))]
            for goal in (goal for goal in learner.model.goals if goal.task.name == PICTURE):
                uses = self.settings.totals[goal.stage - 1]
                rows.append((f"layer {goal.stage}, {uses} uses", [one[goal.name][0] for one in shown]))
            rows += self._digital_rows(channel, batch.inputs)
            path = bench.study.out / f"received-{number}.png"
            draw_image_grid(path, rows, [f"{snr_db:g} dB" for snr_db in snrs_db], captions=psnr_captions(rows))
            title = f"{channel}: one test picture as received, seed 0"
            alt = f"One picture as received over {channel} after each layer and by the digital chain, by SNR"
            yield SampleSheet(JOINT, path.name, title, alt)

    def _digital_rows(self, channel: str, picture: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """What the chain with all uses shows of one picture [1, C, H, W]; its blocks have the same luck everywhere."""
        luck = torch.rand((), generator=torch.Generator().manual_seed(0)).item()
        uses = self.settings.totals[-1]
        for arm, count in COUNTS.items():
            shown = []
            for snr_db in self.settings.link.test_values:
                chosen = self.bench.table.runs_of(arm, channel=channel, uses=uses, snr_db=snr_db)
                if 0 in chosen:
                    how = chosen[0].settings
                    chain = SeparateChain(RateTable(picture, how["codec"]), uses, self.colour, count == "whole file")
                    delivery = chain.delivery(snr_db, find_mcs(how["coding"]), FADINGS[channel])
                    shown.append(chain.shown(0, delivery, luck))
            if shown:
                yield f"digital, {uses} uses, {count}", shown
