"""What came of the study of several receivers: claims, charts and sentences from its runs, read at the middle SNR."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from umbel.recipes.multi_receiver.digital import CLEAN, FREE, GENIE, WHOLE
from umbel.recipes.multi_receiver.settings import MultiReceiverSettings
from umbel.recipes.multi_receiver.study import EACH, GUESSES, JOINT, REUSED, SAME, UNEQUAL, WEIGHTS
from umbel.report import Chart, Claim, Results, Series
from umbel.study import Findings, Table, Values, average, chart, claim, line, settings_of

FEW = 8
"""Channel uses that count as few."""
_TARGET = 0.95


def findings(results: Results) -> Findings:
    """All that follows from the runs and from how well labels tell each other."""
    settings, table = settings_of(results, MultiReceiverSettings), Table(results.runs)
    groups, channels = settings.groups, settings.link.channel_names
    cases = [_Case(settings, table, group, channel) for group in groups for channel in channels]
    said = [sentence for case in cases for sentence in (case.shared(), case.others())]
    told = [_told(group, row) for group, rows in results.facts[GUESSES].items() for row in rows]
    return Findings(
        claims=tuple(one for case in cases for one in case.claims()),
        charts=tuple(one for case in cases for one in case.charts()),
        verdict=(*said, *told),
    )


def _told(group: str, row: Mapping[str, float]) -> str:
    """Whether one label of a group determines another."""
    if row["right"] == 1:
        return f"{group} is nested: {row['known']} determines {row['wanted']}."
    return (
        f"{group}: {row['known']} does not determine {row['wanted']} (the best guess from it is right for "
        f"{row['right']:.1%}, without it for {row['right without']:.1%})."
    )


def uses_to(target: float, curve: Sequence[tuple[int, float]]) -> float:
    """Channel uses at which a curve first reaches a target, between measured points linear in log2 of the uses.

    NaN where it does not, and where it is already there at the first point: then all that is known is a bound.

    Args:
        target: In the unit of the curve.
        curve: Uses and what is reached with them, uses rising.
    """
    for (low, before), (high, after) in pairwise(curve):
        if before < target <= after:
            part = (target - before) / (after - before)
            return 2 ** (math.log2(low) + part * (math.log2(high) - math.log2(low)))
    return math.nan


class _Case:
    """What is said about one group of tasks over one channel; accuracies are in percent."""

    def __init__(self, settings: MultiReceiverSettings, table: Table, group: Sequence[str], channel: str) -> None:
        self.settings, self.group, self.uses = settings, group, settings.use_values
        self.pair, self.swept, snr_db = "/".join(group), channel == settings.swept[0], settings.middle_snr_db
        self.table, self.clean = table.at(pair=self.pair, channel=channel), table.at(pair=self.pair, channel="none")
        self.name, self.snr = f"{self.pair} over {channel}", f"{snr_db:g} dB"

    # -- numbers -----------------------------------------------------------------------------------------------------

    def accuracy(self, arm: str, uses: int, task: str = "", **place: object) -> Values:
        """Of one task, or the mean over all; at the SNR of the claims unless another is said."""
        at = self.table.at(**{"uses": uses, "snr_db": self.settings.middle_snr_db, **place})
        return 100 * average(at(arm, "accuracy", task=name) for name in ([task] if task else self.group))

    def gain(self, other: str, uses: Sequence[int], task: str = "") -> Values:
        """Shared minus another arm in points, mean over these uses."""
        return average(self.accuracy(JOINT, n, task) for n in uses) - average(
            self.accuracy(other, n, task) for n in uses
        )

    def target(self) -> float:
        """Accuracy to reach: a part of the best of n uses each, on validation."""
        at = self.table.at(snr_db=self.settings.middle_snr_db)
        each = [average(at(EACH, "accuracy", "validation", name, uses=n) for name in self.group) for n in self.uses]
        return _TARGET * max((100 * values).mean for values in each)

    def single_curve(self) -> dict[int, Values]:
        """Uses in all -> mean accuracy of the single-task networks."""
        same = {n: self.accuracy(SAME, n) for n in self.uses}
        return dict(sorted({**same, **{n * len(self.group): self.accuracy(EACH, n) for n in self.uses}}.items()))

    def saving(self) -> tuple[Values, str]:
        """Uses saved on the way to the target, in percent of those without sharing; or nothing and the reason.

        Where the fewest shared uses are already beyond the target, a seed's saving is counted from these: at least
        so much is saved.
        """
        target, single, saved = self.target(), self.single_curve(), {}
        joint, least, first = {n: self.accuracy(JOINT, n) for n in self.uses}, self.uses[0], min(single)
        for seed in joint[least]:
            shared, alone = (uses_to(target, [(n, v[seed]) for n, v in curve.items()]) for curve in (joint, single))
            if joint[least][seed] >= target:
                shared = least
            if single[first][seed] >= target:
                return Values({}), f"{first} uses suffice for the target of {target:.1f} % without sharing"
            if not (math.isfinite(shared) and math.isfinite(alone)):
                return Values({}), f"the target of {target:.1f} % is outside what was measured"
            saved[seed] = 100 * (1 - shared / alone)
        return Values(saved), ""

    # -- claims ------------------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """What the study set out to test; differences are taken seed by seed."""
        few, uses = [n for n in self.uses if n <= FEW] or self.uses[:1], _listed(self.uses)

        def points(name: str, text: str, value: Values, at_least: float) -> Claim:
            return claim(f"{name}: {self.name}", f"{self.name}: {text}", value, at_least=at_least)

        text = f"shared beats single-task networks of the same total in mean accuracy, mean over {_listed(few)} uses"
        yield points("same-total", text, self.gain(SAME, few), 2.0)
        every = [(self.gain(SAME, [n], task), task, n) for n in self.uses for task in self.group]
        worst, task, at = min(every, key=lambda entry: entry[0].mean)
        text = f"shared is never far below the same total on any task (worst: {task} at {at} uses)"
        yield points("worst-task", text, worst, -1.5)
        text = f"shared is within 3 points of n uses each, with 1/{len(self.group)} of the uses, mean over {uses} uses"
        yield points("near-n-each", text, self.gain(EACH, self.uses), -3.0)
        saved, reason = self.saving()
        text = f"shared saves uses on the way to {self.target():.1f} % (95 % of the best of n each on validation)"
        statement = f"{self.name}: {text}"
        yield claim(f"saving: {self.name}", statement, saved, at_least=30.0, unit="%", reason=reason)
        if self.swept and len(self.settings.weight_values) > 1:
            yield from self._weights()
        if self.accuracy(GENIE, self.uses[0]).estimate.known:
            text = f"shared is not below labels sent digitally at their best, mean over {uses} uses"
            yield points("labels", text, self.gain(GENIE, self.uses), 0.0)

    def _weights(self) -> Iterator[Claim]:
        """Each task is better where its own weight is largest than where it is smallest."""
        first, uses = self.group[0], self.settings.sweep_uses
        low, high = self.settings.weight_values[0], self.settings.weight_values[-1]
        for task in self.group:
            most, least = (high, low) if task == first else (low, high)
            gain = self.accuracy(WEIGHTS, uses, task, weight=most) - self.accuracy(WEIGHTS, uses, task, weight=least)
            text = f"{task} is more accurate with weight {most:g} of {first} than with {least:g} ({uses} uses)"
            yield claim(f"weight of {task}: {self.name}", f"{self.name}: {text}", gain, above=0.0)

    # -- sentences ---------------------------------------------------------------------------------------------------

    def shared(self) -> str:
        """What sharing does to accuracy and uses."""
        steps = [f"{_points(self.gain(SAME, [n]))} at {n}" for n in self.uses]
        saved, reason = self.saving()
        number = saved.estimate.text(places=0, signed=False)
        uses = f"savings: {reason}" if reason else f"it saves {number} % of the uses to {self.target():.1f} %"
        return (
            f"{self.name}, {self.snr}: against single-task networks of the same total, sharing changes mean accuracy "
            f"by {', '.join(steps)} uses; against n uses each by {_points(self.gain(EACH, self.uses))} on average; "
            f"{uses}."
        )

    def others(self) -> str:
        """What the other arms reach."""
        uses, settings = self.settings.sweep_uses, self.settings
        most = settings.digital_values[-1]
        clean = 100 * average(self.clean(CLEAN, "accuracy", task=name) for name in self.group)
        values = {
            "shared": self.accuracy(JOINT, uses),
            "a transmitter made for another task": self.accuracy(REUSED, uses),
            "digital labels": self.accuracy(GENIE, uses),
            f"the coded picture in {most} uses (whole file)": self.accuracy(WHOLE, most),
            f"the coded picture in {most} uses (header-free)": self.accuracy(FREE, most),
            "the clean picture": clean,
        }
        parts = [f"{what} {value.mean:.1f} %" for what, value in values.items() if value.estimate.known]
        sentence = f"{self.name}, {uses} uses, mean accuracy: {'; '.join(parts)}."
        if snr_db := settings.unequal_of(self.group):
            gain = self.accuracy(UNEQUAL, uses, snr_db=snr_db) - self.accuracy(JOINT, uses, snr_db=snr_db)
            listed = ", ".join(f"{name} {value:g} dB" for name, value in snr_db.items())
            sentence += f" At unequal SNRs ({listed}) a network trained for them changes it by {_points(gain)}."
        return sentence

    # -- charts ------------------------------------------------------------------------------------------------------

    def charts(self) -> Iterator[Chart]:
        """Accuracy over uses, over all uses together and over SNR, and what one task gains and the other pays."""
        yield self._over_uses()
        yield self._over_total()
        yield from map(self._over_snr, self.group)
        if self.swept and self.settings.weight_values:
            yield self._trade_off()

    def _line(self, label: str, arm: str, uses: Sequence[int], style: str = "line") -> Series | None:
        return line(label, {n: self.accuracy(arm, n) for n in uses}, style, arm)

    def _over_uses(self) -> Chart:
        series = [
            self._line("shared", JOINT, self.uses),
            self._line("single-task, same total", SAME, self.uses),
            self._line("single-task, n each", EACH, self.uses),
            self._line("digital labels", GENIE, self.uses, "dashed"),
            self._line("transmitter of another task", REUSED, self.uses, "dots"),
        ]
        note = "With n uses each the single-task networks take n times the receivers in all."
        axes = ("channel uses n", "mean accuracy of the tasks in %")
        return chart(f"Accuracy over channel uses at {self.snr}", *axes, series, note, self.name, log_x=True)

    def _over_total(self) -> Chart:
        digital = self.settings.digital_values
        series = [
            self._line("shared", JOINT, self.uses),
            line("single-task networks", self.single_curve(), group=SAME),
            self._line("digital labels", GENIE, self.uses, "dashed"),
            self._line("coded picture, whole file", WHOLE, digital, "dots"),
            self._line("coded picture, header-free", FREE, digital, "dots"),
        ]
        note = "The coded picture serves all receivers at once; its modulation and coding are chosen on validation."
        axes = ("channel uses of all transmissions together", "mean accuracy of the tasks in %")
        return chart(f"Accuracy over all uses together at {self.snr}", *axes, series, note, self.name, log_x=True)

    def _over_snr(self, task: str) -> Chart:
        settings, uses, most = self.settings, self.settings.sweep_uses, self.settings.digital_values[-1]

        def over(label: str, arm: str, style: str = "line", uses: int = uses) -> Series | None:
            values = {snr: self.accuracy(arm, uses, task, snr_db=snr) for snr in settings.link.test_values}
            return line(label, values, style, arm)

        series = [
            over("shared", JOINT),
            over("single-task, same total", SAME),
            over("single-task, n each", EACH),
            over("transmitter of another task", REUSED),
            over("shared, for unequal SNRs", UNEQUAL),
            over("digital labels", GENIE, "dashed"),
            over(f"coded picture, whole file, {most} uses", WHOLE, "dashed", most),
            over(f"coded picture, header-free, {most} uses", FREE, "dashed", most),
        ]
        low, high = settings.link.train_range
        note = f"Trained at {low:g} to {high:g} dB. A receiver's accuracy depends on its own SNR alone."
        axes = ("SNR in dB (Es/N0 for each complex use)", f"accuracy of {task} in %")
        return chart(f"Accuracy of {task} over SNR, {uses} uses", *axes, series, note, self.name)

    def _trade_off(self) -> Chart:
        """Accuracy of the second task against that of the first, one point for each weight."""
        weights, uses, (first, second) = self.settings.weight_values, self.settings.sweep_uses, self.group[:2]

        def places(label: str, arm: str, style: str, points: Sequence[Mapping[str, float]]) -> Series | None:
            x = [self.accuracy(arm, uses, first, **point).mean for point in points]
            y = [self.accuracy(arm, uses, second, **point).estimate for point in points]
            widths = [one.half_width for one in y] if any(one.has_interval for one in y) else ()
            known = all(map(math.isfinite, x))
            return Series(label, tuple(x), tuple(e.mean for e in y), tuple(widths), style, arm) if known else None

        series = [
            places("shared, weights swept", WEIGHTS, "line", [{"weight": weight} for weight in weights]),
            places("shared, equal weights", JOINT, "dots", [{}]),
            places("single-task, same total", SAME, "dots", [{}]),
            places("single-task, n each", EACH, "dots", [{}]),
        ]
        along = ", ".join(f"{weight:g}" for weight in weights)
        note = f"Along the line the weight of {first} is {along}; up and to the right is better."
        axes = (f"accuracy of {first} in %", f"accuracy of {second} in %")
        title = f"What one task gains and the other pays, {uses} uses, {self.snr}"
        return chart(title, *axes, series, note, self.name)


def _listed(values: Sequence[int]) -> str:
    return "/".join(map(str, values))


def _points(gain: Values) -> str:
    return gain.estimate.text("points", unknown="an unknown difference")
