import csv
import io

import fakes
import pytest
from rich.console import Console

from umbel.report import TaskInfo, claims_list, csv_table, main_table, markdown_report, print_report
from umbel.report.grid import Estimate, decimals, fixed, full_grid, number, short_grid
from umbel.report.tables import markdown


def _shown(table, width=200):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_terminal_table_names_methods_tasks_directions_and_seeds():
    text = _shown(main_table(fakes.small(3)))
    for word in ("Single-task networks", "Equal weights", "UPGrad", "left digit", "accuracy ↑", "RMSE in pixels ↓"):
        assert word in text
    assert "over 3 seeds" in text and "reference" in text and "±" in text


def test_one_seed_has_no_interval_and_no_nan():
    text = _shown(main_table(fakes.small(1))) + csv_table(fakes.small(1)) + markdown_report(fakes.small(1))
    assert "± –" in text and "no intervals over 1 seed" in text
    assert "nan" not in text.lower()


def test_the_best_of_a_column_is_bold_by_its_direction():
    grid = full_grid(fakes.small(3))
    best = {column.title: [r[0].text for r in grid.rows if r[i].best] for i, column in enumerate(grid.columns)}
    for task in fakes.TASKS:
        values = {}
        for run in fakes.small(3).runs:
            values.setdefault(run.method, []).append(run.metrics[task.name][task.metric])
        pick = max if task.higher_is_better else min
        key = pick(values, key=lambda k: sum(values[k]))
        assert fakes.small(3).method(key).title in best[task.name]
    assert best["method"] == [] and best["parameters"] == []


def test_the_best_is_sought_at_each_operating_point():
    results = fakes.small(2, sweep=({"snr_db": 0.0}, {"snr_db": 9.0}))
    grid = full_grid(results)
    column = [c.title for c in grid.columns].index("distance")
    assert {row[0].text[-2] for row in grid.rows if row[column].best} == {"0", "9"}


def test_twenty_tasks_stay_readable_in_a_terminal():
    results = fakes.large()
    grid = short_grid(results)
    assert [c.title for c in grid.columns][:4] == ["method", "Δm", "mean of 20", "helped"]
    text = _shown(main_table(results), 140)
    assert max(map(len, text.splitlines())) <= 140
    assert len(text.splitlines()) < 40
    assert len(full_grid(results).columns) == 24


def test_helped_and_hurt_count_every_task_once():
    results = fakes.large()
    grid = short_grid(results)
    names = [c.title for c in grid.columns]
    for row in grid.rows[1:]:
        helped, hurt = row[names.index("helped")], row[names.index("hurt")]
        assert helped.value + hurt.value == 20


def test_claims_say_what_is_shown_and_what_is_not():
    text = " ".join(_shown(claims_list(fakes.small())).split())
    assert "✓ shown Equal weights is better than single-task networks (Δm)" in text
    assert "measured 1.2 %, 95 % interval 0.8 to 1.6, bar > 0 %" in text
    assert "? not shown UPGrad improves" in text and "bar ≥ 0.5 points; the interval crosses the bar" in text
    assert "✗ refuted UPGrad costs nothing" in text
    assert "not measured, bar ≤ 1.03; no benchmark ran" in text
    assert text.endswith("1 shown, 2 not shown, 1 refuted")


def test_names_that_look_like_markup_are_shown_as_they_are():
    task = TaskInfo("[bold]a|b*", "classification", "accuracy", True, "", (), ("accuracy",))
    results = fakes.small(2, (task, *fakes.TASKS[1:]), verdict=("[red]x[/red]",))
    console = Console(width=200, record=True, file=io.StringIO())
    print_report(results, console)
    text = console.export_text()
    assert "[bold]a|b*" in text and "[red]x[/red]" in text
    table = markdown(full_grid(results)).splitlines()
    assert "\\[bold\\]a\\|b\\*" in table[0]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_csv_has_a_line_for_each_method_task_and_metric():
    results = fakes.small(3)
    lines = list(csv.DictReader(io.StringIO(csv_table(results))))
    assert len(lines) == 3 * (3 * 2 + 1)
    line = next(r for r in lines if (r["method"], r["task"], r["metric"]) == ("sum", "distance", "RMSE"))
    values = [r.metrics["distance"]["RMSE"] for r in results.runs if r.method == "sum"]
    assert float(line["mean"]) == pytest.approx(sum(values) / 3)
    assert line["repeats"] == "3" and line["higher_is_better"] == "False"


def test_markdown_report_has_command_verdict_and_claims():
    text = markdown_report(fakes.small())
    assert "umbel run compare --data overlay-digits" in text
    assert "## Claims: 1 shown, 2 not shown, 1 refuted" in text and "# Comparison" in text
    assert all(sentence.split(",")[0] in text for sentence in fakes.small().verdict)


def test_numbers():
    assert fixed(-0.0004, 3) == "0.000" and fixed(-1.5, 1) == "−1.5" and fixed(0.001, 2, True) == "0.00"
    assert number(Estimate(), 2) == "–"
    assert number(Estimate(4.2e-7, 1.1e-7, 3), 3) == "4.2e−07 ± 1.1e−07"  # and not "0.000 ± 0.000"
    assert number(Estimate(4.2e-7, 1.1e-7, 3), 3, sign=True) == "0.000 ± 0.000"
    assert number(Estimate(0.0, 0.0, 3), 3) == "0.000 ± 0.000" and number(Estimate(4e-7, 0.2, 3), 1) == "0.0 ± 0.2"
    assert decimals([Estimate(0.95)]) == 3 and decimals([Estimate(7.5)]) == 2 and decimals([Estimate(0.0)]) == 3
    assert decimals([Estimate(25_000.0)]) == 0 and decimals([]) == 2


def test_a_narrow_terminal_shows_the_metrics_and_leaves_out_the_costs():
    shown = {}
    for width in (60, 300):
        text = io.StringIO()
        print_report(fakes.small(), Console(file=text, width=width))
        shown[width] = text.getvalue()
    assert "parameters" in shown[300].split("━┩")[0] and "time per step" in shown[300]
    assert "parameters" not in shown[60].split("┡")[0] and "ms" not in shown[60].split("┡")[0]
