"""A report's tables for the terminal, for Markdown and for spreadsheets."""

import csv
import io
import math
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from umbel.report.chart_grid import chart_grid
from umbel.report.claims import count_states
from umbel.report.grid import (
    CLAIM_SIGNS,
    Grid,
    claims_grid,
    full_grid,
    matrix_grid,
    relative_grid,
    short_grid,
    without_costs,
)
from umbel.report.listing_grid import listing_grid
from umbel.report.results import Results
from umbel.report.summary import Estimate, point_text, summary
from umbel.spreadsheets import safe_value

_STYLES = {"good": "green", "bad": "red", "": ""}
_WHOLE = 20  # names of methods up to this length are not broken into lines
_CSV_COLUMNS = (
    "method",
    "point",
    "task",
    "metric",
    "unit",
    "higher_is_better",
    "mean",
    "half_width_95",
    "repeats",
    "improvement_percent",
    "improvement_half_width_95",
)


def rich_table(grid: Grid) -> Table:
    """A grid for the terminal; the best of each column in bold."""
    table = Table(title=Text(grid.title, style="bold"), title_justify="left", header_style="bold")
    for number, column in enumerate(grid.columns):
        heading = Text(column.title)
        if column.subtitle:
            heading.append(f"\n{column.subtitle}", style="not bold dim")
        whole = number == 0 and max((len(row[0].text) for row in grid.rows), default=0) <= _WHOLE
        table.add_column(heading, justify="right" if column.numeric else "left", overflow="fold", no_wrap=whole)
    for row in grid.rows:
        cells = []
        for entry in row:
            text = Text(entry.text, style="bold" if entry.best else "")
            text.stylize(_STYLES[entry.mark])
            cells.append(text)
        table.add_row(*cells)
    return table


def main_table(results: Results, costs: bool = True) -> Table:
    """Methods against tasks for the terminal; with many tasks, figures over tasks.

    Args:
        results: Of a study.
        costs: Show the columns of time and parameters, too.
    """
    grid = short_grid(results)
    return rich_table(grid if costs else without_costs(grid))


def claims_list(results: Results) -> Text:
    """The claims for the terminal: state and statement of each, and under it what was measured against which bar."""
    text = Text()
    for claim, row in zip(results.claims, claims_grid(results).rows, strict=True):
        _, value, interval, bar, state = row
        text.append(CLAIM_SIGNS[claim.state] + claim.state, style=f"bold {_STYLES[state.mark]}".strip())
        text.append(f"  {claim.statement}\n")
        measured = "not measured" if claim.value is None else f"measured {value.text}"
        measured += "" if claim.interval is None else f", 95 % interval {interval.text}"
        why = f"; {claim.doubt}" if claim.doubt else ""
        text.append(f"    {measured}, bar {bar.text}{why}\n", style="dim")
    text.append(count_states(results.claims))
    return text


def print_report(results: Results, console: Console | None = None) -> None:
    """Print verdict, main table, claims and warnings."""
    console = console or Console()
    table = main_table(results)
    wide = console.options.update(width=10_000)
    if console.measure(table, options=wide).maximum > console.width:  # metrics need the room, the page has the costs
        table = main_table(results, costs=False)
    console.print(table)
    for sentence in results.verdict:
        console.print(Text(sentence))
    if results.claims:
        console.print(Text("Claims", style="bold"))
        console.print(claims_list(results))
    for warning in results.warnings:
        console.print(Text(f"Note: {warning}", style="yellow"))


def markdown(grid: Grid) -> str:
    """A grid as a Markdown table; the best of each column in bold."""
    headings = [f"{c.title}, {c.subtitle}" if c.subtitle else c.title for c in grid.columns]
    lines = ["| " + " | ".join(map(_escaped, headings)) + " |"]
    lines.append("|" + "|".join("---:" if c.numeric else ":---" for c in grid.columns) + "|")
    for row in grid.rows:
        cells = [f"**{_escaped(e.text)}**" if e.best else _escaped(e.text) for e in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    for character in "\\`*_<>[]|":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def markdown_report(results: Results) -> str:
    """Title, command, verdict, tables, charts in numbers and claims of a study, for docs/results."""
    parts = [f"# {_escaped(results.title)}\n", f"```text\n{results.command}\n```\n"]
    parts.append("".join(f"- {_escaped(sentence)}\n" for sentence in results.verdict))
    parts.append(f"{_escaped(full_grid(results).title)}. Bold: best mean of a column.\n")
    parts.append(markdown(full_grid(results)))
    if (relative := relative_grid(results)) is not None:
        parts += [f"## {_escaped(relative.title)}\n", markdown(relative)]
    for listing in results.listings:
        parts += [f"## {_escaped(listing.title)}\n", f"{_escaped(listing.note)}\n" if listing.note else ""]
        parts.append(markdown(listing_grid(listing)))
    parts += _charts(results)
    for matrix in results.matrices:
        parts += [f"## {_escaped(matrix.title)}\n", markdown(matrix_grid(matrix))]
        parts += [f"{_escaped(matrix.note)}\n"] if matrix.note else []
    if results.claims:
        parts += [f"## Claims: {count_states(results.claims)}\n", markdown(claims_grid(results))]
    parts += [f"Note: {_escaped(warning)}\n" for warning in results.warnings]
    facts = "; ".join(f"{name} {value}" for name, value in results.environment.items())
    parts.append(f"Umbel {results.version}, {results.created}. {_escaped(facts)}\n")
    return "\n".join(part for part in parts if part)


def _charts(results: Results) -> list[str]:
    """Each chart as a small table."""
    parts = ["## Over operating points\n"] if results.charts else []
    for chart in results.charts:
        title = f"{chart.section}: {chart.title}" if chart.section else chart.title
        parts += [f"### {_escaped(title)}\n", markdown(chart_grid(chart))]
        parts += [f"{_escaped(chart.note)}\n"] if chart.note else []
    return parts


def csv_table(results: Results) -> str:
    """Every metric of every task as CSV: one line for each method, operating point, task and metric.

    Columns: method, point, task, metric, unit, higher_is_better (of the main metric; else empty), mean,
    half_width_95, repeats, improvement_percent, improvement_half_width_95. What is not known is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def write(cells: list[Any]) -> None:
        writer.writerow(map(safe_value, cells))

    write(list(_CSV_COLUMNS))
    for row in summary(results):
        for task in results.tasks:
            start = [row.method.key, point_text(row.point), task.name]
            main = [*_numbers(row.metrics[task.name]), row.metrics[task.name].count]
            better = _numbers(row.relative.get(task.name, Estimate()))
            write([*start, task.metric, task.unit, task.higher_is_better, *main, *better])
            for metric, estimate in row.others[task.name].items():
                write([*start, metric, "", "", *_numbers(estimate), estimate.count, "", ""])
        delta = row.delta_m
        write([row.method.key, point_text(row.point), "", "delta_m", "%", True, *_numbers(delta), delta.count, "", ""])
    return text.getvalue()


def _numbers(estimate: Estimate) -> list[str]:
    return ["" if math.isnan(v) else repr(v) for v in (estimate.mean, estimate.half_width)]
