"""What trained networks do on validation and test: curves over thresholds, chosen operating points, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from umbel.channels.digital import LabelGenie
from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data import Source, seeded
from umbel.engine import Predictions
from umbel.metrics import age_of_information, expected_calibration_error, fit_temperature, reliability
from umbel.recipes.communications.hearing import hear_split
from umbel.recipes.multi_round.arms import COST, ERROR, PREFIX, ROUNDS, Bench, Network
from umbel.transmission import (
    at_stop,
    choose_thresholds,
    confidence_of,
    delay_of,
    feedback_flips,
    independent_stop,
    stop_round,
    threshold_at_delay,
)

METRICS = (
    "accuracy",
    "delay",
    "escalated",
    "accuracy of stopped",
    "accuracy of escalated",
    "average age",
    "peak age",
    "ECE",
    "ECE calibrated",
)
"""All metrics of the study; delays and ages in channel uses, the others 0 to 1."""
BUDGET, MIDDLE, TARGET = "75 % of the uses", "middle delay", "1.5 points below"
"""Rules by which thresholds are chosen on validation; see `chosen_thresholds`."""
ALWAYS = "all rounds"
"""The rule without thresholds: every round is sent, whatever the receiver thinks."""
_GENIE_FADING = {"awgn": None, "rayleigh": "rayleigh"}
BUDGET_PART, POINTS_BELOW = 0.75, 0.015


@dataclass(frozen=True)
class Heard:
    """Predictions after every round, of samples with a label.

    Attributes:
        logits: [R, N, K].
        labels: [N].
        temperatures: One for each round; empty where confidence is taken as it is.
    """

    logits: Tensor
    labels: Tensor
    temperatures: Sequence[float] = ()

    @classmethod
    def of(cls, predictions: Predictions, temperatures: Sequence[float] = ()) -> "Heard":
        """From the predictions of a network whose tasks are its rounds, in order."""
        logits = torch.stack(list(predictions.raw.values()))
        labels = next(iter(predictions.targets.values()))
        known = labels >= 0
        if not known.any():
            raise UmbelError("no sample of a split has a label; the study cannot measure anything there")
        return cls(logits[:, known], labels[known], temperatures)

    @property
    def confidence(self) -> Tensor:
        """[R, N]."""
        return confidence_of(self.logits, self.temperatures or None)

    @property
    def correct(self) -> Tensor:
        """Whether each round's decision is right, bool [R, N]."""
        return self.logits.argmax(2) == self.labels

    def probabilities(self, stage: int, calibrated: bool) -> Tensor:
        """[N, K] of one round, from 0."""
        return (self.logits[stage].double() / (self.temperatures[stage] if calibrated else 1.0)).softmax(1)


@dataclass(frozen=True)
class Seen:
    """What rules need, computed once for a split: confidence and correctness, both [R, N]."""

    confidence: Tensor
    correct: Tensor

    def metrics(
        self,
        uses: Sequence[int],
        thresholds: float | Sequence[float],
        feedback_uses: float = 0.0,
        feedback_error: float = 0.0,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Metrics with these thresholds, and those of random escalation at the same mean delay."""
        rounds, samples = self.confidence.shape
        flips = feedback_flips(rounds, samples, feedback_error, seeded(0, 6)) if feedback_error else None
        stop = stop_round(self.confidence, thresholds, flips)
        delay = delay_of(stop, uses, feedback_uses)
        correct, drawn = at_stop(self.correct, stop).double(), independent_stop(self.correct, stop)
        shared = {"delay": float(delay.mean()), "escalated": float((stop > 1).double().mean())}
        parts = {"accuracy of stopped": stop == 1, "accuracy of escalated": stop > 1}
        own = {name: float(correct[part].mean()) for name, part in parts.items()}
        found = {"accuracy": float(correct.mean()), **shared, **own, **_ages(delay, correct)}
        return found, {"accuracy": float(drawn.mean()), **shared, **_ages(delay, drawn)}


def _ages(delay: Tensor, success: Tensor) -> dict[str, float]:
    age = age_of_information(delay, success)
    return {"average age": age.average, "peak age": age.peak}


def measure_single(bench: Bench, network: Network, learner: Learner) -> list[dict[str, Any]]:
    """Accuracy and age of one network of one round (of all its cuts, where it has them) at each SNR."""
    settings, link = bench.settings, bench.settings.link
    cuts = settings.singles if network.arm == PREFIX else [network.uses[0]]
    further = [{"uses": cut} for cut in cuts] if network.arm == PREFIX else [{}]
    points = [OperatingPoint(snr_db=snr_db, **more) for snr_db in link.test_values for more in further]
    places = [(snr_db, cut) for snr_db in link.test_values for cut in cuts]
    test, validation = (_heard(bench, network, learner, split, points) for split in ("test", "validation"))
    found = []
    for (snr_db, cut), on_test, on_validation in zip(places, test, validation, strict=True):
        values = [_sent(Heard.of(one), 0, cut) for one in (on_test, on_validation)]
        found.append({"snr_db": snr_db, "uses": cut, "test": values[0], "validation": values[1]})
    return found


def measure_genie(bench: Bench, network: Network) -> list[dict[str, Any]]:
    """Accuracy and age where the transmitter sends its label alone, by channel, SNR and uses.

    Only for AWGN and for Rayleigh fading with one fade for each label, where closed forms are known.
    """
    outcome, found = bench.outcomes[network], []
    right = outcome.test[bench.task.name]["accuracy"]
    for channel in (name for name in bench.settings.link.channel_names if name in _GENIE_FADING):
        for snr_db in bench.settings.link.test_values:
            for uses in bench.settings.singles:
                genie = LabelGenie(bench.task.outputs, uses)
                accuracy = genie.accuracy(right, snr_db, _GENIE_FADING[channel])
                ages = _ages(torch.tensor([float(uses)]), torch.tensor([accuracy]))
                test = {"accuracy": accuracy, "delay": float(uses), **ages}
                found.append({"channel": channel, "snr_db": snr_db, "uses": uses, "test": test})
    return found


def _sent(heard: Heard, stage: int, uses: int) -> dict[str, float]:
    """Metrics where so many uses are always sent."""
    correct = heard.correct[stage].double()
    found = {"ECE": expected_calibration_error(heard.probabilities(stage, False), heard.labels)}
    if heard.temperatures:
        found["ECE calibrated"] = expected_calibration_error(heard.probabilities(stage, True), heard.labels)
    delay = torch.full_like(correct, float(uses))
    return {"accuracy": float(correct.mean()), "delay": float(uses), **_ages(delay, correct), **found}


def measure_rounds(bench: Bench, network: Network, learner: Learner, single: dict[float, float]) -> dict[str, Any]:
    """Everything about a network of several rounds.

    Args:
        bench: The study.
        network: Which one.
        learner: With its best weights.
        single: SNR -> validation accuracy of the single-round network with all uses.
    """
    settings = bench.settings
    values = settings.link.test_values
    points = [OperatingPoint(snr_db=snr_db) for snr_db in values]
    test, validation = (_heard(bench, network, learner, split, points) for split in ("test", "validation"))
    temperatures = _temperatures(bench, network, learner, validation)
    found: dict[str, Any] = {"temperatures": temperatures, "tau": [], "rule": [], "round": [], "feedback": []}
    for snr_db, heat, on_test, on_validation in zip(values, temperatures, test, validation, strict=True):
        both = [Heard.of(one, heat) for one in (on_test, on_validation)]
        seen = [Seen(one.confidence, one.correct) for one in both]
        chosen = {tau: [tau] * (len(network.uses) - 1) for tau in settings.taus}
        wanted = single[snr_db] if network.arm == ROUNDS else None
        rules = chosen_thresholds(seen[1], network.uses, settings.total, settings.rounds[0], wanted)
        for kind, options in (("tau", chosen), ("rule", rules)):
            found[kind] += [_point(seen, network.uses, snr_db, kind, *option) for option in options.items()]
        for stage, delay in enumerate(_sums(network.uses)):
            on = [_sent(one, stage, delay) for one in both]
            found["round"].append({"snr_db": snr_db, "round": stage + 1, "test": on[0], "validation": on[1]})
        if snr_db == settings.middle_snr_db:
            found["reliability"] = [_reliability(both[0], stage) for stage in range(len(network.uses))]
            if network.arm == ROUNDS:
                found["feedback"] = _feedback(bench, seen, network.uses, snr_db)
    return found


def chosen_thresholds(
    seen: Seen, uses: Sequence[int], total: int, first: int, single: float | None
) -> dict[str, Sequence[float]]:
    """Thresholds chosen on validation, by the name of their rule.

    - "75 % of the uses": one threshold; the best accuracy with a mean delay of at most 75 % of all uses.
    - "middle delay": one threshold; a mean delay halfway between the first round's uses and all of them.
    - "1.5 points below": one for each round; the least delay with an accuracy of at most 1.5 points below that of
      the single-round network with all uses, where that is given.
    """
    both = seen.confidence, seen.correct, uses
    middle = threshold_at_delay(seen.confidence, uses, (first + total) / 2)
    found = {
        BUDGET: choose_thresholds(*both, most_delay=BUDGET_PART * total, per_round=False),
        MIDDLE: [middle] * (len(uses) - 1),
    }
    if single is not None:
        found[TARGET] = choose_thresholds(*both, least_accuracy=single - POINTS_BELOW)
    return found


def _point(seen, uses, snr_db: float, kind: str, name: float | str, thresholds: Sequence[float]) -> dict[str, Any]:
    (test, drawn), (validation, _) = (one.metrics(uses, thresholds) for one in seen)
    point = {"snr_db": snr_db, kind: name, "thresholds": list(thresholds)}
    return {**point, "test": test, "validation": validation, "random": drawn}


def _feedback(bench: Bench, seen, uses, snr_db: float) -> list[dict[str, Any]]:
    settings = bench.settings
    ways = {COST: {"feedback_uses": settings.feedback_uses}, ERROR: {"feedback_error": settings.feedback_error}}
    found = []
    for arm, way in ways.items():
        for tau in settings.taus:
            test, validation = (one.metrics(uses, tau, **way)[0] for one in seen)
            found.append({"arm": arm, "snr_db": snr_db, "tau": tau, "test": test, "validation": validation})
    return found


def _reliability(heard: Heard, stage: int) -> dict[str, list[float]]:
    """Confidence and accuracy in bins, before and after temperature scaling."""
    found: dict[str, list[float]] = {}
    for name, after in (("before", False), ("after", True)):
        curve = reliability(heard.probabilities(stage, after), heard.labels)
        found |= {
            f"{name} confidence": curve.confidence,
            f"{name} accuracy": curve.accuracy,
            f"{name} part": curve.part,
        }
    return found


def _temperatures(bench: Bench, network: Network, learner: Learner, validation: list[Predictions]) -> list[list[float]]:
    """For each test SNR a temperature for each round: the same over the training range, or the SNR's own."""
    if bench.settings.calibrate == "per-snr":
        return [_fitted([Heard.of(one)]) for one in validation]
    low, high = bench.settings.link.train_range
    places = sorted({low, low + (high - low) / 4, (low + high) / 2, high - (high - low) / 4, high})
    heard = _heard(bench, network, learner, "validation", [OperatingPoint(snr_db=snr_db) for snr_db in places])
    return [_fitted([Heard.of(one) for one in heard])] * len(validation)


def _fitted(heard: Sequence[Heard]) -> list[float]:
    logits, labels = torch.cat([one.logits for one in heard], dim=1), torch.cat([one.labels for one in heard])
    return [fit_temperature(stage, labels) for stage in logits]


def _heard(
    bench: Bench, network: Network, learner: Learner, split: str, points: Sequence[OperatingPoint]
) -> list[Predictions]:
    """Predictions of a split; validation has half as many draws, of other noise."""
    source: Source = getattr(bench.data, split)
    runtime = bench.study.runtime.with_settings(bench.fit.precision, 1)
    draws, seed = bench.settings.link.draws, 2 * network.seed
    if split == "validation":
        draws, seed = max(1, draws // 2), seed + 1
    return hear_split(learner, source, runtime, points, draws=draws, seed=seed)


def _sums(uses: Sequence[int]) -> list[int]:
    return [sum(uses[: stage + 1]) for stage in range(len(uses))]
