"""What came of the multi-round study, in plain sentences, and what it claims. All at the middle SNR."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from umbel.recipes.communications.words import percent, points
from umbel.recipes.multi_round.arms import LATEST, RANDOM, REPEAT, ROUNDS, SINGLE
from umbel.recipes.multi_round.measure import ALWAYS, BUDGET, BUDGET_PART, MIDDLE, TARGET
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.report import Claim, Estimate, Results
from umbel.report.schema import contains

POINTS = "points"


class Numbers:
    """The test metrics of a study at the middle SNR, by arm, channel, place and seed.

    Args:
        settings: Of the study.
        results: Its runs.
    """

    def __init__(self, settings: MultiRoundSettings, results: Results) -> None:
        self.settings, self.results, self.task = settings, results, results.tasks[0].name
        self.seeds = results.seeds

    def at(self, arm: str, channel: str, seed: int, metric: str = "accuracy", **place: Any) -> float:
        """One value; NaN where nothing was measured."""
        where = {"channel": channel, "snr_db": self.settings.middle_snr_db, **place}
        for run in self.results.runs:
            if run.method == arm and run.seed == seed and contains(run.point, where):
                return run.metrics[self.task].get(metric, math.nan)
        return math.nan

    def over_seeds(self, value: Callable[[int], float], scale: float = 100.0) -> Estimate:
        """Mean and interval of a number of each seed; accuracies as percentages."""
        return Estimate.of(scale * value(seed) for seed in self.seeds)

    def single(self, channel: str, seed: int, delay: float) -> float:
        """Accuracy of single rounds at a mean delay: linear between the two networks with the nearest uses."""
        uses = self.settings.singles
        known = [(float(n), self.at(SINGLE, channel, seed, uses=n)) for n in uses]
        return interpolated(known, delay)

    def margin(self, channel: str, seed: int, **place: Any) -> float:
        """Multi-round minus single rounds of the same mean delay."""
        delay = self.at(ROUNDS, channel, seed, "delay", **place)
        return self.at(ROUNDS, channel, seed, **place) - self.single(channel, seed, delay)

    def mean_margin(self, channel: str, seed: int) -> float:
        """The margin's mean over the curve: over the thresholds whose delay lies inside the single rounds' range."""
        first, last = self.settings.rounds[0], self.settings.total
        inside = [tau for tau in self.settings.taus if first < self.at(ROUNDS, channel, seed, "delay", tau=tau) < last]
        margins = [self.margin(channel, seed, tau=tau) for tau in inside]
        return sum(margins) / len(margins) if margins else math.nan


def interpolated(known: Sequence[tuple[float, float]], x: float) -> float:
    """The value at x of a line through points with rising x; NaN outside of them."""
    for (x0, y0), (x1, y1) in itertools.pairwise(known):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return math.nan


def claims(settings: MultiRoundSettings, results: Results) -> list[Claim]:
    """What the study set out to test, for each channel; every difference is taken seed by seed."""
    numbers = Numbers(settings, results)
    of_channels = [_Claims(numbers, channel) for channel in settings.link.channel_names]
    return [claim for one in of_channels for claim in (*one.against_all_uses(), *one.against_the_others())]


class _Claims:
    """The claims of one channel."""

    def __init__(self, numbers: Numbers, channel: str) -> None:
        self.numbers, self.channel, self.total = numbers, channel, numbers.settings.total

    def get(self, arm: str, seed: int, metric: str = "accuracy", **place: Any) -> float:
        return self.numbers.at(arm, self.channel, seed, metric, **place)

    def delay(self, rule: str) -> float:
        """Mean over seeds."""
        return self.numbers.over_seeds(lambda s: self.get(ROUNDS, s, "delay", rule=rule), 1.0).mean

    def claim(self, name: str, statement: str, value: Callable[[int], float], bar: float, **more: Any) -> Claim:
        found = self.numbers.over_seeds(value)
        words = f"{self.channel}, {self.numbers.settings.middle_snr_db:g} dB: {statement}"
        more = {"comparison": ">=", "unit": POINTS, **more}
        return Claim.measured(f"{name}-{self.channel}", words, found.mean, bar, half_width=found.half_width, **more)

    def against_all_uses(self) -> Iterable[Claim]:
        """Nearly the accuracy of all uses, with a part of them."""
        get, total = self.get, self.total
        yield self.claim(
            "short",
            f"with the threshold that validation chose for at most {BUDGET_PART:.0%} of {total} uses, multi-round "
            f"(mean delay {self.delay(BUDGET):.2f}) is at most 1.5 points below a single round of {total}",
            lambda s: get(ROUNDS, s, rule=BUDGET) - get(SINGLE, s, uses=total),
            -1.5,
        )
        yield self.claim(
            "delay",
            f"its mean delay on the test split, in percent of {total} uses, is at most {100 * BUDGET_PART:.0f}",
            lambda s: get(ROUNDS, s, "delay", rule=BUDGET) / total,
            100 * BUDGET_PART,
            comparison="<=",
            unit="%",
        )

    def against_the_others(self) -> Iterable[Claim]:
        """At the middle delay, and with all rounds sent."""
        get, where = self.get, f"at the middle delay ({self.delay(MIDDLE):.2f} uses)"
        yield self.claim(
            "confidence",
            f"{where} it is at least 4 points above random escalation of the same network",
            lambda s: get(ROUNDS, s, rule=MIDDLE) - get(RANDOM, s, rule=MIDDLE),
            4.0,
        )
        yield self.claim(
            "combining",
            "with all rounds always sent, decoders that read all rounds are at least 1 point above those that read "
            "the latest alone",
            lambda s: get(ROUNDS, s, rule=ALWAYS) - get(LATEST, s, rule=ALWAYS),
            1.0,
        )
        bar = 0.0 if "awgn" in self.channel else 1.5
        yield self.claim(
            "equal-delay",
            f"{where} it is at least {bar:g} points above single-round networks of the same mean delay (interpolated)",
            lambda s: self.numbers.margin(self.channel, s, rule=MIDDLE),
            bar,
        )


def verdict(settings: MultiRoundSettings, results: Results) -> list[str]:
    """Sentences, the most important first."""
    numbers = Numbers(settings, results)
    return [sentence for channel in settings.link.channel_names for sentence in _verdict(numbers, channel)]


def _verdict(numbers: Numbers, channel: str) -> list[str]:
    settings, total = numbers.settings, numbers.settings.total
    at = f"{channel} at {settings.middle_snr_db:g} dB"

    def accuracy(arm: str, **place: Any) -> str:
        return percent(numbers.over_seeds(lambda s: numbers.at(arm, channel, s, **place)))

    def uses(arm: str, **place: Any) -> str:
        return _plain(numbers.over_seeds(lambda s: numbers.at(arm, channel, s, "delay", **place), 1.0))

    margin = numbers.over_seeds(lambda s: numbers.margin(channel, s, rule=MIDDLE))
    word = {1: "more accurate than", -1: "less accurate than", 0: "not clearly different from"}[margin.clear_sign]
    if not margin.known:
        word = "of unknown accuracy beside"
    curve = numbers.over_seeds(lambda s: numbers.mean_margin(channel, s))
    return [
        f"{at}: at a mean delay of {uses(ROUNDS, rule=MIDDLE)} uses, multi-round ({accuracy(ROUNDS, rule=MIDDLE)}) is "
        f"{word} single rounds of the same mean delay ({points(margin)}; mean over the curve {points(curve)}) and "
        f"reaches {accuracy(RANDOM, rule=MIDDLE)} when it stops at random.",
        f"{at}: a single round of {total} uses has {accuracy(SINGLE, uses=total)}; multi-round with at most "
        f"{BUDGET_PART:.0%} of them has {accuracy(ROUNDS, rule=BUDGET)}, and to stay within 1.5 points (on "
        f"validation) it takes {uses(ROUNDS, rule=TARGET)} uses ({accuracy(ROUNDS, rule=TARGET)}).",
        f"{at}: with all rounds sent, {accuracy(ROUNDS, rule=ALWAYS)} with and {accuracy(LATEST, rule=ALWAYS)} without "
        f"combining; repetition of the first round reaches {accuracy(REPEAT, rule=MIDDLE)} at "
        f"{uses(REPEAT, rule=MIDDLE)} uses.",
    ]


def _plain(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f}" if estimate.known else "an unknown number of"
