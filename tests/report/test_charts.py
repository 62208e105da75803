"""Charts over operating points: series from runs, their checks, figures, tables, and the main table's choice."""

import io
import json
import math
import re
from dataclasses import replace

import fakes
import numpy
import pytest
from matplotlib import colors
from rich.console import Console

from umbel.core import UmbelError
from umbel.report import (
    Chart,
    Results,
    Run,
    Series,
    chart_series,
    csv_table,
    main_table,
    markdown_report,
    summary,
    write_combined,
    write_page,
)
from umbel.report.chart_figures import _looks, _spread, chart_pictures
from umbel.report.chart_grid import chart_grid
from umbel.report.drawing import COLOURS
from umbel.report.figures import figures


def _run(seed, snr, accuracy, **point):
    return Run("m", seed, {"class": {"accuracy": accuracy, "uses": 10 * accuracy}}, {"snr_db": snr, **point})


RUNS = (
    _run(0, 5.0, 0.7, layer=1), _run(1, 5.0, 0.9, layer=1), _run(0, -5, 0.2, layer=1), _run(1, -5, 0.2, layer=1),
    _run(0, 5.0, 0.99, layer=2),
)  # fmt: skip


def test_a_series_is_mean_and_interval_over_seeds_in_order_of_x():
    series = chart_series(RUNS, "m", "snr_db", "class", "accuracy", {"layer": 1}, label="first", group="g")
    assert (series.label, series.group, series.x) == ("first", "g", (-5.0, 5.0))
    assert series.y == pytest.approx((0.2, 0.8))
    # two seeds 0.2 apart: deviation 0.1 * sqrt(2), over sqrt(2), times t(1) = 12.706
    assert series.half_width == pytest.approx((0.0, 1.2706), rel=1e-3)


def test_a_series_takes_only_the_runs_of_its_method_and_point():
    other = Run("n", 0, {"class": {"accuracy": 0.1}}, {"snr_db": 5.0, "layer": 2})
    series = chart_series((*RUNS, other), "m", "snr_db", "class", "accuracy", {"layer": 2.0})
    assert (series.label, series.x, series.y, series.half_width) == ("m", (5.0,), (0.99,), ())


def test_nested_values_of_a_point_are_compared_as_json_gives_them_back():
    run = _run(0, 5.0, 0.7, receivers=[3, 10], noise={"kind": "fast", "k": math.inf})
    where = {"receivers": (3, 10), "noise": {"kind": "fast", "k": math.inf}}
    assert chart_series([run], "m", "snr_db", "class", "accuracy", where).y == (0.7,)


def test_repeats_are_never_mixed_with_points_that_were_left_open():
    with pytest.raises(UmbelError, match=r"runs of 'm' at snr_db 5.0: several of one repeat.*\(layer\)"):
        chart_series(RUNS, "m", "snr_db", "class", "accuracy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("n", "snr_db", "class", "accuracy"), "unknown method with runs 'n'"),
        (("m", "snr", "class", "accuracy", {"layer": 1}), "no run of 'm' has a number 'snr' at layer 1"),
        (("m", "snr_db", "class", "accuracy", {"layer": 7}), "no run of 'm' has a number 'snr_db' at layer 7"),
        (("m", "snr_db", "class", "acuracy", {"layer": 1}), "unknown metric of task 'class' .*did you mean 'accuracy'"),
        (("m", "snr_db", "clas", "accuracy", {"layer": 1}), "unknown metric of task 'clas'"),
    ],
)
def test_what_was_not_run_is_named(given, message):
    with pytest.raises(UmbelError, match=message) as caught:
        chart_series(RUNS, *given)
    assert "\n" not in str(caught.value)


def test_a_seed_that_failed_is_a_gap_and_an_infinite_snr_is_left_out():
    runs = (_run(0, 0.0, 0.5), _run(1, 0.0, math.nan), _run(0, 9.0, 0.8), _run(1, 9.0, 0.8), _run(0, math.inf, 1.0))
    series = chart_series(runs, "m", "snr_db", "class", "accuracy")
    assert series.x == (0.0, 9.0) and math.isnan(series.y[0]) and series.y[1] == 0.8
    missing = replace(runs[3], metrics={})
    assert math.isnan(chart_series((*runs[2:3], missing), "m", "snr_db", "class", "accuracy").y[0])


def test_a_metric_can_take_the_place_of_x():
    series = chart_series(RUNS, "m", "snr_db", "class", "accuracy", {"layer": 1}, against="uses")
    assert series.x == pytest.approx((2.0, 8.0)) and series.y == pytest.approx((0.2, 0.8))


def test_series_and_charts_refuse_what_cannot_be_drawn():
    good = Series("a", [0, 1], numpy.array([0.5, math.nan]))
    assert (good.x, good.y[0]) == ((0.0, 1.0), 0.5) and isinstance(good.y[0], float)
    for given, message in [
        ((("a", (0, 1), (0,))), "series 'a': 2 values of x but 1 of y"),
        ((("a", (0, 1), (0, 1), (0.1,))), "series 'a': 2 values of x but 1 of half_width"),
        ((("a", (0, math.inf), (0, 1))), "every x must be a finite number"),
        ((("a", (0, 1), (0, 1), (0.1, -0.1))), "half-width is negative"),
        ((("a", (0, 1), (0, 1), (), "dashd")), "unknown style of series 'a' 'dashd'; did you mean 'dashed'"),
    ]:
        with pytest.raises(UmbelError, match=message):
            Series(*given)
    with pytest.raises(UmbelError, match="chart 'c' has no series"):
        Chart("c", "x", "y", ())
    with pytest.raises(UmbelError, match="chart 'c': two series are called 'a'"):
        Chart("c", "x", "y", (good, good))
    with pytest.raises(UmbelError, match="chart 'c': a logarithmic x-axis needs every x above 0"):
        Chart("c", "x", "y", (good,), log_x=True)


def test_charts_and_headline_survive_json_and_bad_ones_are_refused():
    results = fakes.transmission(2)
    again = Results.from_json(results.to_json())
    assert again.to_json() == results.to_json()
    assert again.headline == results.headline and again.charts[1] == results.charts[1]
    record = json.loads(results.to_json())
    record["charts"][0]["series"][0]["y"].pop()
    with pytest.raises(
        UmbelError, match=r"x.json: series 'Layers trained together, layer 1': 6 values of x but 5 of y"
    ):
        Results.from_json(json.dumps(record), "x.json")
    with pytest.raises(UmbelError, match="no run is at a point of the headline"):
        replace(results, headline=({"snr_db": 11.0},))


@pytest.mark.parametrize("schema", [1, 2])
def test_files_of_older_schemas_are_read_and_written_anew(schema):
    new = fakes.small(2)
    record = json.loads(new.to_json())
    assert record["schema"] == 3
    for part in ("charts", "headline", "matrices", "profiles", "facts", "repeats"):
        del record[part]
    for entry in (*record["runs"], *record["curves"]):
        entry["seed"] = entry.pop("repeat")
    for claim in record["claims"]:
        del claim["state"]
        claim["holds"] = True  # what schema 2 said, by the mean alone; nobody believes it any more
    old = Results.from_json(json.dumps({**record, "schema": schema}))
    assert old == new
    assert Results.from_json(old.to_json()) == old


def _shown(table):
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_main_table_shows_the_headline_and_the_page_all(tmp_path):
    results = fakes.transmission(2)
    terminal = _shown(main_table(results))
    assert "3 of 36 operating points" in terminal
    labels = re.findall(r"\(channel (\w+), layer (\d), snr_db (-?\d+)\)", terminal)
    assert labels == 2 * [("awgn", "1", "0"), ("awgn", "3", "10"), ("rayleigh", "3", "10")]
    assert len(csv_table(results).splitlines()) == 1 + 72 * 5
    page = write_page(results, tmp_path).read_text(encoding="utf-8")
    main, rest = page.split("All operating points (72 rows)", 1)
    assert "snr_db -5" not in main and "snr_db -5" in rest.split("</details>", 1)[0]
    assert rest.split("</details>", 1)[0].count("<tr>") == 73


def test_a_headline_can_leave_out_what_has_a_value():
    """As the runs of a sweep, which would fill the main table."""
    results = replace(fakes.transmission(), headline=({"snr_db": 10.0, "weight": None},))
    assert results.in_headline({"snr_db": 10.0, "layer": 1})
    assert not results.in_headline({"snr_db": 10.0, "weight": 0.3})


def test_a_run_without_a_point_is_always_in_the_headline():
    results = fakes.transmission(1)
    alone = Run("no_past", 9, results.runs[0].metrics)
    assert results.in_headline({}) and not results.in_headline({"snr_db": 10.0})
    assert re.search(r"Without past layers +│", _shown(main_table(replace(results, runs=(*results.runs, alone)))))


def test_without_a_headline_nothing_is_folded_away(tmp_path):
    results = fakes.small(1, sweep=({"snr_db": 0.0}, {"snr_db": 9.0}), curves=(), conflicts=())
    page = write_page(results, tmp_path).read_text(encoding="utf-8")
    assert "All operating points" not in page and "of 2 operating points" not in page


def test_many_points_and_runs_are_summarised_in_no_time():
    runs = [
        Run(m.key, seed, {"class": {"accuracy": 0.5}}, {"snr_db": float(snr), "layer": layer})
        for m in fakes.IMAGE_METHODS
        for snr in range(60)
        for layer in range(10)
        for seed in range(3)
    ]
    results = fakes.transmission(1, runs=runs, charts=(), headline=({"snr_db": 10.0},))
    assert len(summary(results)) == 1200  # with a search over all runs for each row this takes minutes


def test_the_page_shows_each_chart_with_its_note_words_and_numbers(tmp_path):
    results = fakes.transmission(3)
    page = write_page(results, tmp_path).read_text(encoding="utf-8")
    part = page[page.index('<h2 id="points">') : page.index('<h2 id="methods">')]
    assert part.count("<img") == part.count("<summary>Numbers</summary>") == 4
    assert part.count("ten draws of the channel") == 4
    assert [part.index(f"<h3>{name}") for name in ("AWGN", "Rayleigh")] == sorted(
        part.index(f"<h3>{name}") for name in ("AWGN", "Rayleigh")
    )
    alt = re.search(r'alt="(AWGN: PSNR in dB against SNR[^"]*)"', part).group(1)
    assert re.search(r"Layers trained together, layer 3 1\d\.\d at −5 to 3\d\.\d at 20;", alt)
    assert "(cliff) 14.3 at 0 to 27.9 at 20" in alt  # the first value is a gap
    assert "picture over snr_db" not in page
    assert not re.search(r"\bnan\b", re.sub(r'src="[^"]*"', "", part), re.IGNORECASE)


def test_charts_without_section_come_first(tmp_path):
    charts = [Chart(f"chart {i}", "x", "y", [Series("a", [0], [1])], section=s) for i, s in enumerate(("late", ""))]
    page = write_page(fakes.transmission(1, charts=charts), tmp_path).read_text(encoding="utf-8")
    titles = re.findall(r"<figcaption>(chart \d)|<h3>(late)", page)
    assert titles == [("chart 1", ""), ("", "late"), ("chart 0", "")]


def test_text_of_a_chart_cannot_become_html(tmp_path):
    evil = "<b>x</b>\"'&$\\frac{1}{$"
    chart = Chart(evil, evil, evil, [Series(evil, [0, 1], [1, 2], [0.1, 0.1])], evil, evil)
    page = write_page(fakes.transmission(1, charts=[chart]), tmp_path).read_text(encoding="utf-8")
    assert "<b>x" not in page


def test_the_combined_page_shows_charts_too(tmp_path):
    page = write_combined([fakes.transmission(2), fakes.small(1)], tmp_path).read_text(encoding="utf-8")
    assert page.count("<summary>Numbers</summary>") == 4 and "ten draws of the channel" in page
    assert page.count("Layers trained together (channel") < 20


def test_kept_tables_hold_the_charts_in_numbers():
    text = markdown_report(fakes.transmission(3))
    part = text[text.index("## Over operating points") : text.index("## Claims")]
    assert "### Rayleigh, one fade for each picture: accuracy over SNR" in part
    assert "| PSNR in dB, by SNR (Es/N0) in dB | −5 | 0 | 5 | 10 | 15 | 20 |" in part
    assert re.search(r"\| Layers trained together, layer 3 (\| \d\d\.\d ± \d\.\d ){6}\|", part)
    assert "(cliff) | – | 14.3 |" in part and "nan" not in part
    assert "at capacity | 17.0 | 20.0 |" in part  # a dense bound is told where the others were measured
    for table in re.findall(r"(?:^\|.*\n)+", part, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "Over operating points" not in markdown_report(fakes.small(1))


def test_series_that_share_no_x_get_a_row_for_each_point():
    first = Series("decides", (2.3, 2.9, 4.1), (0.85, 0.9, 0.95))
    grid = chart_grid(Chart("c", "delay", "accuracy", [first, Series("one round", (2, 6), (0.81, 0.97), (0.01, 0.02))]))
    assert [c.title for c in grid.columns] == ["series", "delay", "accuracy"]
    assert [tuple(e.text for e in row) for row in grid.rows][2:4] == [
        ("decides", "4.1", "0.950"), ("one round", "2", "0.810 ± 0.010")
    ]  # fmt: skip
    twice = chart_grid(Chart("c", "x", "y", [Series("there and back", (1, 2, 1), (1, 2, 3))]))
    assert len(twice.rows) == 3


def _colours_in(svg):
    return {c for c in COLOURS if c.lower() in svg.decode().lower()}


def test_a_group_keeps_its_colour_and_baselines_are_grey():
    results = fakes.transmission(2)
    for picture in chart_pictures(results):
        assert _colours_in(picture.svg) == {COLOURS[0], COLOURS[1]}
    chart = results.charts[0]
    looks = _looks(chart, {"multires": COLOURS[3], "no_past": COLOURS[4]})
    assert [look["color"] for look in looks[:6]] == 3 * [COLOURS[3]] + 3 * [COLOURS[4]]
    assert len({look["marker"] for look in looks[:3]}) == 3
    for look in looks[6:]:
        red, green, blue = colors.to_rgb(look["color"])
        assert max(red, green, blue) - min(red, green, blue) < 0.2 and look["linestyle"] != "-"
    assert len({(look["color"], look["linestyle"]) for look in looks[6:]}) == 3


def test_a_baseline_of_a_methods_group_has_its_colour():
    chart = Chart("c", "x", "y", [Series("a", [0], [1], group="g"), Series("b", [0], [2], style="dashed", group="g")])
    line, baseline = _looks(chart, {"g": COLOURS[5]})
    assert baseline["color"] == line["color"] == COLOURS[5]


def test_more_series_than_colours_still_differ():
    chart = Chart("c", "x", "y", [Series(f"s{i}", [0, 1], [i, i]) for i in range(20)])
    wanted = {"s3": COLOURS[0], "s4": COLOURS[0], "s5": "#123456"}
    colours = _spread([s.label for s in chart.series], wanted)
    assert colours["s3"] == COLOURS[0] and colours["s4"] != COLOURS[0] and colours["s5"] == "#123456"
    looks = {(look["color"], look["marker"], look["markerfacecolor"]) for look in _looks(chart, colours)}
    assert len(looks) == 20


def test_every_kind_of_series_is_drawn_without_a_complaint():
    wide = "a label that is much too long for one line of the legend " * 2
    series = [
        Series("gap", (1, 2, 4), (math.nan, 0.5, math.inf), (0.1, math.nan, 0.1)),
        Series(wide, (1, 2, 4), (0.1, 0.2, 0.3), (0.01, 0.01, 0.01)),
        Series("dots", (2, 2), (0.4, 0.5), style="dots"),
        Series("nothing", (1,), (math.nan,)),
        Series("dense", range(1, 40), [0.1] * 39),
    ]
    charts = [
        Chart("all", "x " * 50, "y " * 40, series),
        Chart("log", "x", "y", series, log_x=True),
        Chart("nothing", "x", "y", series[3:4]),
    ]
    drawn = figures(fakes.transmission(1, charts=charts), ("points",))["points"]
    assert [p.title for p in drawn] == ["all", "log", "nothing"]
    assert "nothing not measured" in drawn[0].alt and "gap 0.500 at 2;" in drawn[0].alt


def test_a_legend_of_many_lines_leaves_the_axes_their_height():
    def height(count):
        chart = Chart("c", "x", "y", [Series(f"series {i}", [0, 1], [0, i]) for i in range(count)])
        svg = next(chart_pictures(fakes.transmission(1, charts=[chart]))).svg.decode()
        whole = float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg).group(1))
        frame = re.search(r'<g id="patch_2">\s*<path d="M [\d.]+ ([\d.]+)\s+L [\d.]+ [\d.]+\s+L [\d.]+ ([\d.]+)', svg)
        return whole, float(frame.group(1)) - float(frame.group(2))

    few, many = height(2), height(12)
    assert many[0] > few[0] + 40
    assert many[1] == pytest.approx(few[1], rel=0.1)
