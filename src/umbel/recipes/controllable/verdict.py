"""What came of the controllable study: claims, each of which may fall short, and plain sentences."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from umbel.recipes.controllable.arms import EQUAL, EXACT, PREFERENCE, RULE
from umbel.recipes.controllable.reading import Numbers
from umbel.report import Claim, Estimate

LEAST_EFFECT = 3.0
NEVER_WORSE = -0.3


def claims(numbers: Numbers) -> list[Claim]:
    """What the study set out to test."""
    return [
        *_against_separate(numbers),
        *_distillation(numbers),
        *_control(numbers),
        *_search(numbers),
    ]


def _claim(numbers: Numbers, name: str, words: str, value: Callable[[int], float], bar: float, **more: Any) -> Claim:
    found = numbers.over_seeds(value)
    more = {"comparison": ">=", "unit": numbers.unit, **more}
    return Claim.measured(name, words, found.mean, bar, half_width=found.half_width, **more)


def _against_separate(numbers: Numbers) -> Iterator[Claim]:
    for width in reversed(numbers.widths):
        bar = -1.0 if width == 1 else -2.0
        words = (
            f"At width {width:g} of encoder and heads the controllable network is within {-bar:g} of separate training"
        )
        value = lambda s, w=width: numbers.against_separate(numbers.main, s, w)  # noqa: E731
        yield _claim(numbers, f"width-{width:g}", words, value, bar)


def _distillation(numbers: Numbers) -> Iterator[Claim]:
    if "none" not in numbers.settings.others:
        return
    smallest, seeds = numbers.widths[0], numbers.settings.seeds
    better = sum(numbers.against_distillation("none", s, smallest) > 0 for s in range(seeds))
    least = int(np.ceil(2 * seeds / 3))
    words = (
        f"At encoder width {smallest:g}, distillation ({numbers.main}) is better than none in {least} of {seeds} seeds"
    )
    yield Claim.measured("distillation-helps", words, float(better), float(least), unit="seeds")
    worst = min(
        numbers.over_seeds(lambda s, w=width: numbers.against_distillation("none", s, w)).mean
        for width in numbers.widths
    )
    words = f"At no encoder width is it worse than none by more than {-NEVER_WORSE:g} (mean over seeds)"
    yield Claim.measured("distillation-never-worse", words, worst, NEVER_WORSE, unit=numbers.unit)


def _control(numbers: Numbers) -> Iterator[Claim]:
    words = "Mean over the budgets, its hypervolume is at least 5 % above that of equal head widths in the same network"
    yield _claim(numbers, "hypervolume", words, lambda s: numbers.more_volume(EQUAL, s), 5.0, unit="%")
    words = "Its hypervolume is at least that of networks of the same cost that read the preference"
    yield _claim(numbers, "against-preference", words, lambda s: numbers.more_volume(PREFERENCE, s), 0.0, unit="%")
    yield _response(numbers)


def _response(numbers: Numbers) -> Claim:
    tasks = numbers.sensitive_tasks(LEAST_EFFECT)
    percent = middle(numbers.settings.percents)
    words = (
        f"Preference and quality correlate (Spearman, at {percent:g} % of the cost) where a head's width matters by "
    )
    words += f"{LEAST_EFFECT:g} {numbers.unit} or more"
    if not tasks:
        words += ": no task's does"
        return Claim("response", words, 0.9, reason="no task's head matters that much")
    words += f" ({', '.join(task.name for task in tasks[:6])}{', ...' if len(tasks) > 6 else ''})"

    def mean(seed: int) -> float:
        return float(np.mean([numbers.response(task, percent, seed)[0] for task in tasks]))

    return _claim(numbers, "response", words, mean, 0.9, unit="")


def _search(numbers: Numbers) -> Iterator[Claim]:
    words = "The exact search serves preferences at least as well as the proportional rule (weighted gain, test split)"
    yield _claim(numbers, "exact", words, lambda s: numbers.weighted_gain(RULE, s), 0.0)
    most = max(entry["used"] for entries in numbers.measured.dials.values() for entry in entries)
    words = "No budget is exceeded: the largest part of a budget that any answer uses"
    yield Claim.measured("budget", words, 100 * most, 100.0, "<=", unit="%")


def middle(values: Sequence[float]) -> float:
    """The middle one, the lower of two."""
    return sorted(values)[(len(values) - 1) // 2]


def verdict(numbers: Numbers) -> list[str]:
    """Sentences, the most important first."""
    ends = [
        _text(numbers.over_seeds(lambda s, w=w: numbers.against_separate(numbers.main, s, w)), numbers.unit)
        for w in numbers.widths
    ]
    listed = ", ".join(f"{text} at width {width:g}" for width, text in zip(numbers.widths, ends, strict=True))
    said = [f"One network for all widths against separate training, on the test split: {listed}."]
    volumes = numbers.over_seeds(lambda s: numbers.more_volume(EQUAL, s))
    against = numbers.over_seeds(lambda s: numbers.more_volume(PREFERENCE, s))
    said.append(
        f"Heads of independent widths have {_text(volumes, '%')} hypervolume against equal head widths, and "
        f"{_text(against, '%')} against networks of the same cost that read the preference."
    )
    said += [_distilled(numbers, other) for other in numbers.settings.others]
    said.append(_sensitive(numbers))
    percent = middle(numbers.settings.percents)
    follow = {a: numbers.over_seeds(lambda s, a=a: numbers.group_response(percent, s, a)) for a in (EXACT, PREFERENCE)}
    said.append(
        f"At {percent:g} % of the cost the groups' losses follow their preferences with a rank correlation of "
        f"{follow[EXACT].mean:.2f}; with the preference as input {follow[PREFERENCE].mean:.2f}."
    )
    even = {a: numbers.over_seeds(lambda s, a=a: numbers.uniformity(a, s)) for a in (EXACT, EQUAL, PREFERENCE)}
    said.append(
        f"Uniformity (1: as preferred) is {even[EXACT].mean:.3f}; with equal heads {even[EQUAL].mean:.3f}, "
        f"with the preference as input {even[PREFERENCE].mean:.3f}."
    )
    unused = {a: numbers.over_seeds(lambda s, a=a: numbers.budget_error(a, s)).mean for a in (EXACT, RULE, EQUAL)}
    said.append(
        f"Budget error (unused, on average): {unused[EXACT]:.0f} % by the exact search, {unused[RULE]:.0f} % by the "
        f"proportional rule, {unused[EQUAL]:.0f} % with equal heads."
    )
    if numbers.measured.times:
        worst = max(abs(t["got"] / t["predicted"] - 1) for t in numbers.measured.times)
        said.append(f"On this machine the largest miss of a predicted time was {100 * worst:.0f} %.")
    return said


def _distilled(numbers: Numbers, other: str) -> str:
    gains = [numbers.over_seeds(lambda s, w=w: numbers.against_distillation(other, s, w)) for w in numbers.widths]
    listed = ", ".join(f"{_text(gain, numbers.unit)} at {w:g}" for w, gain in zip(numbers.widths, gains, strict=True))
    return f"Distillation {numbers.main} against {other}, by encoder width: {listed}."


def _sensitive(numbers: Numbers) -> str:
    effects = {t.name: numbers.over_seeds(lambda s, t=t: numbers.head_effect(t, s)).mean for t in numbers.tasks}
    ranked = sorted(effects, key=effects.get, reverse=True)
    shown = ", ".join(f"{name} {effects[name]:+.1f}" for name in ranked[:5])
    return f"From the smallest head to the full one (full encoder, validation, {numbers.unit}): {shown}."


def _text(estimate: Estimate, unit: str) -> str:
    if not estimate.known:
        return "an unknown amount of"
    interval = f" ± {estimate.half_width:.1f}" if estimate.has_interval else ""
    return f"{estimate.mean:+.1f}{interval} {unit}"
