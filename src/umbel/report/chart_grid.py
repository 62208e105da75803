"""A chart as a table, for those who read numbers or cannot see the figure."""

import math

from umbel.report.charts import Chart, Series
from umbel.report.grid import DASH, Column, Entry, Grid, decimals, fixed, number
from umbel.report.summary import Estimate

MANY_POINTS = 16
"""A series of more points than this is a dense line, as a bound that was computed and not measured."""

_LEAST_FILLED = 0.5  # with no more than this part of the cells filled, a column for each x would be mostly dashes


def chart_grid(chart: Chart) -> Grid:
    """A row for each series and a column for each x; a row for each point where the series share few x.

    A dense line (more than 16 points) beside others is told at their x only.
    """
    places = decimals([e for series in chart.series for e in _estimates(series)])
    sparse = [series for series in chart.series if len(series.x) <= MANY_POINTS]
    every = sorted({x for series in sparse or chart.series for x in series.x})
    once = all(len(set(series.x)) == len(series.x) for series in chart.series)
    filled = sum(len(set(series.x) & set(every)) for series in chart.series)
    if once and filled > _LEAST_FILLED * len(every) * len(chart.series):
        return _wide(chart, every, places)
    return _long(chart, places)


def _wide(chart: Chart, every: list[float], places: int) -> Grid:
    columns = [Column(chart.y_label, f"by {chart.x_label}", numeric=False), *(Column(place_text(x)) for x in every)]
    rows = []
    for series in chart.series:
        cells = dict(zip(series.x, _cells(series, places), strict=True))
        rows.append((Entry(series.label), *(cells.get(x, Entry(DASH)) for x in every)))
    return Grid(chart.title, tuple(columns), tuple(rows))


def _long(chart: Chart, places: int) -> Grid:
    columns = (Column("series", numeric=False), Column(chart.x_label), Column(chart.y_label))
    rows = [
        (Entry(series.label), Entry(place_text(x), value=x), cell)
        for series in chart.series
        for x, cell in zip(series.x, _cells(series, places), strict=True)
    ]
    return Grid(chart.title, columns, tuple(rows))


def place_text(x: float) -> str:
    """A place on the x-axis, with a true minus sign."""
    return f"{x:.4g}".replace("-", "−")


def _estimates(series: Series) -> list[Estimate]:
    widths = series.half_width or [math.nan] * len(series.x)
    return [Estimate(y if math.isfinite(y) else math.nan, w) for y, w in zip(series.y, widths, strict=True)]


def _cells(series: Series, places: int) -> list[Entry]:
    return [
        Entry(
            number(e, places) if e.has_interval else fixed(e.mean, places) if e.known else DASH,
            value=e.mean if e.known else None,
        )
        for e in _estimates(series)
    ]
