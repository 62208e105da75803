"""What came of the controllable study: claims, charts and sentences from its runs, all on the test split."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np

from umbel.metrics import relative_improvement
from umbel.recipes.controllable.measure import EQUAL, EXACT, LATENCY, RULE, asked, task_losses
from umbel.recipes.controllable.settings import ControllableSettings
from umbel.recipes.controllable.study import CORNER, DISTILLATION, PREFERENCE, SEPARATE
from umbel.report import Chart, Claim, Results, Run, Series, TaskInfo
from umbel.search import control_response, group_losses, hypervolume, uniformity
from umbel.study import Findings, Table, Values, average, chart, claim, least, line, settings_of

_NEVER_WORSE = 0.3
_MOST_TASKS = 8
_WIDTHS, _DIAL, _FRONT, _TIME = "Widths", "The dial", "Pareto fronts", "Time"


def findings(results: Results) -> Findings:
    """All that follows from the runs."""
    said = _Said(results)
    return Findings(tuple(said.claims()), tuple(said.charts()), verdict=tuple(said.verdict()))


class _Said:
    """What is said about the runs; every difference is taken seed by seed."""

    def __init__(self, results: Results) -> None:
        self.results, self.tasks, self.table = results, results.tasks, Table(results.runs)
        self.settings = settings_of(results, ControllableSettings)
        self.widths, self.percents = self.settings.model.grid, self.settings.percents
        self.groups = self.settings.groups_of([task.name for task in self.tasks])
        self.rays = self.settings.rays(len(self.groups))
        self.shares = (np.array(self.rays) / np.sum(self.rays, 1, keepdims=True)).round(6)
        self.in_points = all(task.higher_is_better and not task.unit for task in self.tasks)
        self.unit = "points" if self.in_points else "%"  # of gains
        self.latency = [profile.columns for profile in results.profiles if profile.name == LATENCY]
        self.front = lru_cache(maxsize=None)(self._front)

    # -- widths ------------------------------------------------------------------------------------------------------

    def quality(self, task: TaskInfo, arm: str, **place: object) -> Values:
        """A task's main metric."""
        return self.table(arm, task.metric, task=task.name, **place)

    def gain(self, task: TaskInfo, one: Values, other: Values) -> Values:
        """How much better one is: in points where all metrics are parts from 0 to 1, else in percent."""
        if self.in_points:
            return 100 * (one - other)
        return Values({r: relative_improvement(one[r], other[r], task.higher_is_better) for r in one if other.get(r)})

    def against(self, arm: str, other: str, width: float) -> Values:
        """Gain of an arm over another with encoder and heads of both at one width; the mean over tasks."""
        place = {"width": width, "heads": width}
        return average(self.gain(t, self.quality(t, arm, **place), self.quality(t, other, **place)) for t in self.tasks)

    def of_head(self, task: TaskInfo, width: float) -> Values:
        """Gain of a head's width over the full one, with the full encoder; below 0 where width matters."""
        narrow, full = (self.quality(task, EXACT, width=1.0, heads=heads) for heads in (width, 1.0))
        return self.gain(task, narrow, full)

    def sensitive_first(self) -> list[TaskInfo]:
        """The tasks, those first whose head's width matters most."""
        return sorted(self.tasks, key=lambda task: self.of_head(task, self.widths[0]).mean)

    # -- the dial ----------------------------------------------------------------------------------------------------

    @cached_property
    def full(self) -> dict[int, Run]:
        """Each seed's separate full network: its losses are what all losses are a part of.

        That and the corner are normalisation, on the test split, so that it follows from the runs; it chooses nothing.
        """
        return self.table.runs_of(SEPARATE, width=1.0, heads=1.0)

    @cached_property
    def corner(self) -> dict[int, np.ndarray]:
        """The reference point of each seed's hypervolumes, from its controllable network's smallest configuration."""
        smallest = self.table.runs_of(EXACT, width=self.widths[0], heads=self.widths[0])
        return {r: CORNER * np.array(self._losses(run, self.full[r])) for r, run in smallest.items()}

    def _losses(self, run: Run, full: Run) -> list[float]:
        main = [{t.name: one.metrics[t.name][t.metric] for t in self.tasks} for one in (run, full)]
        return group_losses(*(task_losses(self.tasks, metrics) for metrics in main), self.groups)

    def _front(self, arm: str, percent: float) -> dict[int, np.ndarray]:
        """Seed -> losses of the groups at a budget, for every preference [rays, groups]."""
        runs = [self.table.runs_of(arm, **asked(percent, ray)) for ray in self.rays]
        whole = {r: full for r, full in self.full.items() if all(r in of_ray for of_ray in runs)}
        return {r: np.array([self._losses(of_ray[r], full) for of_ray in runs]) for r, full in whole.items()}

    def _each(self, arm: str, percent: float, number: Callable[[int, np.ndarray], float]) -> Values:
        """A number of each seed's front."""
        fronts = self.front(arm, percent).items()
        return Values({r: number(r, front) if np.isfinite(front).all() else math.nan for r, front in fronts})

    def more_volume(self, other: str) -> Values:
        """Percent of hypervolume that the controllable network has more than another arm, mean over budgets."""

        def volume(arm: str, percent: float) -> Values:
            return self._each(arm, percent, lambda r, front: hypervolume(front, self.corner[r]))

        return 100 * (average(volume(EXACT, p) / volume(other, p) for p in self.percents) - 1)

    def uniformity(self, arm: str) -> Values:
        """Mean uniformity of the groups' losses over budgets and preferences."""

        def mean(_: int, front: np.ndarray) -> float:
            return float(np.mean(list(map(uniformity, front, self.rays))))

        return average(self._each(arm, percent, mean) for percent in self.percents)

    def response(self, arm: str) -> Values:
        """Rank correlation of each group's share of the preferences with its negated loss, mean over groups.

        At the middle budget. A loss that never changes has no correlation; it counts as 0, no response.
        """

        def mean(_: int, front: np.ndarray) -> float:
            pairs = zip(self.shares.T, -front.T, strict=True)
            return float(np.mean(np.nan_to_num([control_response(*pair).spearman for pair in pairs])))

        return self._each(arm, self.settings.middle_percent, mean)

    def weighted_gain(self, other: str) -> Values:
        """Gain of the exact search over another rule, tasks weighted as preferred, mean over all that was asked."""
        gains = []
        for percent, ray in itertools.product(self.percents, self.rays):
            place, pairs = asked(percent, ray), list(zip(self.groups, ray, strict=True))
            shares = {name: share / sum(len(g) * s for g, s in pairs) for group, share in pairs for name in group}
            for task in self.tasks:
                gain = self.gain(task, *(self.quality(task, arm, **place) for arm in (EXACT, other)))
                gains.append(len(self.tasks) * shares[task.name] * gain)
        return average(gains)

    def unused(self, arm: str) -> str:
        """Mean part of a budget that an arm leaves unused."""
        used = [run.settings["used"] for run in self.results.runs if run.method == arm and "used" in run.settings]
        return f"{100 * (1 - float(np.mean(used))):.0f} %" if used else "an unknown part"

    # -- claims ------------------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """What the study set out to test."""
        widths, unit, main = self.widths, self.unit, self.settings.model.distillation
        for width in reversed(widths):
            value, bar = self.against(EXACT, SEPARATE, width), 1.0 if width == 1 else 2.0
            words = f"At width {width:g} of encoder and heads the controllable network is within {bar:g} of separate "
            yield claim(f"width-{width:g}", f"{words}training", value, at_least=-bar, unit=unit)
        if "none" in self.settings.others:
            gains = [self.against(EXACT, f"{DISTILLATION}none", width) for width in widths]
            words = f"At width {widths[0]:g} of encoder and heads, distillation ({main}) is better than none"
            yield claim("distillation-helps", words, gains[0], above=0.0, unit=unit)
            words = f"At no width of encoder and heads is it worse than none by more than {_NEVER_WORSE:g}"
            yield claim("distillation-never-worse", words, least(gains), at_least=-_NEVER_WORSE, unit=unit)
        words, more = "Its hypervolume is at least that of networks of the same cost that read the preference", {}
        if not (volume := self.more_volume(PREFERENCE)).estimate.known:
            more["reason"] = "a front of theirs lies outside the corner, or was not measured"
        yield claim("against-preference", words, volume, at_least=0.0, unit="%", **more)
        words = (
            f"At {self.settings.middle_percent:g} % of the cost each group's loss falls as its share of the "
            "preferences rises (Spearman's correlation, mean over groups)"
        )
        yield claim("response", words, self.response(EXACT), at_least=0.9, unit="")

    # -- sentences ---------------------------------------------------------------------------------------------------

    def verdict(self) -> Iterator[str]:
        """Sentences, the most important first."""
        yield f"One network for all widths against separate training: {self._listed(SEPARATE)}."
        volumes = [self.more_volume(other).estimate.text("%") for other in (EQUAL, PREFERENCE)]
        yield (
            f"Heads of independent widths have {volumes[0]} hypervolume against equal head widths in the same network, "
            f"and {volumes[1]} against networks of the same cost that read the preference."
        )
        for other in self.settings.others:
            gains = self._listed(f"{DISTILLATION}{other}")
            yield f"Distillation {self.settings.model.distillation} against {other}: {gains}."
        effects = {task.name: -self.of_head(task, self.widths[0]).mean for task in self.sensitive_first()[:5]}
        listed = ", ".join(f"{name} {effect:+.1f}" for name, effect in effects.items())
        yield f"From the smallest head to the full one (full encoder, {self.unit}): {listed}."
        follow = [self.response(arm).estimate.text(places=2, signed=False) for arm in (EXACT, PREFERENCE)]
        yield (
            f"At {self.settings.middle_percent:g} % of the cost the groups' losses follow their preferences with a "
            f"rank correlation of {follow[0]}; with the preference as input {follow[1]}."
        )
        even = [self.uniformity(a).estimate.text(places=3, signed=False) for a in (EXACT, EQUAL, PREFERENCE)]
        yield f"Uniformity (1: as preferred): {even[0]}; equal heads {even[1]}, preference as input {even[2]}."
        yield (
            f"Against the proportional rule the exact search has {self.weighted_gain(RULE).estimate.text(self.unit)}, "
            f"tasks weighted as preferred. Unused of a budget, on average: {self.unused(EXACT)} by the exact search, "
            f"{self.unused(RULE)} by the proportional rule, {self.unused(EQUAL)} with equal heads."
        )
        for times in self.latency:
            worst = max(abs(got / said - 1) for got, said in zip(times["got"], times["predicted"], strict=True))
            yield f"On the machine of the report the largest miss of a predicted time was {100 * worst:.0f} %."
        if strengths := self.results.facts.get("strengths"):
            listed = ", ".join(f"{kind} {strength:g}" for kind, strength in strengths.items())
            yield f"Weights of the distillations, chosen on validation: {listed}."
        if (penalty := self.results.facts.get("penalty")) is not None:
            yield f"Penalty of the networks that read the preference, chosen on validation: {penalty:g}."

    def _listed(self, other: str) -> str:
        """Gains over another arm at every width."""
        gains = {width: self.against(EXACT, other, width).estimate for width in self.widths}
        return ", ".join(f"{gain.text(self.unit)} at width {width:g}" for width, gain in gains.items())

    # -- charts ------------------------------------------------------------------------------------------------------

    def charts(self) -> Iterator[Chart]:
        """Quality over width, heads, the dial, fronts at each budget, times asked and got."""
        yield from (self._over_width(), self._over_heads(), self._dial())
        yield from map(self._pareto, self.percents)
        yield from map(self._times, self.latency)

    def _title(self, arm: str) -> str:
        return self.results.method(arm).title

    def _over_width(self) -> Chart:
        arms = {EXACT: self.settings.model.distillation} | {DISTILLATION + kind: kind for kind in self.settings.others}
        series = [
            line(
                f"distillation {kind}",
                {width: self.against(arm, SEPARATE, width) for width in self.widths},
                "line" if arm == EXACT else "dashed",
            )
            for arm, kind in arms.items()
        ]
        zero = (tuple(self.widths), (0.0,) * len(self.widths))
        series.append(Series(self._title(SEPARATE), *zero, style="dashed", group=SEPARATE))
        note = "Encoder and heads at one width; mean over tasks, against a network of that width trained by itself."
        return chart("One network at every width", "width", f"gain in {self.unit}", series, note, _WIDTHS)

    def _over_heads(self) -> Chart:
        tasks = self.sensitive_first()[:_MOST_TASKS]
        series = [line(task.name, {width: self.of_head(task, width) for width in self.widths}) for task in tasks]
        note = "Full encoder; against the full head. Tasks whose head matters most."
        axes = ("head width", f"gain in {self.unit}")
        return chart("What a head's width is worth", *axes, series, note, _WIDTHS)

    def _dial(self) -> Chart:
        percent, series = self.settings.middle_percent, []

        def losses(arm: str, place: int, share: float) -> Values:
            rays = self.shares[:, place] == share
            return Values({r: float(front[rays, place].mean()) for r, front in self.front(arm, percent).items()})

        for (place, group), arm in itertools.product(enumerate(self.groups), (EXACT, EQUAL, PREFERENCE)):
            over_shares = {share: losses(arm, place, share) for share in self.shares[:, place].tolist()}
            style = "line" if arm == EXACT else "dashed"
            series.append(line(f"{self._title(arm)}: {_named(group)}", over_shares, style, f"{arm} {place}"))
        note = (
            f"At {percent:g} % of the full cost. Loss of a group: mean error of its tasks against a separate full "
            "network, so lower is better; mean over the preferences that give the group that share."
        )
        return chart("Each group as the dial turns", "share of the preferences", "loss", series, note, _DIAL)

    def _pareto(self, percent: float) -> Chart:
        series = []
        for arm in (EXACT, EQUAL, PREFERENCE):
            if fronts := list(self.front(arm, percent).values()):
                means = sorted({tuple(row) for row in np.mean(fronts, 0)[:, :2].round(6).tolist()})
                style = "line" if arm == EXACT and len(self.groups) == 2 else "dots"
                series.append(Series(self._title(arm), *zip(*means, strict=True), style=style, group=arm))
        note = "Means over seeds, test split; lower and further left is better."
        axes = [f"loss of {_named(group)}" for group in self.groups[:2]]
        return chart(f"At {percent:g} % of the full cost", *axes, series, note, _FRONT)

    def _times(self, columns: dict[str, tuple[float, ...]]) -> Chart:
        rows = sorted(zip(columns["asked"], columns["got"], columns["predicted"], strict=True))
        x, got, predicted = zip(*rows, strict=True)
        dashed = [Series(label, x, y, style="dashed") for label, y in (("predicted", predicted), ("asked", x))]
        note = "First seed's network, dense, one picture at a time, on the machine of the report."
        return chart("Latency asked for and got", "asked, ms", "ms", [Series("got", x, got), *dashed], note, _TIME)


def _named(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"
