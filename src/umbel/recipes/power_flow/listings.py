"""Tables of a power flow study: errors of all arms, speed, equal time, violations, weights, costs."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from umbel.recipes.power_flow.errors import Errors
from umbel.recipes.power_flow.networks import GUARDED
from umbel.recipes.power_flow.prepare import LOAD, OUTAGE
from umbel.recipes.power_flow.settings import ARMS, OURS
from umbel.recipes.power_flow.speed import PANDAPOWER, Speed, corrected
from umbel.report import Estimate, Listing, Results
from umbel.study import Table

USUAL = "usual"

SCENARIOS = (USUAL, LOAD, OUTAGE)
"""Where the guard is tried: test days, and days that are unlike those of training."""
_NOT_QUIET = (
    "Medians of turns in one run, one thread each, on a machine that did other things as well; the fastest solver is "
    "that of the full equations. |V| RMSE is of the rows that were timed."
)


def listings(results: Results, errors: Errors, speed: Speed) -> Iterator[Listing]:
    """The tables for which something was measured."""
    parts: Iterable[Listing | None] = (
        _arms(results, errors),
        _speed(speed, results.facts.get("machine", "")),
        _equal_time(results.facts.get("equal time", {})),
        _away(results),
        _outages(results.facts.get("outages", [])),
        *_violations(results.facts.get("violations", {})),
        _weights(results.facts),
        _costs(results.facts.get("costs", {})),
        _grid(results.facts.get("grid", {})),
    )
    yield from (part for part in parts if part is not None)


def number(value: float) -> str:
    """A number with three digits: "0.000183", "37,200", "never" where it is infinite, "-" where it is unknown."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def estimated(value: Estimate) -> str:
    """A mean and its half width, with three and two digits."""
    return number(value.mean) + (f" ± {value.half_width:.2g}" if value.has_interval else "")


def _arms(results: Results, errors: Errors) -> Listing | None:
    columns = {
        "magnitude": "|V|, pu",
        "angle": "angle, °",
        "flow": "flow",
        "std error": "std, %",
        "quantile error": "quantiles, pu",
    }
    rows = []
    for method in results.methods:
        for corrections in _corrections(results, method.key) if method.key in ARMS else ():
            values = [errors.estimate(column, (method.key, corrections)) for column in columns]
            if any(value.known for value in values):
                rows.append((method.title, str(corrections), *map(estimated, values)))
    note = (
        "Errors on test days. |V| and angle: RMSE, |V| over buses where it varies; flow: mean over branches of the "
        "RMSE in parts of its spread; std: mean over buses; quantiles: 1 and 99 % of |V|, the greatest over buses. "
        "±: 95 %, over seeds and days. A correction is a chord step of the exact equations."
    )
    numbers = ("corrections", *columns.values())
    return _listing("Errors of all arms", ("arm", *numbers), rows, numbers, note)


def _outages(outages: Sequence[Mapping[str, Any]]) -> Listing | None:
    """Known outages, with chord steps of the grid without the branch."""
    columns = {
        "corrections": "corrections",
        "right": "right, %",
        "accepted": "accepted, %",
        "accepted and wrong": "accepted but wrong, %",
        "median error": "error, pu",
        "median error from the mean": "without network, pu",
    }
    rows = [(str(one["branch"]), *(number(float(one[key])) for key in columns)) for one in outages]
    note = (
        "The network knows the usual grid; chord steps have the equations of the grid without the branch. Right: the "
        "worst bus is off by no more than the guard's bar. Errors: median over rows of the worst bus. Without the "
        "network: the usual grid's equations made linear at the mean state, and the same steps."
    )
    numbers = tuple(columns.values())
    return _listing("Known outages, corrected by their own equations", ("outage", *numbers), rows, numbers, note)


def _corrections(results: Results, arm: str) -> list[int]:
    return sorted({int(run.point["corrections"]) for run in results.runs if run.method == arm})


def _speed(speed: Speed, machine: str) -> Listing | None:
    fastest = speed.fastest
    columns = ("flows a second", "times the fastest solver", "times pandapower", "|V| RMSE, pu")
    rows = []
    for name in sorted(speed.table, key=lambda one: -speed[one]):
        rate = speed[name]
        ratios = (rate / speed[fastest] if fastest else math.nan, rate / speed[PANDAPOWER])
        error = speed.table[name].get("error pu", math.nan)
        rows.append((name, *map(number, (rate, *ratios, error)), str(speed.table[name].get("note", ""))))
    note = _NOT_QUIET + (f" Fastest solver here: {fastest}." if fastest else "")
    note += f" Machine: {machine}." if machine else ""
    return _listing("Power flows a second", ("what", *columns, "note"), rows, columns, note)


def _equal_time(facts: Mapping[str, Any]) -> Listing | None:
    errors = {
        "mean error": "mean |V|, pu",
        "std error": "std, %",
        "quantile error": "1 and 99 % quantile, pu",
        "violation error": "probability of a violation, points",
    }
    whole, answering = (number(facts.get(name, math.nan)) for name in ("seconds", "answering seconds"))
    names = {
        "surrogate": ("the network: labels, training and answers", whole),
        "monte carlo": ("Monte Carlo on the solver, in the same time", whole),
        "monte carlo, answering time": ("Monte Carlo on the solver, in the time of the answers alone", answering),
    }
    rows = []
    for key, (text, seconds) in names.items():
        if measured := facts.get(key):
            covered = 100 * measured.get("of the test", 1.0)
            rows.append((text, seconds, number(covered), *(number(measured.get(e, math.nan)) for e in errors)))
    note = (
        "Errors of what operators ask for, against all solved test days: std is a mean over buses, the others are of "
        "the worst bus. Monte Carlo draws from the same days, so that it is without error where its time covers them."
    )
    numbers = ("seconds", "test days covered, %", *errors.values())
    return _listing("Equal time", ("who", *numbers), rows, numbers, note)


def _away(results: Results) -> Listing | None:
    """What the guard makes of the trained network, on test days and away from them."""
    table = Table(results.runs, "guard").at(corrections=GUARDED)
    metrics = {
        "median error": "error, pu",
        "solved": "solved, %",
        "accepted greatest": "worst accepted, pu",
        "wrong": "wrong, %",
        "unsolved": "unsolved",
    }
    rows = []
    for scenario in SCENARIOS:
        values = [table(OURS, metric, scenario=scenario).estimate for metric in metrics]
        if any(value.known for value in values):
            rows.append((scenario, *map(estimated, values)))
    note = (
        "The network with 1 correction, without training again. The guard gives a power flow to the solver where the "
        "predicted state leaves more power unbalanced than a limit that was chosen on validation; wrong is what is off "
        "by more than the study's bar somewhere, among the accepted. Error: median of the worst bus. Unsolved: flows "
        "without a solution. Outages, which the network does not know: mean over branches. ±: over seeds."
    )
    return _listing(
        "Guarded, near training and away from it", ("scenario", *metrics.values()), rows, tuple(metrics.values()), note
    )


def _violations(facts: Mapping[str, Any]) -> Iterator[Listing | None]:
    columns = ("surrogate, %", "95 % interval, %", "solver, %")
    titles = {
        "any": "Probability that any limit is violated",
        "bus": "Buses whose voltage is likeliest to leave its limits",
        "branch": "Branches that are likeliest to be overloaded",
    }
    note = "Test days; the interval is over days. The solver's number is on the same power flows."
    for kind, title in titles.items():
        entries = facts.get(kind, [])
        entries = [entries] if entries and not isinstance(entries[0], list | tuple) else entries
        rows = []
        for name, share, low, high, truth in entries:
            interval = f"{_percent(low)} to {_percent(high)}"
            rows.append((str(name), _percent(share), interval, _percent(truth)))
        yield _listing(title, (kind, *columns), rows, (columns[0], columns[2]), note)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _weights(facts: Mapping[str, Any]) -> Listing | None:
    tried, chosen = facts.get("weights", {}), facts.get("weight")
    metrics = {"magnitude": "|V| RMSE, pu", "angle": "angle RMSE, degrees", "flow": "flow error"}
    columns = {f"{metric}, {k}": f"{text}, {corrected(k)}" for k in (0, 1) for metric, text in metrics.items()}
    rows = []
    for weight in sorted(tried, key=float):
        mark = " (chosen)" if chosen is not None and float(weight) == float(chosen) else ""
        values = (number(tried[weight].get(name, math.nan)) for name in columns)
        rows.append((f"{float(weight):g}{mark}", *values))
    note = "Validation days, seed 0: how much the angle differences count beside |V| and angles."
    numbers = ("weight of the differences", *columns.values())
    return _listing("Weights of the angle differences", numbers, rows, numbers, note)


def _costs(facts: Mapping[str, float]) -> Listing | None:
    names = {
        "labels": "solving the training flows, seconds",
        "training": "training, seconds",
        "break even": "flows after which the network has paid for itself",
        "break even, guarded": "the same with the guard",
    }
    rows = [(text, number(float(facts[name]))) for name, text in names.items() if name in facts]
    note = "Against the fastest solver, on the machine of this run; 'never' where the solver is as fast."
    return _listing("What it costs", ("what", "number"), rows, ("number",), note)


def _grid(facts: Mapping[str, Any]) -> Listing | None:
    names = {
        "buses": "buses",
        "branches": "branches",
        "inputs": "injections that vary",
        "by network": "buses whose |V| the network predicts",
        "steady": "buses whose |V| the linear map predicts alone",
        "constant": "buses whose |V| does not vary",
        "unsolved": "power flows without a solution, left out",
        "cross check": "greatest difference of the solver and pandapower, pu",
    }
    rows = [(text, number(facts[name])) for name, text in names.items() if name in facts]
    return _listing("The grid", ("what", "number"), rows, (), "")


def _listing(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str], note: str
) -> Listing | None:
    return Listing(title, tuple(columns), tuple(map(tuple, rows)), tuple(numbers), note) if rows else None
