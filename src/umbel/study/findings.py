"""What came of a study, computed from its results file alone: claims, charts, matrices and sentences."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from umbel.core import UmbelError
from umbel.report import Chart, Claim, Estimate, Listing, Matrix, Results, delta_m
from umbel.report.schema import build
from umbel.study.table import Table, Values

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Findings:
    """What a study's findings function makes of its results; everything in it can be computed again at any time.

    Attributes:
        claims: What the study set out to show.
        charts: Figures over operating points.
        matrices: Numbers between named things.
        listings: Tables of the study's own.
        verdict: Plain sentences, the most important first.
    """

    claims: tuple[Claim, ...] = ()
    charts: tuple[Chart, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    listings: tuple[Listing, ...] = ()
    verdict: tuple[str, ...] = ()


def concluded(results: Results, findings: Callable[[Results], Findings]) -> Results:
    """The results with what follows from them; what they held of it before is not looked at."""
    drawn = findings(dataclasses.replace(results, claims=(), charts=(), matrices=(), listings=(), verdict=()))
    return dataclasses.replace(
        results,
        claims=tuple(drawn.claims),
        charts=tuple(drawn.charts),
        matrices=tuple(drawn.matrices),
        listings=tuple(drawn.listings),
        verdict=tuple(drawn.verdict),
    )


def settings_of(results: Results, kind: type[Settings]) -> Settings:
    """The settings of a study, typed again.

    Raises:
        UmbelError: They are not of this kind.
    """
    if isinstance(results.settings, Mapping) and results.settings:
        return build(kind, results.settings, f"settings of {results.study}: ")
    raise UmbelError(f"the results of {results.study!r} hold no settings, so nothing can be concluded from them")


def improvement(results: Results, arm: str, split: str = "test", **place: Any) -> Values:
    """delta-m of an arm in percent, against the reference of the same repeat; positive is better.

    Args:
        results: With a reference, which was run at one point.
        arm: Key of the arm.
        split: "test" or "validation"; what is chosen is chosen by the latter.
        **place: Values of the operating point at which the arm is looked at.

    Returns:
        A number for each repeat that has both; NaN where delta-m is not defined (see `umbel.report.delta_m`).
    """
    table = Table(results.runs)
    references = table.runs_of(results.reference or "")
    runs = {repeat: run for repeat, run in table.runs_of(arm, **place).items() if repeat in references}
    return Values({repeat: delta_m(results.tasks, run, references[repeat], split) for repeat, run in runs.items()})


def claim(
    name: str,
    statement: str,
    value: Values | Estimate,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    unit: str = "points",
    reason: str = "",
) -> Claim:
    """A claim from numbers of every repeat: mean and interval against one bar.

    Args:
        name: Short name.
        statement: What is claimed, in words.
        value: One number for each repeat (differences are taken repeat by repeat), or their estimate.
        at_least: The bar, with `>=`. Give exactly one of the four.
        above: The bar, with `>`.
        at_most: The bar, with `<=`.
        below: The bar, with `<`.
        unit: Of value and bar.
        reason: Why nothing could be measured, where nothing was.

    Raises:
        UmbelError: None or several of the bars.
    """
    given = {">=": at_least, ">": above, "<=": at_most, "<": below}
    bars = {comparison: bar for comparison, bar in given.items() if bar is not None}
    if len(bars) != 1:
        raise UmbelError(f"claim {name!r} needs exactly one of at_least, above, at_most and below")
    comparison, bar = next(iter(bars.items()))
    estimate = value.estimate if isinstance(value, Values) else value
    if not estimate.known or reason:
        why = reason or "an arm or a place that it compares was not measured"
        return Claim.not_measured(name, statement, bar, why, comparison, unit)
    return Claim.measured(name, statement, estimate.mean, bar, comparison, estimate.half_width, unit)


def chart(title: str, x_label: str, y_label: str, series: Any, note: str = "", section: str = "", **more: Any) -> Chart:
    """A chart of those of the series that were measured (`line` gives None for the others)."""
    return Chart(title, x_label, y_label, tuple(one for one in series if one is not None), note, section, **more)
