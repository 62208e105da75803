"""What is trained for each arm of the study, and what is measured of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from umbel.core import Batch, Learner
from umbel.data import TensorSource
from umbel.data.boxes.building import BOXES
from umbel.data.views import strong_view
from umbel.engine import evaluate, predict_split
from umbel.methods.source_free_target import divide
from umbel.metrics import recalls
from umbel.nn.detection import DetectionLearner, Detector, build_detector, reestimate_norms, variance_scores
from umbel.recipes.adapting.learner import Adaptation, adaptation, in_batches
from umbel.recipes.adapting.settings import AdaptationSettings
from umbel.recipes.boxes import operating_scores
from umbel.recipes.settings import options
from umbel.recipes.source_free_detection.settings import (
    FAST,
    FIXED,
    NORMS,
    ORACLE,
    PAPER,
    RANDOM,
    REVERSED,
    SLOW,
    SOURCE,
    SOURCE_FIT,
    UNALIGNED,
    SourceFreeSettings,
)
from umbel.recipes.source_free_detection.worlds import Worlds
from umbel.report import Profile
from umbel.study import Bench, Job, Measurement, Trained, Training

DETECTOR = "detector"
"""Jobs of source detectors, which are no row of the tables."""
CURVE, SPLIT = "curve", "split"
"""Names of profiles: what is seen at each validation; variance and recall of each picture of the target."""
WEATHER = "weather of "
"""Begin of the names of profiles with the variance and the strength of each picture."""
SCORES = ("sum", "mean", "per-object")
_MOVES = 120  # of the paper's teacher in its stage of alignment


class Networks:
    """Makes and measures the networks of the study.

    Args:
        settings: Of the study.
        worlds: Its pictures.

    Attributes:
        bench: Set by the study before anything is made.
    """

    bench: Bench[SourceFreeSettings]

    def __init__(self, settings: SourceFreeSettings, worlds: Worlds) -> None:
        self.settings, self.worlds = settings, worlds
        self.task = worlds.source.task(BOXES)

    # -- training ----------------------------------------------------------------------------------------------------

    def make(self, job: Job) -> Any:
        """How the network of a job comes to be: a training, or a function for what needs none."""
        if job.arm == DETECTOR:
            return self._source(job)
        start = job.needs[0]
        if job.arm == SOURCE:
            return lambda: self.bench.learner(start)
        if job.arm == NORMS:
            return lambda: self.with_norms(start)
        if job.arm == ORACLE:
            return self._oracle(start)
        return self._adapting(job, start)

    def _source(self, job: Job) -> Training:
        settings = self.settings
        detector = build_detector(
            settings.detector,
            self.task.labels,
            max(self.worlds.source.input_shape[1:]),
            seed=job.repeat,
            **options(settings.detector_options, "--detector-options"),
        )
        fit = SOURCE_FIT.replace(
            steps=settings.source_steps,
            validate_every=min(SOURCE_FIT.validate_every or 200, settings.source_steps),
            precision=self.bench.fit.precision,
            seed=job.repeat,
        )
        view = strong_view if settings.source_views else None
        return Training(DetectionLearner(detector, [self.task], view), data=self.worlds.source, fit=fit)

    def _oracle(self, start: Job) -> Training:
        """The source's detector, taught by the target's labels in the same way."""
        steps, learner = self.settings.oracle_steps, self.bench.learner(start)
        fit = SOURCE_FIT.replace(
            steps=steps,
            learning_rate=1e-3,
            validate_every=max(1, steps // 4),
            precision=self.bench.fit.precision,
            seed=start.repeat,
        )
        return Training(learner, data=self.worlds.target(start.repeat), fit=fit)

    def with_norms(self, start: Job) -> Learner:
        """The source's detector with batch norms' statistics of the target's pictures."""
        learner = self.bench.learner(start)
        reestimate_norms(learner.model, in_batches(self.worlds.pictures(start.repeat)))
        return learner

    def _adapting(self, job: Job, start: Job) -> Training:
        made = self.adaptation(job.arm, start)
        data = replace(self.worlds.adapting(job.repeat), train=made.pictures)
        return Training(made.learner, data=data)

    def adaptation(self, arm: str, start: Job) -> Adaptation:
        """The learner of an arm and its pictures, as the settings and the source's detector say.

        Before there is such a detector (everything is built once to be checked) thresholds and split are made up.
        """
        known = start in self.bench.outcomes
        pictures = self.worlds.pictures(start.repeat)
        similar = self._similar(arm, start, pictures) if known else torch.arange(len(pictures)) % 2 == 0
        thresholds = self.thresholds(start) if known else (0.5,)
        chosen = self.settings_of(arm)
        return adaptation(
            self.bench.learner(start).model,
            self.task,
            pictures,
            chosen,
            thresholds,
            self.bench.fit.steps or 1,
            start.repeat,
            similar if chosen.align else None,
            answer="student" if arm == FIXED else "teacher",
        )

    def settings_of(self, arm: str) -> AdaptationSettings:
        """How an arm differs from the settings of the study."""
        usual, steps = self.settings.adaptation, self.settings.fit.steps or 1
        plain = replace(usual, align=0.0, simulate=0.0)
        moves = max(1, round((1 - usual.simulate) * steps / _MOVES))
        return {
            FIXED: replace(plain, decay=1.0),
            FAST: replace(plain, decay=self.settings.fast_decay),
            SLOW: plain,
            UNALIGNED: replace(usual, align=0.0),
            PAPER: replace(
                usual,
                norms=False,
                threshold="0.8",
                least=1.0,
                most_per_class=10,
                decay=0.99,
                every=moves,
                share=0.2,
                taught="similar",
                variance="sum",
                align=1.0,
            ),
        }.get(arm, usual)

    def _similar(self, arm: str, start: Job, pictures: Batch) -> Tensor:
        """Which pictures count as similar to the source."""
        share = self.settings_of(arm).share
        if arm == RANDOM:
            return divide(torch.rand(len(pictures), generator=torch.Generator().manual_seed(start.repeat)), share)
        variances = torch.tensor(self.variances(start)[self.settings_of(arm).variance])
        return divide(-variances if arm == REVERSED else variances, share)

    # -- what the source's detector says ---------------------------------------------------------------------------

    def thresholds(self, start: Job, learner: DetectionLearner | None = None) -> tuple[float, ...]:
        """The detector's own, from its validation on the source; kept with the study.

        Args:
            start: The job of the detector.
            learner: Its network, where it was trained just now and the bench does not know it yet.
        """

        def measure() -> tuple[float, ...]:
            detecting = learner or self.bench.learner(start)
            scores = operating_scores(detecting, self.worlds.source.validation, self.bench.runtime)
            return tuple(one.threshold for one in scores)

        return self.bench.study.measured(start.key, "thresholds", tuple[float, ...], measure)

    def variances(self, start: Job, learner: DetectionLearner | None = None) -> dict[str, tuple[float, ...]]:
        """Of the target's pictures of this repeat, by each way to make a picture's number; as `thresholds`."""

        def measure() -> dict[str, tuple[float, ...]]:
            detecting = learner or self.bench.learner(start)
            return self._scores(detecting.model, self.worlds.pictures(start.repeat), start.repeat)

        return self.bench.study.measured(start.key, "variances", dict[str, tuple[float, ...]], measure)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def measure(self, trained: Trained) -> Iterator[Measurement | Profile]:
        """Average precisions on the fold that nobody learnt from, and what was seen on the way."""
        job = trained.job
        if job.arm == DETECTOR:
            yield from self._of_source(trained)
            return
        learner, fold = trained.model, job.repeat
        test = evaluate(learner, self.worlds.target(fold).test, trained.runtime).metrics
        seen = evaluate(learner, TensorSource(self.worlds.pictures(fold)), trained.runtime).metrics
        yield Measurement(test, {"pictures": "test fold"})
        yield Measurement(seen, {"pictures": "adapted to"})
        if job.arm == SOURCE:
            own = evaluate(learner, self.worlds.source.test, trained.runtime).metrics
            yield Measurement(own, {"pictures": "source"})
        if trained.outcome is not None and job.arm != ORACLE:
            yield self._curve(job)

    def _curve(self, job: Job) -> Profile:
        """mAP50 (of labels that chose nothing) and the signal that chose, at every validation."""
        rows = self.bench.study.log(job.key, "validation")
        kept = {"step": "step", "mAP50": f"{BOXES}/mAP50", "stability": "stability"}
        columns = {name: tuple(row.get(column, float("nan")) for row in rows) for name, column in kept.items()}
        return Profile(job.arm, CURVE, columns, job.repeat)

    def _of_source(self, trained: Trained) -> Iterator[Profile]:
        """What the variance says of the target's pictures, and of weather of known strength."""
        job, detector = trained.job, trained.model.model
        said = predict_split(trained.model, TensorSource(self.worlds.pictures(job.repeat)), trained.runtime)
        recall = recalls(said.raw[BOXES], said.targets[BOXES], self.thresholds(job, trained.model))
        scores = self.variances(job, trained.model)
        yield Profile(SOURCE, SPLIT, {**scores, "recall": tuple(recall.tolist())}, job.repeat)
        for kind, batch, strength in self.worlds.weather():
            columns = self._scores(detector, batch, job.repeat)
            yield Profile(SOURCE, WEATHER + kind, {**columns, "strength": tuple(strength.tolist())}, job.repeat)

    def _scores(self, detector: Detector, batch: Batch, seed: int) -> dict[str, tuple[float, ...]]:
        passes = self.settings.adaptation.passes
        return {
            name: tuple(variance_scores(detector, in_batches(batch), passes, name, seed).tolist()) for name in SCORES
        }
