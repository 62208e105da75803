"""What the study claims, with its bars, and what came of it in plain sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from umbel.recipes.communications.words import points
from umbel.recipes.multi_receiver.arms import EACH, JOINT, REUSED, SAME, UNEQUAL, WEIGHTS, Group
from umbel.recipes.multi_receiver.digital import CLEAN, FREE, GENIE, WHOLE
from umbel.recipes.multi_receiver.reading import MEAN, BySeed, Reader, mean_of, paired, uses_to
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.report import Claim, Estimate, Run

FEW = 8
"""Channel uses that count as few."""
_TARGET = 0.95


@dataclass(frozen=True)
class Questions:
    """What is asked of the runs.

    Attributes:
        groups: Tasks that share a transmission.
        channels: As they are written.
        settings: Of the study.
        snr_db: Where claims are read.
    """

    groups: Sequence[Group]
    channels: Sequence[str]
    settings: MultiReceiverSettings
    snr_db: float

    @property
    def uses(self) -> list[int]:
        """Of the shared transmission, rising."""
        return self.settings.use_values


@dataclass
class Case:
    """One group over one channel.

    Attributes:
        questions: Of the study.
        reader: Of the runs.
        group: The tasks.
        channel: The channel.
    """

    questions: Questions
    reader: Reader
    group: Group
    channel: str

    @property
    def name(self) -> str:
        """For claims and sentences."""
        return f"{self.group.name} over {self.channel}"

    def at(self, arm: str, uses: int, task: str = MEAN, **more: object) -> BySeed:
        """Seed -> accuracy in percent at the SNR of the claims."""
        point = {"pair": self.group.name, "channel": self.channel, "uses": uses, "snr_db": self.questions.snr_db}
        return self.reader.accuracy(arm, task, **{**point, **more})

    def gain(self, other: str, uses: Sequence[int], task: str = MEAN) -> Estimate:
        """Shared minus another arm in points, mean over these uses."""
        return paired(
            mean_of([self.at(JOINT, n, task) for n in uses]), mean_of([self.at(other, n, task) for n in uses])
        )

    def target(self) -> float:
        """Accuracy to reach, in percent: a part of the best of n uses each, on validation."""
        point = {"pair": self.group.name, "channel": self.channel, "snr_db": self.questions.snr_db}
        found = [self.reader.validation(EACH, **point, uses=n) for n in self.questions.uses]
        return _TARGET * max(sum(values.values()) / len(values) for values in found)

    def single_curve(self) -> dict[int, BySeed]:
        """Uses in all -> mean accuracy of the single-task networks."""
        count = len(self.group.tasks)
        curve = {n: self.at(SAME, n) for n in self.questions.uses}
        return dict(sorted({**curve, **{n * count: self.at(EACH, n) for n in self.questions.uses}}.items()))

    def saving(self) -> tuple[Estimate, str]:
        """Uses saved on the way to the target, percent by seed; or nothing and the reason.

        Where the fewest shared uses are already beyond the target, a seed's saving is counted from these: at least
        so much is saved.
        """
        target, single = self.target(), self.single_curve()
        joint = {n: self.at(JOINT, n) for n in self.questions.uses}
        least, saved = self.questions.uses[0], []
        for seed, first in joint[least].items():
            shared, alone = (uses_to(target, list(c), [v[seed] for v in c.values()]) for c in (joint, single))
            if first >= target:
                shared = least
            if single[min(single)][seed] >= target:
                return Estimate(), f"{min(single)} uses suffice for the target of {target:.1f} % without sharing"
            if not (math.isfinite(shared) and math.isfinite(alone)):
                return Estimate(), f"the target of {target:.1f} % is outside what was measured"
            saved.append(100 * (1 - shared / alone))
        return Estimate.of(saved), ""


def cases(runs: Sequence[Run], questions: Questions) -> list[Case]:
    """Every group over every channel."""
    reader = Reader(runs)
    return [Case(questions, reader, group, channel) for group in questions.groups for channel in questions.channels]


def claims(runs: Sequence[Run], questions: Questions) -> list[Claim]:
    """What the study set out to test, for every group and channel; read at the middle SNR of the test split."""
    found: list[Claim] = []
    for case in cases(runs, questions):
        found += [_same_total(case), _worst_task(case), _near_each(case), _saving(case)]
        if case.channel == questions.channels[0] and len(questions.settings.weight_values) > 1:
            found.append(_monotone(case))
        if case.at(GENIE, questions.uses[0]):
            found.append(_over_genie(case))
    return found


def _claim(name: str, case: Case, text: str, gain: Estimate, bar: float, unit: str = "points") -> Claim:
    name = f"{name}: {case.name}"
    return Claim.measured(name, f"{case.name}: {text}", gain.mean, bar, ">=", gain.half_width, unit)


def _few(case: Case) -> list[int]:
    return [n for n in case.questions.uses if n <= FEW] or case.questions.uses[:1]


def _listed(values: Sequence[int]) -> str:
    return "/".join(map(str, values))


def _same_total(case: Case) -> Claim:
    few = _few(case)
    text = f"shared beats single-task networks of the same total in mean accuracy, mean over {_listed(few)} uses"
    return _claim("same-total", case, text, case.gain(SAME, few), 2.0)


def _worst_task(case: Case) -> Claim:
    every = [(case.gain(SAME, [n], task), task, n) for n in case.questions.uses for task in case.group.names]
    worst, task, uses = min(every, key=lambda entry: entry[0].mean)
    text = f"shared is never far below the same total on any task (worst: {task} at {uses} uses)"
    return _claim("worst-task", case, text, worst, -1.5)


def _near_each(case: Case) -> Claim:
    count, uses = len(case.group.tasks), case.questions.uses
    text = f"shared is within 3 points of n uses each, with 1/{count} of the uses, mean over {_listed(uses)} uses"
    return _claim("near-n-each", case, text, case.gain(EACH, uses), -3.0)


def _saving(case: Case) -> Claim:
    saved, reason = case.saving()
    text = f"shared saves uses on the way to {case.target():.1f} % (95 % of the best of n each on validation)"
    if reason:
        return Claim.not_measured(f"saving: {case.name}", f"{case.name}: {text}", 30.0, reason=reason, unit="%")
    return _claim("saving", case, text, saved, 30.0, "%")


def _monotone(case: Case) -> Claim:
    """The largest step against the direction that lies outside its interval, as a negative number; 0: none does."""
    weights, uses = case.questions.settings.weight_values, case.questions.settings.sweep_uses
    name, text = f"weights: {case.name}", f"{case.name}: accuracy follows the weight, within intervals ({uses} uses)"
    first, steps = case.group.names[0], []
    for low, high in pairwise(weights):
        for task in case.group.names:
            ends = [case.at(WEIGHTS, uses, task, weight=weight) for weight in (low, high)]
            step = paired(ends[1], ends[0]) if task == first else paired(ends[0], ends[1])
            steps.append(step.mean + step.half_width)
    if any(math.isnan(step) for step in steps):
        return Claim.not_measured(name, text, 0.0, reason="one seed has no interval", unit="points")
    return Claim.measured(name, text, min(0.0, *steps), 0.0, ">=", unit="points")


def _over_genie(case: Case) -> Claim:
    text = f"shared is not below labels sent digitally at their best, mean over {_listed(case.questions.uses)} uses"
    return _claim("labels", case, text, case.gain(GENIE, case.questions.uses), 0.0)


def verdict(runs: Sequence[Run], questions: Questions) -> list[str]:
    """Sentences, the most important first."""
    found: list[str] = []
    for case in cases(runs, questions):
        found.append(_shared(case))
        found.append(_others(case))
    return found


def _shared(case: Case) -> str:
    steps = [f"{points(case.gain(SAME, [n]))} at {n}" for n in case.questions.uses]
    each = case.gain(EACH, case.questions.uses)
    saved, reason = case.saving()
    uses = f"it saves {_number(saved)} % of the uses to {case.target():.1f} %" if not reason else f"savings: {reason}"
    return (
        f"{case.name}, {case.questions.snr_db:g} dB: against single-task networks of the same total, sharing changes "
        f"mean accuracy by {', '.join(steps)} uses; against n uses each by {points(each)} on average; {uses}."
    )


def _others(case: Case) -> str:
    uses, settings = case.questions.settings.sweep_uses, case.questions.settings
    parts = [f"shared {_mean(case.at(JOINT, uses))}"]
    for arm, text in ((REUSED, "a transmitter made for another task"), (GENIE, "digital labels")):
        if values := case.at(arm, uses):
            parts.append(f"{text} {_mean(values)}")
    for arm, text in ((WHOLE, "whole file"), (FREE, "header-free")):
        if values := case.at(arm, settings.digital_values[-1]):
            parts.append(f"the coded picture in {settings.digital_values[-1]} uses ({text}) {_mean(values)}")
    if clean := case.reader.accuracy(CLEAN, pair=case.group.name, channel="none"):
        parts.append(f"the clean picture {_mean(clean)}")
    sentence = f"{case.name}, {uses} uses, mean accuracy: {'; '.join(parts)}."
    return sentence + _unequal(case)


def _unequal(case: Case) -> str:
    values = case.questions.settings.unequal_values
    if not values:
        return ""
    snr = {name: values[1] if index else values[0] for index, name in enumerate(case.group.names)}
    uses = case.questions.settings.sweep_uses
    gain = paired(case.at(UNEQUAL, uses, snr_db=snr), case.at(JOINT, uses, snr_db=snr))
    listed = ", ".join(f"{name} {value:g} dB" for name, value in snr.items())
    return f" At unequal SNRs ({listed}) a network trained for them changes it by {points(gain)}."


def _number(estimate: Estimate) -> str:
    interval = f" ± {estimate.half_width:.0f}" if estimate.has_interval else ""
    return f"{estimate.mean:.0f}{interval}"


def _mean(values: BySeed) -> str:
    return f"{sum(values.values()) / len(values):.1f} %"
