"""The multi-round study: which networks are trained, all with the same encoder and steps, and what is measured of them.

Thresholds and temperatures are chosen on validation; `findings` says what came of it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from umbel.channels import Truncate, parse_channel
from umbel.channels.digital import FADINGS, LabelGenie
from umbel.core import Learner, OperatingPoint
from umbel.data import MultiTaskData, seeded
from umbel.engine import Predictions, evaluate
from umbel.methods.multi_round import check_classification, multi_round
from umbel.methods.multi_round_ablations import CutModel, PrefixLearner
from umbel.recipes.build import open_data, with_options
from umbel.recipes.communications.clean import clean_classifier
from umbel.recipes.communications.predictions import predict_over_points
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.report import Profile, Results, TaskInfo
from umbel.study import Arm, Bench, Job, Measurement, Study, Table, Trained, Training
from umbel.transmission import (
    Goal,
    RoundPredictions,
    Stage,
    StagedLearner,
    ages,
    build_transmission,
    choose_thresholds,
    fit_temperatures,
    threshold_at_delay,
)

ROUNDS, LATEST, REPEAT, SINGLE, PREFIX = "multi-round", "no-combine", "repetition", "single-round", "prefix"
GENIE, RANDOM, COST, ERROR = "label-genie", "random", "feedback-cost", "feedback-error"
METRICS = ("accuracy", "delay", "escalated", "accuracy of stopped", "accuracy of escalated")
METRICS += ("average age", "peak age", "ECE", "ECE calibrated")
"""All metrics of the study; delays and ages in channel uses, the others 0 to 1."""
BUDGET, MIDDLE, TARGET = "75 % of the uses", "middle delay", "1.5 points below"
"""Rules by which thresholds are chosen on validation; see `chosen_thresholds`."""
ALWAYS = "all rounds"
"""The rule without thresholds: every round is sent, whatever the receiver thinks."""
BUDGET_PART, POINTS_BELOW = 0.75, 0.015


def arms(settings: MultiRoundSettings) -> list[Arm]:
    """The arms, in the order of the tables."""
    cost, error = f"{settings.feedback_uses:g}", f"probability {settings.feedback_error:g}"
    genie = "the transmitter classifies and sends its label alone, by the best of several textbook signal sets"
    random = "the multi-round network; as many samples as there end after each round, but any"
    return [
        Arm(ROUNDS, "Multi-round", "rounds until the receiver is sure; every decoder reads all rounds so far"),
        Arm(LATEST, "No combining", "the same rounds, but a decoder reads the latest alone"),
        Arm(REPEAT, "Repetition", "the first round's latent again and again, combined by maximum ratio"),
        Arm(SINGLE, "Single round", "a network of its own for each number of uses, all sent at once"),
        Arm(PREFIX, "Cut latent", "one latent of all uses, of which the first ones are sent; trained with random cuts"),
        Arm(GENIE, "Label genie", genie),
        Arm(RANDOM, "Random escalation", random, of=ROUNDS),
        Arm(COST, "Feedback with cost", f"multi-round, where feedback takes channel uses ({cost} a message)", ROUNDS),
        Arm(ERROR, "Feedback with errors", f"multi-round, where messages arrive wrong now and then ({error})", ROUNDS),
    ]


def multi_round_study(settings: MultiRoundSettings, study: Study) -> Results:
    """Run the study.

    Raises:
        UmbelError: A task that is no classification, an unknown channel or descent, ...; before anything is trained.
    """
    data = open_data(settings.data, say=study.reporter.say)
    check_classification(data.tasks[0])
    data = data.only([data.tasks[0].name])
    bench = Bench(study, settings, settings.fit, data, settings.descent)
    bench.run(list(jobs(settings)), lambda job: Training(make_learner(settings, data, job)), _Measure(bench))
    task, rounds = data.tasks[0], "+".join(map(str, settings.rounds))
    return bench.results(
        "multi_round",
        f"Rounds until the receiver is sure: {rounds} channel uses, {task.name} of {data.title}",
        arms(settings),
        tasks=[TaskInfo(task.name, task.kind, "accuracy", True, "", tuple(task.labels), METRICS)],
        counted=lambda job: job.place.get("channel") in (None, settings.link.channel_names[0]),
        headline=tuple(_headline(settings)),
        warnings=_warnings(settings),
    )


def jobs(settings: MultiRoundSettings) -> Iterator[Job]:
    """All networks; those of one seed and channel together, single rounds first, because others look at them."""
    for seed in range(settings.seeds):
        yield Job(GENIE, seed)
        for channel in settings.link.channel_names:
            singles = {uses: Job.at(SINGLE, seed, channel=channel, uses=uses) for uses in settings.singles}
            yield from singles.values()
            for arm in (ROUNDS, LATEST, REPEAT):
                yield Job.at(arm, seed, singles[settings.total], channel=channel)
            yield Job.at(PREFIX, seed, channel=channel)


def make_learner(settings: MultiRoundSettings, data: MultiTaskData, job: Job) -> Learner:
    """A fresh network. The same seed gives the same encoder to every arm.

    Raises:
        UmbelError: Encoder, its options or the channel cannot be had.
    """
    return with_options(settings.encoder_options, lambda **options: _learner(settings, data, job, options))


def _learner(settings: MultiRoundSettings, data: MultiTaskData, job: Job, options: dict[str, Any]) -> Learner:
    shape, task, encoder = data.input_shape, data.tasks[0], settings.encoder or None
    if job.arm == GENIE:
        return clean_classifier(shape, task, encoder, seed=job.repeat, **options)
    channel, snr_db = parse_channel(job.place["channel"]), settings.link.train_range
    about = {"encoder": encoder, "seed": job.repeat, "coherence": settings.coherence, **options}
    if job.arm in (ROUNDS, LATEST, REPEAT):
        combine = {LATEST: "latest", REPEAT: "maximum-ratio"}.get(job.arm, "concatenate")
        return multi_round(shape, task, uses_of(settings, job.arm), channel, snr_db, combine=combine, **about)
    uses = [Stage(job.place.get("uses", settings.total))]
    if job.arm == SINGLE:
        return StagedLearner(build_transmission(shape, uses, [Goal(task)], channel, **about), snr_db)
    whole = build_transmission(shape, uses, [Goal(task)], Truncate(channel), **about)
    cut = CutModel(whole.encoder, list(whole.codes), whole.stages, list(whole.receivers))
    return PrefixLearner(cut, snr_db, settings.singles)


def uses_of(settings: MultiRoundSettings, arm: str) -> list[int]:
    """New channel uses of each round of an arm with rounds."""
    first = settings.rounds[0]
    return [first] * (settings.total // first) if arm == REPEAT else settings.rounds


class _Measure:
    """What is measured of each network, at every test SNR."""

    def __init__(self, bench: Bench[MultiRoundSettings]) -> None:
        self.bench, self.settings, self.snrs_db = bench, bench.settings, bench.settings.link.test_values

    def __call__(self, trained: Trained) -> Iterator[Measurement | Profile]:
        arm = trained.job.arm
        measure = {GENIE: self._genie, SINGLE: self._single, PREFIX: self._single}.get(arm, self._rounds)
        return measure(trained)

    def _measurement(self, test: dict, point: dict, validation: dict | None = None, **more: Any) -> Measurement:
        """Of the one task."""
        name = self.bench.data.tasks[0].name
        return Measurement({name: test}, point, {name: validation} if validation else {}, **more)

    def _predictions(self, trained: Trained, split: str, points: Sequence[OperatingPoint]) -> list[Predictions]:
        """Of a split; validation has half as many draws, of other noise."""
        draws, seed = self.settings.link.draws, 2 * trained.job.repeat
        if split == "validation":
            draws, seed = max(1, draws // 2), seed + 1
        source = getattr(trained.data, split)
        return predict_over_points(trained.model, source, trained.runtime, points, draws=draws, seed=seed)

    def _single(self, trained: Trained) -> Iterator[Measurement]:
        """Accuracy and age of one network of one round, or of all its cuts."""
        cuts = self.settings.singles if trained.job.arm == PREFIX else [trained.job.place["uses"]]
        places = [{"snr_db": snr_db, "uses": cut} for snr_db in self.snrs_db for cut in cuts]
        kept = ("snr_db", "uses") if trained.job.arm == PREFIX else ("snr_db",)
        points = [OperatingPoint({name: place[name] for name in kept}) for place in places]
        splits = [self._predictions(trained, split, points) for split in ("test", "validation")]
        for place, *both in zip(places, *splits, strict=True):
            test, validation = (RoundPredictions.of(one.raw, one.targets).always(0, place["uses"]) for one in both)
            yield self._measurement(test, {"channel": trained.job.place["channel"], **place}, validation)

    def _genie(self, trained: Trained) -> Iterator[Measurement]:
        """Accuracy and age where the transmitter sends its label alone.

        Only for AWGN and for Rayleigh fading with one fade for each label, where closed forms are known.
        """
        task = trained.data.tasks[0]
        right = evaluate(trained.model, trained.data.test, trained.runtime).metrics[task.name]["accuracy"]
        for channel in (name for name in self.settings.link.channel_names if name in FADINGS):
            for snr_db in self.snrs_db:
                for uses in self.settings.singles:
                    accuracy = LabelGenie(task.outputs, uses).accuracy(right, snr_db, FADINGS[channel])
                    age = ages(torch.tensor([float(uses)]), torch.tensor([accuracy]))
                    place = {"channel": channel, "snr_db": snr_db, "uses": uses}
                    yield self._measurement({"accuracy": accuracy, "delay": float(uses), **age}, place)

    def _rounds(self, trained: Trained) -> Iterator[Measurement | Profile]:
        """Curves over thresholds, chosen rules, every round always sent, feedback that costs, reliability."""
        points = [OperatingPoint(snr_db=snr_db) for snr_db in self.snrs_db]
        splits = [self._predictions(trained, split, points) for split in ("test", "validation")]
        temperatures = self._temperatures(trained, splits[1])
        for snr_db, heat, *both in zip(self.snrs_db, temperatures, *splits, strict=True):
            test, validation = (RoundPredictions.of(one.raw, one.targets, heat) for one in both)
            yield from self._at(trained, {"channel": trained.job.place["channel"], "snr_db": snr_db}, test, validation)

    def _at(
        self, trained: Trained, place: dict, test: RoundPredictions, validation: RoundPredictions
    ) -> Iterator[Measurement | Profile]:
        """The multi-round network also stands for random escalation and for what feedback costs.

        Curves over thresholds at other than the middle SNR are those of multi-round alone.
        """
        settings, arm, uses = self.settings, trained.job.arm, uses_of(self.settings, trained.job.arm)
        middle = place["snr_db"] == settings.middle_snr_db
        ways = [("tau", tau, [tau] * (len(uses) - 1)) for tau in settings.taus if middle or arm == ROUNDS]
        single = self._single_accuracy(trained.job, place) if arm == ROUNDS else None
        ways += [("rule", *way) for way in chosen_thresholds(validation, uses, settings, single).items()]
        for kind, name, thresholds in ways:
            own, drawn = test.stopped(uses, thresholds)
            point, chosen = {**place, kind: name}, {"thresholds": list(thresholds)}
            yield self._measurement(own, point, validation.stopped(uses, thresholds)[0], settings=chosen)
            if arm == ROUNDS and (kind == "rule" or middle):
                yield self._measurement(drawn, point, settings=chosen, arm=RANDOM)
        for stage in range(len(uses)):
            sent = [one.always(stage, sum(uses[: stage + 1])) for one in (test, validation)]
            yield self._measurement(sent[0], {**place, "round": stage + 1}, sent[1])
        yield self._measurement(sent[0], {**place, "rule": ALWAYS}, sent[1])
        if arm == ROUNDS and middle:
            yield from self._feedback(place, test, validation, uses)
            for stage in range(len(uses)):
                for when, calibrated in (("before", False), ("after", True)):
                    name, bins = reliability_name(stage + 1, when), test.reliability(stage, calibrated)
                    yield Profile(arm, name, bins, trained.job.repeat, place)

    def _feedback(
        self, place: dict, test: RoundPredictions, validation: RoundPredictions, uses: list[int]
    ) -> Iterator[Measurement]:
        settings = self.settings
        ways = {COST: {"feedback_uses": settings.feedback_uses}, ERROR: {"feedback_error": settings.feedback_error}}
        for arm, way in ways.items():
            for tau in settings.taus:
                both = [one.stopped(uses, tau, **way, generator=seeded(0, 6))[0] for one in (test, validation)]
                yield self._measurement(both[0], {**place, "tau": tau}, both[1], arm=arm)

    def _single_accuracy(self, job: Job, place: dict) -> float:
        """On validation, of the single-round network with all uses."""
        table = Table(self.bench.runs).at(**place, uses=self.settings.total)
        return table(SINGLE, "accuracy", "validation")[job.repeat]

    def _temperatures(self, trained: Trained, validation: list[Predictions]) -> list[list[float]]:
        """For each test SNR a temperature for each round: the same over the training range, or the SNR's own."""
        if self.settings.calibrate == "per-snr":
            return [fit_temperatures([RoundPredictions.of(one.raw, one.targets)]) for one in validation]
        low, high = self.settings.link.train_range
        places = sorted({low, low + (high - low) / 4, (low + high) / 2, high - (high - low) / 4, high})
        over_range = self._predictions(trained, "validation", [OperatingPoint(snr_db=snr_db) for snr_db in places])
        return [fit_temperatures([RoundPredictions.of(one.raw, one.targets) for one in over_range])] * len(validation)


def chosen_thresholds(
    validation: RoundPredictions, uses: Sequence[int], settings: MultiRoundSettings, single: float | None
) -> dict[str, Sequence[float]]:
    """Thresholds chosen on validation, by the name of their rule.

    - "75 % of the uses": one threshold; the best accuracy with a mean delay of at most 75 % of all uses.
    - "middle delay": one threshold; a mean delay halfway between the first round's uses and all of them.
    - "1.5 points below": one for each round; the least delay with an accuracy of at most 1.5 points below that of
      the single-round network with all uses, where that is given.
    """
    known = validation.confidence, validation.correct, uses
    middle = threshold_at_delay(validation.confidence, uses, (settings.rounds[0] + settings.total) / 2)
    rules = {
        BUDGET: choose_thresholds(*known, most_delay=BUDGET_PART * settings.total, per_round=False),
        MIDDLE: [middle] * (len(uses) - 1),
    }
    if single is not None:
        rules[TARGET] = choose_thresholds(*known, least_accuracy=single - POINTS_BELOW)
    return rules


def reliability_name(number: int, when: str) -> str:
    """Name of the profile of a round's reliability, "before" or "after" scaling."""
    return f"reliability of round {number}, {when} scaling"


def _headline(settings: MultiRoundSettings) -> Iterator[dict[str, Any]]:
    """The middle SNR: chosen thresholds, every round always sent, single rounds of the first and of all uses."""
    at = {"snr_db": settings.middle_snr_db}
    yield from ({**at, "rule": rule} for rule in (MIDDLE, BUDGET, ALWAYS))
    yield from ({**at, "uses": uses} for uses in (settings.rounds[0], settings.total))


def _warnings(settings: MultiRoundSettings) -> Iterator[str]:
    if settings.coherence == "stage" and any("awgn" not in name for name in settings.link.channel_names):
        yield (
            "Each round has a fade of its own, while a single round has one fade for all its uses: on fading channels "
            "part of the gain is diversity in time. With --coherence picture all rounds of a picture share one fade."
        )
