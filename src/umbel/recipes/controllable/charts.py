"""The charts of the controllable study."""

from collections.abc import Iterator

import numpy as np

from umbel.core import Task
from umbel.recipes.controllable.arms import EQUAL, EXACT, PREFERENCE, SEPARATE, TITLES
from umbel.recipes.controllable.reading import Numbers
from umbel.recipes.controllable.verdict import middle
from umbel.report import Chart, Estimate, Series

_MOST_TASKS = 8
_WIDTHS, _DIAL, _FRONT, _TIME = "Widths", "The dial", "Pareto fronts", "Time"


def charts(numbers: Numbers) -> list[Chart]:
    """Quality over width, heads, the dial, fronts at each budget, times asked and got."""
    drawn = [_over_width(numbers), _over_heads(numbers), _dial(numbers), *_fronts(numbers)]
    return [*drawn, _times(numbers)] if numbers.measured.times else drawn


def _series(label: str, xs: list[float], estimates: list[Estimate], **more: str) -> Series:
    half = [e.half_width for e in estimates]
    return Series(label, tuple(xs), tuple(e.mean for e in estimates), tuple(half), **more)


def _over_width(numbers: Numbers) -> Chart:
    xs = list(numbers.widths)
    kinds = [numbers.main, *numbers.settings.others]

    def gains(kind: str) -> list[Estimate]:
        return [numbers.over_seeds(lambda s, w=w: numbers.against_separate(kind, s, w)) for w in xs]

    series = [
        _series(f"distillation {kind}", xs, gains(kind), style="line" if kind == numbers.main else "dashed")
        for kind in kinds
    ]
    series.append(Series(TITLES[SEPARATE][0], tuple(xs), tuple(0.0 for _ in xs), style="dashed", group=SEPARATE))
    note = "Encoder and heads at one width; mean over tasks, against a network of that width trained by itself."
    return Chart("One network at every width", "width", f"gain in {numbers.unit}", tuple(series), note, _WIDTHS)


def _over_heads(numbers: Numbers) -> Chart:
    xs = list(numbers.widths)
    series = []
    for task in _shown(numbers):
        of_task = [
            numbers.over_seeds(
                lambda s, v=v, t=task: numbers.gain_of(
                    t,
                    numbers.at_widths(numbers.main, s, 1.0, v)[t.name],
                    numbers.at_widths(numbers.main, s, 1.0, 1.0)[t.name],
                )
            )
            for v in xs
        ]
        series.append(_series(task.name, xs, of_task))
    note = "Full encoder; against the full head. Tasks whose head matters most."
    return Chart("What a head's width is worth", "head width", f"gain in {numbers.unit}", tuple(series), note, _WIDTHS)


def _shown(numbers: Numbers) -> list[Task]:
    def effect(task: Task) -> float:
        return numbers.over_seeds(lambda s: numbers.head_effect(task, s)).mean

    return sorted(numbers.tasks, key=effect, reverse=True)[:_MOST_TASKS]


def _dial(numbers: Numbers) -> Chart:
    percent = middle(numbers.settings.percents)
    rays = numbers.settings.rays(len(numbers.bench.groups))
    series = []
    for place, group in enumerate(numbers.bench.groups):
        for arm in (EXACT, EQUAL, PREFERENCE):
            shares = sorted({round(ray[place] / sum(ray), 6) for ray in rays})
            label = f"{TITLES[arm][0]}: {_named(group)}"
            style = "line" if arm == EXACT else "dashed"
            found = [
                numbers.over_seeds(lambda s, x=x, p=place, a=arm: _at_share(numbers, a, percent, s, p, x))
                for x in shares
            ]
            series.append(_series(label, shares, found, style=style, group=f"{arm} {place}"))
    note = (
        f"At {percent:g} % of the full cost. Loss of a group: mean error of its tasks against a separate full network, "
        "so lower is better; mean over the preferences that give the group that share."
    )
    return Chart("Each group as the dial turns", "share of the preferences", "loss", tuple(series), note, _DIAL)


def _at_share(numbers: Numbers, arm: str, percent: float, seed: int, place: int, share: float) -> float:
    found = [
        numbers.group_losses(entry["test"], seed)[place]
        for entry in numbers.entries(arm, percent, seed)
        if abs(entry["ray"][place] / sum(entry["ray"]) - share) < 1e-5
    ]
    return float(np.mean(found))


def _fronts(numbers: Numbers) -> Iterator[Chart]:
    first, second = numbers.bench.groups[:2]
    for percent in numbers.settings.percents:
        series = []
        for arm in (EXACT, EQUAL, PREFERENCE):
            fronts = np.array([numbers.front(arm, percent, seed) for seed in range(numbers.settings.seeds)])
            means = sorted({tuple(row) for row in fronts.mean(0)[:, :2].round(6).tolist()})
            style = "line" if arm == EXACT and len(numbers.bench.groups) == 2 else "dots"
            x, y = zip(*means, strict=True)
            series.append(Series(TITLES[arm][0], x, y, style=style, group=arm))
        note = "Means over seeds, test split; lower and further left is better."
        labels = (f"loss of {_named(first)}", f"loss of {_named(second)}")
        yield Chart(f"At {percent:g} % of the full cost", *labels, tuple(series), note, _FRONT)


def _named(group: list[str]) -> str:
    return group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"


def _times(numbers: Numbers) -> Chart:
    times = sorted(numbers.measured.times, key=lambda one: one["asked"])
    asked = tuple(one["asked"] for one in times)
    series = (
        Series("got", asked, tuple(one["got"] for one in times)),
        Series("predicted", asked, tuple(one["predicted"] for one in times), style="dashed"),
        Series("asked", asked, asked, style="dashed"),
    )
    note = "First seed's network, dense, one picture at a time, on the machine of the report."
    return Chart("Latency asked for and got", "asked, ms", "ms", series, note, _TIME)
