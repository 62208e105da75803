"""Pictures of power flows that were predicted and solved: bands per bus, branch flows, a map, errors far from training.

Each function gives a figure, which `save` writes as PNG.
"""

import io
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from umbel.core import UmbelError
from umbel.files import write_atomically
from umbel.grids import Grid
from umbel.grids.grid import Reals
from umbel.report.drawing import COLOURS, MARKERS, REFERENCE, STYLE

SHARES = (0.01, 0.05, 0.95, 0.99)
"""Quantiles whose bands are drawn: the inner and the outer two."""
_CONSTANT = 1e-7  # per unit; a bus that varies less is held by a generator
_MOST_DOTS = 4000  # of a group; more make the file large and hide each other
_WIDTH, _DOTS_PER_INCH = 7.2, 130
_MAP = "cividis_r"
_PLAIN = "#c8ccd1"
P = ParamSpec("P")


def _in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The function in the look of all figures."""

    @wraps(draw)
    def drawn(*given: P.args, **named: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*given, **named)

    return drawn


def save(figure: Figure, file: Path | str) -> Path:
    """Write a figure as PNG, whole or not at all; returns its path.

    Raises:
        UmbelError: The file cannot be written.
    """
    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(content, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return write_atomically(Path(file), content.getvalue())


# -- the four pictures -----------------------------------------------------------------------------------------------


@_in_style
def quantile_bands(grid: Grid, predicted: Reals, solved: Reals, low: float = 0.95, high: float = 1.05) -> Figure:
    """Between which |V| each bus is in 90 % and in 98 % of the power flows, by the surrogate and by the solver.

    Buses are sorted by the solver's median; those whose |V| a generator holds are left out.

    Args:
        grid: Of n buses.
        predicted: [rows, n], magnitudes of the surrogate, per unit; rows that hold NaN are left out.
        solved: [rows, n], of the solver, for the same injections or for others.
        low: Lower limit of |V|, per unit.
        high: Upper limit.

    Raises:
        UmbelError: Other shapes, or no bus varies.
    """
    predicted, solved = (_complete(part, len(grid), "magnitudes") for part in (predicted, solved))
    buses = np.flatnonzero(solved.std(0) > _CONSTANT)
    if not len(buses):
        raise UmbelError(f"{grid.name}: no voltage varies, so that there are no bands to draw")
    buses = buses[np.argsort(np.median(solved[:, buses], axis=0), kind="stable")]
    figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
    axes, place = figure.add_subplot(), np.arange(1, len(buses) + 1)
    outer_low, inner_low, inner_high, outer_high = np.quantile(solved[:, buses], SHARES, axis=0)
    axes.fill_between(place, outer_low, outer_high, color=COLOURS[0], alpha=0.22, lw=0, label="solver, 1 to 99 %")
    axes.fill_between(place, inner_low, inner_high, color=COLOURS[0], alpha=0.45, lw=0, label="solver, 5 to 95 %")
    lines = np.quantile(predicted[:, buses], SHARES, axis=0)
    for number, line in enumerate(lines):
        outer = number in (0, len(SHARES) - 1)
        name = ("1 and 99 %" if outer else "5 and 95 %") if number < 2 else None
        axes.plot(place, line, color=COLOURS[1], lw=1.0, ls=":" if outer else "-", label=name and f"surrogate, {name}")
    for limit in (low, high):
        axes.axhline(limit, color=REFERENCE, lw=0.9, ls="--", label="limits" if limit == low else None)
    _labels(axes, "buses, by median", "voltage magnitude, per unit")
    axes.margins(x=0.01)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@_in_style
def flow_scatter(grid: Grid, predicted: Reals, solved: Reals) -> Figure:
    """Branch flows by the surrogate against those by the solver, and how the errors are distributed.

    Args:
        grid: Of some branches.
        predicted: [rows, branches], active power into each branch at its from side, MW; rows with NaN are left out.
        solved: [rows, branches], of the solver, for the same injections.

    Raises:
        UmbelError: Other shapes, or the two have not the same rows.
    """
    predicted, solved = _paired(predicted, solved, len(grid.branches), "flows")
    figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    x, y = _thinned(solved.ravel(), predicted.ravel())
    left.scatter(x, y, s=5, color=COLOURS[0], alpha=0.35, lw=0)
    ends = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    left.plot(ends, ends, color=REFERENCE, lw=0.9, ls="--")
    _labels(left, "solved, MW", "predicted, MW")
    error = (predicted - solved).ravel()
    most = float(np.quantile(np.abs(error), 0.995)) or 1.0
    outside = float((np.abs(error) > most).mean())
    right.hist(np.clip(error, -most, most), bins=61, range=(-most, most), color=COLOURS[0])
    _logarithmic(right, "y")
    right.set_title(f"RMSE {np.sqrt((error**2).mean()):.3g} MW, greatest {np.abs(error).max():.3g} MW", fontsize=9)
    _labels(right, f"error, MW ({100 * outside:.1f} % in the outermost bars)", "flows")
    return figure


@_in_style
def violation_map(grid: Grid, by_bus: Reals, by_branch: Reals) -> Figure:
    """The grid, each bus and branch in the colour of the probability that a limit is violated there.

    Buses stand at `Grid.layout`. What is never violated is drawn in grey.

    Args:
        grid: Of n buses.
        by_bus: [n], probability that |V| is outside its limits, 0 to 1.
        by_branch: [branches], probability of an overload; NaN where a branch has no limit.

    Raises:
        UmbelError: Other shapes, or numbers that are no probabilities.
    """
    by_bus, by_branch = np.asarray(by_bus, float), np.asarray(by_branch, float)
    for values, count, what in ((by_bus, len(grid), "buses"), (by_branch, len(grid.branches), "branches")):
        if values.shape != (count,):
            raise UmbelError(f"{grid.name}: {values.shape} probabilities for its {count} {what}; give one for each")
        if ((values < 0) | (values > 1)).any():
            raise UmbelError(f"{grid.name}: a probability of its {what} is below 0 or above 1")
    most = float(np.nanmax([*by_bus, *by_branch, 0.0])) or 1.0
    colours = Normalize(0.0, 100 * most)
    figure = Figure(figsize=(_WIDTH, 6.0), layout="constrained")
    axes, places = figure.add_subplot(), grid.layout
    ends = np.stack([places[grid.branches.from_bus], places[grid.branches.to_bus]], axis=1)
    loaded = np.nan_to_num(by_branch) > 0
    axes.add_collection(LineCollection(list(ends[~loaded]), colors=_PLAIN, linewidths=0.7, zorder=1))
    over = LineCollection(list(ends[loaded]), cmap=_MAP, norm=colours, linewidths=2.4, zorder=2)
    over.set_array(100 * by_branch[loaded])
    axes.add_collection(over)
    small = max(5.0, min(30.0, 9000.0 / len(grid)))
    calm = by_bus == 0
    axes.scatter(*places[calm].T, s=small / 2, color=_PLAIN, lw=0, zorder=3)
    marks = axes.scatter(
        *places[~calm].T, s=small, c=100 * by_bus[~calm], cmap=_MAP, norm=colours, ec=REFERENCE, lw=0.4, zorder=4
    )
    if not calm.all() or loaded.any():
        figure.colorbar(marks, ax=axes, shrink=0.7, label="probability of a violation, %")
    limited = int(np.isfinite(by_branch).sum())
    branches = f"{int(loaded.sum())} of {limited} branches with a limit" if limited else "no branch has a limit"
    axes.set_title(
        f"|V| ever out of its limits: {int((~calm).sum())} of {len(grid)} buses; ever overloaded: {branches}",
        fontsize=9,
    )
    axes.set_aspect("equal")
    axes.set_axis_off()
    return figure


@_in_style
def error_against(groups: Mapping[str, tuple[Reals, Reals]], x_label: str, y_label: str, log_x: bool = False) -> Figure:
    """Errors of single power flows against something that is known of each: how far it is from training, say.

    Args:
        groups: Name ("test days", "load +20 %", "outage") -> that number, and the error, each [rows].
        x_label: What the number is, with its unit.
        y_label: What the error is, with its unit; drawn on a logarithmic axis.
        log_x: Whether the number is, too.

    Raises:
        UmbelError: No group, or one whose two arrays are not of one length.
    """
    if not groups:
        raise UmbelError("errors of no power flow at all; give at least one group")
    figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, pair) in enumerate(groups.items()):
        x, error = (np.asarray(part, float) for part in pair)
        if x.ndim != 1 or x.shape != error.shape:
            raise UmbelError(f"errors of {name!r}: {error.shape} for {x.shape} numbers; give one for each")
        known = np.isfinite(x) & np.isfinite(error) & (error > 0) & ((x > 0) | (not log_x))
        look: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        axes.scatter(*_thinned(x[known], error[known]), s=9, alpha=0.4, lw=0, label=name, **look)
    _logarithmic(axes, "y")
    if log_x:
        _logarithmic(axes, "x")
    _labels(axes, x_label, y_label)
    figure.legend(loc="outside lower center", ncols=3, markerscale=2)
    return figure


def standardised_distance(training: Reals, inputs: Reals) -> Reals:
    """How far inputs are from those of training: [rows]; about 1 for what is like training.

        d = sqrt(mean over inputs of ((x - mean) / spread)²)

    Inputs that do not vary in training are left out. An outage changes no input, so this distance cannot see it; what
    sees it is the mismatch of the predicted state.

    Args:
        training: [m, F].
        inputs: [rows, F].

    Raises:
        UmbelError: Another number of inputs, or none varies.
    """
    spread = training.std(0)
    varies = spread > 1e-9
    if inputs.ndim != 2 or inputs.shape[1] != len(spread) or not varies.any():
        raise UmbelError(f"inputs {inputs.shape} against training {training.shape}; give the same columns that vary")
    z = (inputs[:, varies] - training[:, varies].mean(0)) / spread[varies]
    return np.sqrt((z**2).mean(1))


# -- parts -----------------------------------------------------------------------------------------------------------


def _labels(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _logarithmic(axes: Axes, which: str) -> None:
    """A logarithmic axis with plain numbers: the look of all figures leaves mathematics in texts as they are."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _complete(values: Reals, columns: int, what: str) -> Reals:
    """The rows without NaN."""
    values = np.asarray(values, float)
    if values.ndim != 2 or values.shape[1] != columns:
        raise UmbelError(f"{what} {values.shape}; give [rows, {columns}]")
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        raise UmbelError(f"no row of the {what} is without NaN")
    return values


def _paired(one: Reals, other: Reals, columns: int, what: str) -> tuple[Reals, Reals]:
    """The rows in which neither holds NaN."""
    if np.shape(one) != np.shape(other):
        raise UmbelError(f"{what} {np.shape(one)} against {np.shape(other)}; give the same rows of both")
    both = _complete(np.concatenate([one, other], axis=1), 2 * columns, what)
    return both[:, :columns], both[:, columns:]


def _thinned(*values: Reals) -> tuple[Reals, ...]:
    """At most `_MOST_DOTS` of them, evenly taken; always the same."""
    places = np.linspace(0, len(values[0]) - 1, min(len(values[0]), _MOST_DOTS)).astype(int)
    return tuple(part[places] for part in values)
