"""What came of the power flow study: claims by their intervals, charts, tables and sentences, from its file alone."""

import math
from collections.abc import Iterator
from dataclasses import replace

from umbel.recipes.power_flow.errors import Errors
from umbel.recipes.power_flow.listings import listings
from umbel.recipes.power_flow.networks import GUARDED
from umbel.recipes.power_flow.sentences import verdict
from umbel.recipes.power_flow.settings import FREE, FREE_WITHOUT, MEAN, OURS, PLAIN, PLAIN_DIFFERENCE, RIDGE, WITHOUT
from umbel.recipes.power_flow.speed import BASE, PANDAPOWER, Speed, corrected, from_mean, linear, surrogate
from umbel.report import Chart, Claim, Estimate, Results, Series
from umbel.report.schema import finite_again
from umbel.study import Findings, chart, claim

_LARGE = 1000
"""Buses from which a grid counts as large: a reduced linear map, and another bar for speed."""
_CORRECTIONS = (0, 1, 2, 3)
_ARMS = {OURS: "network", RIDGE: "ridge", MEAN: "mean state"}
_AGAINST_SOLVER, _AGAINST_SOLVER_LARGE, _AGAINST_PANDAPOWER = 10.0, 12.0, 500.0
_UNITS = {"magnitude": "|V| RMSE", "flow": "flow error"}


def findings(results: Results) -> Findings:
    """All that follows from the results file."""
    results = replace(results, facts=finite_again(results.facts))  # "Infinity" of a file is a number again
    errors, speed = Errors(results), Speed(results)
    claims = tuple(_claims(results, errors, speed))
    return Findings(
        claims=claims,
        charts=tuple(_charts(errors, speed)),
        listings=tuple(listings(results, errors, speed)),
        verdict=tuple(verdict(results, errors, speed, claims)),
    )


# -- claims ----------------------------------------------------------------------------------------------------------


def _claims(results: Results, errors: Errors, speed: Speed) -> Iterator[Claim]:
    """Of the arms that the study has, and of speed where it was timed."""
    arms = {method.key for method in results.methods}
    yield from _against_rivals(errors, arms)
    yield from _of_the_term(errors, arms)
    yield from _of_distributions(errors)
    timed = bool(results.facts.get("throughput"))
    for corrections in (0, 1, 2):
        yield from _pays(errors, speed, corrections, timed)
    if not timed:
        return
    large = results.facts.get("grid", {}).get("buses", 0) >= _LARGE
    bar = _AGAINST_SOLVER_LARGE if large else _AGAINST_SOLVER
    for corrections in (0, 1):
        yield speed.claim(f"speed, {corrected(corrections)}", surrogate(corrections), BASE, bar)
    yield speed.claim("speed against pandapower", surrogate(1), PANDAPOWER, _AGAINST_PANDAPOWER)


def _against_rivals(errors: Errors, arms: set[str]) -> Iterator[Claim]:
    """The network with and without a chord step, against a linear map and a plain network without any."""
    for corrections in (1, 0):
        for rival, name, bar in ((RIDGE, RIDGE, 0.7), (PLAIN, "a plain network", 0.2)):
            if rival in arms:
                yield _ratio(errors, f"|V| against {name}", "magnitude", (OURS, corrections), (rival, 0), bar)
        if RIDGE in arms:
            yield _ratio(errors, "flows against ridge", "flow", (OURS, corrections), (RIDGE, 0), 1.0)


def _of_the_term(errors: Errors, arms: set[str]) -> Iterator[Claim]:
    """What the angle differences as a task do for flows: same network with and without, no chord steps."""
    pairs = {
        "angle differences, through modes": (OURS, WITHOUT),
        "angle differences, free head": (FREE, FREE_WITHOUT),
        "angle differences, plain network": (PLAIN_DIFFERENCE, PLAIN),
        "modes and differences": (OURS, FREE_WITHOUT),
    }
    for name, (arm, rival) in pairs.items():
        if {arm, rival} <= arms:
            yield _ratio(errors, name, "flow", (arm, 0), (rival, 0), 0.7)


def _of_distributions(errors: Errors) -> Iterator[Claim]:
    for corrections in (1, 0):
        value, place = errors.estimate("std error", (OURS, corrections)), corrected(corrections)
        text = f"the standard deviation of |V|, mean over buses, is within 1 % of the solver's, {place}"
        yield claim(f"standard deviation, {place}", text, value, below=1.0, unit="%")
    value, place = errors.estimate("quantile error", (OURS, GUARDED)), corrected(GUARDED)
    text = f"the 1 and 99 % quantiles of |V|, at the worst bus, are within 5e-4 pu of the solver's, {place}"
    yield claim(f"quantiles, {place}", text, value, below=5e-4, unit="pu")


def _pays(errors: Errors, speed: Speed, corrections: int, timed: bool) -> Iterator[Claim]:
    """Whether anything is left for the network to do beside the exact equations."""
    ours, place = (OURS, corrections), corrected(corrections)
    for column, what in _UNITS.items():
        if corrections:
            text = f"the {what} of the network is below that of ridge, {place} after both"
            ratio = errors.ratio(column, ours, (RIDGE, corrections))
            yield claim(f"{what}: pays over ridge, {place}", text, ratio, below=1.0, unit="times")
    if not timed:
        return
    steps = speed.steps_as_slow(surrogate(corrections))
    for column, what in _UNITS.items():
        rival = f"the mean state and {steps or 'some'} chord steps" if steps != 1 else "the mean state and 1 chord step"
        text = f"the {what} of the network, {place}, is below that of {rival}, which take at least as long"
        name, none = f"{what}: pays over the mean state, {place}", "no such steps that take as long were timed"
        ratio = errors.ratio(column, ours, (MEAN, steps)) if steps else Estimate()
        yield claim(name, text, ratio, below=1.0, unit="times", reason="" if steps else none)


def _ratio(errors: Errors, name: str, column: str, arm: tuple[str, int], rival: tuple[str, int], bar: float) -> Claim:
    times = "" if bar == 1 else f"{bar:g} times "
    after = f", {corrected(rival[1])}" if rival[1] != arm[1] else ""
    text = f"{_UNITS[column]} of {_arm(arm[0])}, {corrected(arm[1])}, is at most {times}that of {_arm(rival[0])}{after}"
    full = f"{name}, {corrected(arm[1])}" if arm[0] == OURS else name
    return claim(full, text, errors.ratio(column, arm, rival), at_most=bar, unit="times")


def _arm(key: str) -> str:
    return "the network" if key == OURS else key


# -- charts ----------------------------------------------------------------------------------------------------------


def _charts(errors: Errors, speed: Speed) -> Iterator[Chart]:
    labels = {"magnitude": "log10 of the |V| RMSE in per unit", "flow": "log10 of the flow error (RMSE over spread)"}
    for column, y_label in labels.items():
        lines = [_over_corrections(errors, column, arm) for arm in _ARMS]
        if any(lines):
            note = "Test days; the band is over seeds and days. On a straight line each step divides the error alike."
            yield chart(f"{_UNITS[column]} against corrections", "chord steps", y_label, lines, note, "Corrections")
    for column, y_label in labels.items():
        lines = [
            _over_speed(errors, speed, column, OURS, {surrogate(k): k for k in _CORRECTIONS}),
            _over_speed(errors, speed, column, MEAN, {from_mean(k): k for k in _CORRECTIONS[1:]}),
            _over_speed(errors, speed, column, RIDGE, {linear(k): k for k in _CORRECTIONS}),
        ]
        if any(lines):
            note = (
                "Each line from few chord steps (right) to many (left); further down and further right is better. "
                "Medians of one run, one thread."
            )
            title = f"{_UNITS[column]} against speed"
            yield chart(title, "power flows a second", y_label, lines, note, "Error and speed", log_x=True)


def _over_corrections(errors: Errors, column: str, arm: str) -> Series | None:
    return _line(_ARMS[arm], arm, {k: errors.estimate(column, (arm, k)) for k in _CORRECTIONS})


def _over_speed(errors: Errors, speed: Speed, column: str, arm: str, names: dict[str, int]) -> Series | None:
    timed = {speed[name]: errors.estimate(column, (arm, k)) for name, k in names.items() if name in speed}
    return _line(_ARMS[arm], arm, timed)


def _line(label: str, arm: str, estimates: dict[float, Estimate]) -> Series | None:
    """Estimates on a logarithmic scale; a half width becomes one of the logarithm."""
    known = {x: one for x, one in sorted(estimates.items()) if one.known and one.mean > 0}
    if not known:
        return None
    widths = tuple(one.half_width / one.mean / math.log(10) for one in known.values())
    widths = widths if any(map(math.isfinite, widths)) else ()
    style = "line" if len(known) > 1 else "dots"
    return Series(label, tuple(known), tuple(math.log10(one.mean) for one in known.values()), widths, style, arm)
