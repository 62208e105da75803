"""The charts of the multi-round study."""

from collections.abc import Mapping, Sequence
from typing import Any

from umbel.recipes.multi_round.arms import COST, ERROR, GENIE, LATEST, PREFIX, RANDOM, REPEAT, ROUNDS, SINGLE, TITLES
from umbel.recipes.multi_round.settings import MultiRoundSettings
from umbel.report import Chart, Results, Series, chart_series

_LEAST_PART = 0.005
_DELAY = "mean delay in channel uses"
Reliabilities = Mapping[tuple[str, int], Sequence[Mapping[str, Sequence[float]]]]
"""(channel, seed) -> for each round the bins' confidence and accuracy, before and after calibration."""


def charts(settings: MultiRoundSettings, results: Results, reliabilities: Reliabilities) -> list[Chart]:
    """For each channel: accuracy against delay, over SNR, age over thresholds, feedback, reliability."""
    drawn = []
    for channel in settings.link.channel_names:
        series = _Lines(settings, results, channel)
        drawn += [_delay(series), _snr(series), _delay_snr(series), _age(series), _feedback(series)]
        drawn.append(_reliability(series, reliabilities))
    return drawn


class _Lines:
    """Series of one channel at the middle SNR."""

    def __init__(self, settings: MultiRoundSettings, results: Results, channel: str) -> None:
        self.settings, self.results, self.channel = settings, results, channel
        self.task = results.tasks[0].name
        self.snr_db = settings.middle_snr_db

    def of(self, arm: str, x: str, metric: str = "accuracy", **more: Any) -> Series:
        """A metric of an arm over one value of its points; `where` adds to the channel and the middle SNR."""
        where = {"channel": self.channel, **more.pop("where", {"snr_db": self.snr_db})}
        more = {"label": TITLES[arm][0], "group": arm, **more}
        return chart_series(self.results.runs, arm, x, self.task, metric, where, **more)

    def chart(self, what: str, x_label: str, y_label: str, series: Sequence[Series], note: str, **more: Any) -> Chart:
        """A chart in the section of the channel."""
        return Chart(f"{what}, {self.channel}", x_label, y_label, tuple(series), note, self.channel, **more)


def _delay(lines: _Lines) -> Chart:
    against = {"against": "delay"}
    series = [lines.of(ROUNDS, "tau", **against)]
    series.append(lines.of(SINGLE, "uses", **against))
    series += [lines.of(arm, "tau", style="dashed", **against) for arm in (LATEST, REPEAT, RANDOM)]
    series.append(lines.of(PREFIX, "uses", style="dashed", **against))
    if any(run.method == GENIE and run.point["channel"] == lines.channel for run in lines.results.runs):
        series.append(lines.of(GENIE, "uses", style="dashed", **against))
    fixed = f"{TITLES[ROUNDS][0]}, rounds always sent"
    series.append(lines.of(ROUNDS, "round", style="dots", label=fixed, **against))
    note = (
        f"At {lines.snr_db:g} dB. Along a line the threshold of confidence rises; single rounds are networks of their "
        "own, joined because one may share time between two of them."
    )
    return lines.chart("Accuracy against delay", _DELAY, "accuracy", series, note)


def _snr(lines: _Lines) -> Chart:
    tau = lines.settings.named_tau
    last = {"round": len(lines.settings.rounds)}
    series = [lines.of(ROUNDS, "snr_db", where={"tau": tau}, label=f"Multi-round, threshold {tau:g}")]
    series.append(lines.of(ROUNDS, "snr_db", where=last, label="All rounds"))
    series.append(lines.of(LATEST, "snr_db", where=last, style="dashed", label="All rounds, no combining"))
    for uses in (lines.settings.rounds[0], lines.settings.total):
        label = f"Single round of {uses}"
        series.append(lines.of(SINGLE, "snr_db", where={"uses": uses}, style="dashed", label=label))
    low, high = lines.settings.link.train_range
    note = f"One network for all SNRs, trained from {low:g} to {high:g} dB, with one temperature for each round."
    if lines.settings.calibrate == "per-snr":
        note = f"One network for all SNRs, trained from {low:g} to {high:g} dB; temperatures of each SNR."
    return lines.chart("Accuracy over SNR", "SNR in dB", "accuracy", series, note)


def _delay_snr(lines: _Lines) -> Chart:
    series = []
    for tau in lines.settings.taus:
        if tau in (lines.settings.named_tau, lines.settings.taus[0], lines.settings.taus[-1]):
            label = f"Multi-round, threshold {tau:g}"
            series.append(lines.of(ROUNDS, "snr_db", "delay", where={"tau": tau}, label=label))
    note = "The same thresholds at every SNR: where the channel is bad, the receiver asks more often."
    return lines.chart("Delay over SNR", "SNR in dB", _DELAY, series, note)


def _age(lines: _Lines) -> Chart:
    series = []
    for metric in ("average age", "peak age"):
        series.append(lines.of(ROUNDS, "tau", metric, label=f"Multi-round, {metric}"))
        series.append(lines.of(RANDOM, "tau", metric, style="dashed", label=f"Random escalation, {metric}"))
    note = f"At {lines.snr_db:g} dB; a wrong decision renews nothing, and a new sample is taken after each decision."
    return lines.chart("Age of task information", "threshold of confidence", "age in channel uses", series, note)


def _feedback(lines: _Lines) -> Chart:
    settings, against = lines.settings, {"against": "delay"}
    cost = f"Each message takes {settings.feedback_uses:g} uses"
    error = f"Each message is wrong with probability {settings.feedback_error:g}"
    series = [lines.of(ROUNDS, "tau", label="Free and without errors", **against)]
    series.append(lines.of(COST, "tau", label=cost, **against))
    series.append(lines.of(ERROR, "tau", label=error, **against))
    series.append(lines.of(SINGLE, "uses", style="dashed", **against))
    note = (
        f"At {lines.snr_db:g} dB. A lost request makes the receiver decide with what it has, a false one brings a "
        "round that was not needed."
    )
    return lines.chart("What feedback costs", _DELAY, "accuracy", series, note)


def _reliability(lines: _Lines, reliabilities: Reliabilities) -> Chart:
    series = [Series("Ideal", (0.0, 1.0), (0.0, 1.0), style="dashed", group="ideal")]
    seeds = range(lines.settings.seeds)
    for number in range(len(lines.settings.rounds)):
        of_seeds = [reliabilities[lines.channel, seed][number] for seed in seeds]
        for when, style in (("before", "dashed"), ("after", "line")):
            x, y = _binned(of_seeds, when)
            series.append(Series(f"Round {number + 1}, {when} scaling", x, y, style=style, group=f"round {number}"))
    note = (
        f"At {lines.snr_db:g} dB, all seeds together, tenths of confidence that hold 0.5 % of the samples or more. "
        "Temperatures are fitted on validation."
    )
    return lines.chart("Reliability", "confidence", "accuracy", series, note)


def _binned(of_seeds: Sequence[Mapping[str, Sequence[float]]], when: str) -> tuple[list[float], list[float]]:
    """Means over seeds and samples in tenths of confidence; bins with less than 0.5 % of the samples are left out."""
    bins: dict[int, list[tuple[float, float, float]]] = {}
    for one in of_seeds:
        found = (one[f"{when} {name}"] for name in ("confidence", "accuracy", "part"))
        for sure, right, part in zip(*found, strict=True):
            bins.setdefault(min(int(sure * 10), 9), []).append((part, part * sure, part * right))
    sums = [[sum(values) for values in zip(*bins[place], strict=True)] for place in sorted(bins)]
    kept = [(sure / part, right / part) for part, sure, right in sums if part >= _LEAST_PART * len(of_seeds)]
    return [sure for sure, _ in kept], [right for _, right in kept]
