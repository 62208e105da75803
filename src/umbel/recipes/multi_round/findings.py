"""What came of the multi-round study: claims, charts and sentences from its runs. Claims are read at the middle SNR."""

import itertools
import math
from collections.abc import Iterator, Sequence

from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.recipes.multi_round.study import (
    ALWAYS,
    BUDGET,
    BUDGET_PART,
    COST,
    ERROR,
    GENIE,
    LATEST,
    MIDDLE,
    PREFIX,
    RANDOM,
    REPEAT,
    ROUNDS,
    SINGLE,
    TARGET,
    reliability_name,
)
from umbel.report import Chart, Claim, Estimate, Results, Series
from umbel.study import Findings, Table, Values, chart, claim, settings_of

_DELAY = "mean delay in channel uses"
_LEAST_PART = 0.005


def findings(results: Results) -> Findings:
    """All that follows from the runs."""
    settings, table = settings_of(results, MultiRoundSettings), Table(results.runs, results.tasks[0].name)
    channels = [_Channel(settings, table, name, results) for name in settings.link.channel_names]
    return Findings(
        claims=tuple(one for channel in channels for one in channel.claims()),
        charts=tuple(one for channel in channels for one in channel.charts()),
        verdict=tuple(sentence for channel in channels for sentence in channel.verdict()),
    )


def interpolated(known: Sequence[tuple[float, float]], x: float) -> float:
    """The value at x of a line through points with rising x; NaN outside of them."""
    for (x0, y0), (x1, y1) in itertools.pairwise(known):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return math.nan


class _Channel:
    """What is said about one channel."""

    def __init__(self, settings: MultiRoundSettings, table: Table, name: str, results: Results) -> None:
        self.settings, self.name, self.results = settings, name, results
        self.everywhere = table.at(channel=name)
        self.at = self.everywhere.at(snr_db=settings.middle_snr_db)
        self.place = f"{name}, {settings.middle_snr_db:g} dB"

    # -- numbers -----------------------------------------------------------------------------------------------------

    def single(self, delay: Values) -> Values:
        """Accuracy of single rounds at a mean delay: linear between the two networks with the nearest uses."""
        known = [(float(uses), self.at(SINGLE, "accuracy", uses=uses)) for uses in self.settings.singles]
        return Values({r: interpolated([(x, values[r]) for x, values in known], d) for r, d in delay.items()})

    def margin(self, **place: object) -> Values:
        """Multi-round minus single rounds of the same mean delay."""
        return self.at(ROUNDS, "accuracy", **place) - self.single(self.at(ROUNDS, "delay", **place))

    def mean_margin(self) -> Values:
        """The margin's mean over the curve: over the thresholds whose delay lies inside the single rounds' range."""
        first, last = self.settings.rounds[0], self.settings.total
        delays = {tau: self.at(ROUNDS, "delay", tau=tau) for tau in self.settings.taus}
        margins = {tau: self.margin(tau=tau) for tau in self.settings.taus}
        means = {}
        for repeat in self.at.repeats:
            inside = [margins[tau][repeat] for tau, delay in delays.items() if first < delay[repeat] < last]
            means[repeat] = sum(inside) / len(inside) if inside else math.nan
        return Values(means)

    # -- claims ------------------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """What the study set out to test; every difference is taken seed by seed, in points of accuracy."""
        at, total = self.at, self.settings.total
        delays = {rule: at(ROUNDS, "delay", rule=rule).mean for rule in (BUDGET, MIDDLE)}
        middle = f"at the middle delay ({delays[MIDDLE]:.2f} uses)"
        bar = 0.0 if "awgn" in self.name else 1.5

        def points(name: str, statement: str, value: Values, at_least: float) -> Claim:
            return claim(f"{name}-{self.name}", f"{self.place}: {statement}", 100 * value, at_least=at_least)

        yield points(
            "short",
            f"with the threshold that validation chose for at most {BUDGET_PART:.0%} of {total} uses, multi-round "
            f"(mean delay {delays[BUDGET]:.2f}) is at most 1.5 points below a single round of {total}",
            at(ROUNDS, rule=BUDGET) - at(SINGLE, uses=total),
            -1.5,
        )
        yield points(
            "confidence",
            f"{middle} it is at least 4 points above random escalation of the same network",
            at(ROUNDS, rule=MIDDLE) - at(RANDOM, rule=MIDDLE),
            4.0,
        )
        yield points(
            "combining",
            "with all rounds always sent, decoders that read all rounds are at least 1 point above those that read "
            "the latest alone",
            at(ROUNDS, rule=ALWAYS) - at(LATEST, rule=ALWAYS),
            1.0,
        )
        yield points(
            "equal-delay",
            f"{middle} it is at least {bar:g} points above single-round networks of the same mean delay (interpolated)",
            self.margin(rule=MIDDLE),
            bar,
        )

    # -- sentences ---------------------------------------------------------------------------------------------------

    def verdict(self) -> list[str]:
        """Sentences, the most important first."""
        settings, total = self.settings, self.settings.total
        place = f"{self.name} at {settings.middle_snr_db:g} dB"

        def accuracy(arm: str, **where: object) -> str:
            return _percent(100 * self.at(arm, "accuracy", **where))

        def uses(arm: str, **where: object) -> str:
            delay = self.at(arm, "delay", **where).estimate
            return f"{delay.mean:.2f}" if delay.known else "an unknown number of"

        margin = (100 * self.margin(rule=MIDDLE)).estimate
        word = {1: "more accurate than", -1: "less accurate than", 0: "not clearly different from"}[margin.clear_sign]
        word = word if margin.known else "of unknown accuracy beside"
        return [
            f"{place}: at a mean delay of {uses(ROUNDS, rule=MIDDLE)} uses, multi-round "
            f"({accuracy(ROUNDS, rule=MIDDLE)}) is {word} single rounds of the same mean delay "
            f"({_points(margin)}; mean over the curve {_points((100 * self.mean_margin()).estimate)}) and "
            f"reaches {accuracy(RANDOM, rule=MIDDLE)} when it stops at random.",
            f"{place}: a single round of {total} uses has {accuracy(SINGLE, uses=total)}; multi-round with at most "
            f"{BUDGET_PART:.0%} of them has {accuracy(ROUNDS, rule=BUDGET)}, and to stay within 1.5 points (on "
            f"validation) it takes {uses(ROUNDS, rule=TARGET)} uses ({accuracy(ROUNDS, rule=TARGET)}).",
            f"{place}: with all rounds sent, {accuracy(ROUNDS, rule=ALWAYS)} with and "
            f"{accuracy(LATEST, rule=ALWAYS)} without combining; repetition of the first round reaches "
            f"{accuracy(REPEAT, rule=MIDDLE)} at {uses(REPEAT, rule=MIDDLE)} uses.",
        ]

    # -- charts ------------------------------------------------------------------------------------------------------

    def charts(self) -> list[Chart]:
        """Accuracy against delay, over SNR, age over thresholds, feedback, reliability."""
        return [
            self._delay(), self._snr(), self._delay_snr(), self._age(), self._feedback(), self._reliability(),
        ]  # fmt: skip

    def _title(self, arm: str) -> str:
        return self.results.method(arm).title

    def _line(
        self, arm: str, x: str, metric: str = "accuracy", table: Table | None = None, **more: object
    ) -> Series | None:
        return (table or self.at).series(arm, x, metric, **{"label": self._title(arm), **more})

    def _chart(self, what: str, x_label: str, y_label: str, series: Sequence[Series | None], note: str) -> Chart:
        return chart(f"{what}, {self.name}", x_label, y_label, series, note, self.name)

    def _delay(self) -> Chart:
        lines = [(ROUNDS, "tau", "line"), (SINGLE, "uses", "line"), (LATEST, "tau", "dashed")]
        lines += [(REPEAT, "tau", "dashed"), (RANDOM, "tau", "dashed")]
        lines += [(PREFIX, "uses", "dashed"), (GENIE, "uses", "dashed")]
        series = [self._line(arm, x, against="delay", style=style) for arm, x, style in lines]
        fixed = f"{self._title(ROUNDS)}, rounds always sent"
        series.append(self._line(ROUNDS, "round", style="dots", label=fixed, against="delay"))
        note = (
            f"At {self.settings.middle_snr_db:g} dB. Along a line the threshold of confidence rises; single rounds are "
            "networks of their own, joined because one may share time between two of them."
        )
        return self._chart("Accuracy against delay", _DELAY, "accuracy", series, note)

    def _snr(self) -> Chart:
        settings, every = self.settings, self.everywhere
        tau, last = settings.named_tau, len(settings.rounds)
        series = [
            self._line(ROUNDS, "snr_db", table=every, tau=tau, label=f"Multi-round, threshold {tau:g}"),
            self._line(ROUNDS, "snr_db", table=every, round=last, label="All rounds"),
            self._line(LATEST, "snr_db", table=every, round=last, style="dashed", label="All rounds, no combining"),
        ]
        for uses in (settings.rounds[0], settings.total):
            label = f"Single round of {uses}"
            series.append(self._line(SINGLE, "snr_db", table=every, uses=uses, style="dashed", label=label))
        low, high = settings.link.train_range
        heat = "temperatures of each SNR" if settings.calibrate == "per-snr" else "with one temperature for each round"
        stop = ";" if settings.calibrate == "per-snr" else ","
        note = f"One network for all SNRs, trained from {low:g} to {high:g} dB{stop} {heat}."
        return self._chart("Accuracy over SNR", "SNR in dB", "accuracy", series, note)

    def _delay_snr(self) -> Chart:
        taus, named = self.settings.taus, self.settings.named_tau
        series = [
            self._line(ROUNDS, "snr_db", "delay", self.everywhere, tau=tau, label=f"Multi-round, threshold {tau:g}")
            for tau in taus
            if tau in (named, taus[0], taus[-1])
        ]
        note = "The same thresholds at every SNR: where the channel is bad, the receiver asks more often."
        return self._chart("Delay over SNR", "SNR in dB", _DELAY, series, note)

    def _age(self) -> Chart:
        series = []
        for metric in ("average age", "peak age"):
            series.append(self._line(ROUNDS, "tau", metric, label=f"Multi-round, {metric}"))
            series.append(self._line(RANDOM, "tau", metric, style="dashed", label=f"Random escalation, {metric}"))
        note = (
            f"At {self.settings.middle_snr_db:g} dB; a wrong decision renews nothing, and a new sample is taken after "
            "each decision."
        )
        axes = ("threshold of confidence", "age in channel uses")
        return self._chart("Age of task information", *axes, series, note)

    def _feedback(self) -> Chart:
        cost = f"Each message takes {self.settings.feedback_uses:g} uses"
        error = f"Each message is wrong with probability {self.settings.feedback_error:g}"
        texts = {ROUNDS: "Free and without errors", COST: cost, ERROR: error}
        series = [self._line(arm, "tau", label=text, against="delay") for arm, text in texts.items()]
        series.append(self._line(SINGLE, "uses", style="dashed", against="delay"))
        note = (
            f"At {self.settings.middle_snr_db:g} dB. A lost request makes the receiver decide with what it has, a "
            "false one brings a round that was not needed."
        )
        return self._chart("What feedback costs", _DELAY, "accuracy", series, note)

    def _reliability(self) -> Chart:
        series = [Series("Ideal", (0.0, 1.0), (0.0, 1.0), style="dashed", group="ideal")]
        for number in range(1, len(self.settings.rounds) + 1):
            for when, style in (("before", "dashed"), ("after", "line")):
                x, y = pooled(self._profiles(reliability_name(number, when)))
                label, group = f"Round {number}, {when} scaling", f"round {number}"
                series.append(Series(label, tuple(x), tuple(y), style=style, group=group))
        note = (
            f"At {self.settings.middle_snr_db:g} dB, all seeds together, tenths of confidence that hold 0.5 % of the "
            "samples or more. Temperatures are fitted on validation."
        )
        return self._chart("Reliability", "confidence", "accuracy", series, note)

    def _profiles(self, name: str) -> list[dict[str, tuple[float, ...]]]:
        here = [p for p in self.results.profiles if p.point["channel"] == self.name]
        return [profile.columns for profile in here if profile.name == name]


def pooled(profiles: Sequence[dict[str, tuple[float, ...]]]) -> tuple[list[float], list[float]]:
    """Confidence and accuracy in tenths of confidence, over all seeds; tenths with few samples are left out.

    Args:
        profiles: Of each seed. One without the parts of its bins was pooled before, and is taken as it is.
    """
    bins: dict[int, list[tuple[float, float, float]]] = {}
    for columns in profiles:
        confidence, accuracy = columns["confidence"], columns["accuracy"]
        if (parts := columns.get("part")) is None:
            return list(confidence), list(accuracy)
        for sure, right, part in zip(confidence, accuracy, parts, strict=True):
            bins.setdefault(min(int(sure * 10), 9), []).append((part, part * sure, part * right))
    sums = [[sum(values) for values in zip(*bins[place], strict=True)] for place in sorted(bins)]
    kept = [(sure / part, right / part) for part, sure, right in sums if part >= _LEAST_PART * len(profiles)]
    return [sure for sure, _ in kept], [right for _, right in kept]


def _points(estimate: Estimate) -> str:
    return estimate.text("points", unknown="an unknown difference")


def _percent(values: Values) -> str:
    return values.estimate.text("%", signed=False, unknown="an unknown part")
