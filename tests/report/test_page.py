import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import fakes
import numpy
import pytest
from PIL import Image

from umbel.report import Curve, Matrix, Results, SampleSheet, TaskInfo, markdown_report, write_combined, write_page
from umbel.report.figures import figures


class _Reader(HTMLParser):
    """Collects what a browser would fetch, the text, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.text, self.open, self.images, self.heads = [], [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action") and v is not None]
        if tag == "img":
            self.images.append(given)
        if tag == "th":
            assert given.get("scope") in ("row", "col")
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def _page(results, folder):
    text = write_page(results, folder).read_text(encoding="utf-8")
    reader = _Reader(text)
    assert reader.open == []
    return text, reader, " ".join(reader.text)


QUICK = {"curves": (), "conflicts": ()}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return _page(fakes.small(3), tmp_path_factory.mktemp("page"))


def test_the_page_fetches_nothing(page):
    text, reader, _ = page
    assert reader.fetched
    assert all(address.startswith(("data:", "#")) for address in reader.fetched)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


def test_everything_that_was_measured_is_told(page):
    _, _, told = page
    results = fakes.small(3)
    for word in (
        *(t.name for t in results.tasks), *(m.title for m in results.methods),
        *(m.description for m in results.methods),
        *(c.statement for c in results.claims), *results.verdict, *results.warnings, results.command, results.title,
        "Two real handwritten digits", "encoder.widths", "Some CPU",
    ):  # fmt: skip
        assert word in told
    assert told.index(results.verdict[0]) < told.index("Claims")


def test_every_claim_says_what_its_interval_says(page):
    text, _, told = page
    rows = re.findall(r"<tr>.*?</tr>", text)

    def row(words):
        return next(r for r in rows if words in r)

    assert "✓ shown" in row("better than single-task networks") and 'class="good state"' in row("better than single")
    assert "? not shown: the interval crosses the bar" in row("UPGrad improves on equal weights")
    assert "? not shown: no benchmark ran" in row("hand-written loop")
    assert "✗ refuted" in row("costs nothing") and 'class="bad state"' in row("costs nothing")
    assert "1 shown, 2 not shown, 1 refuted" in told


def test_a_matrix_is_drawn_with_its_names_and_its_numbers(tmp_path):
    values = ((1.0, -0.25), (math.nan, 2.0), (0.5, 0.0))
    matrix = Matrix("Who helps whom", ("left", "right", "gap"), ("a", "b"), values, "step of", "group", "%", "A note.")
    _, reader, told = _page(fakes.small(2, matrices=(matrix,), **QUICK), tmp_path)
    assert "Who helps whom" in told and "A note." in told
    assert all(name in told for name in (*matrix.rows, "−0.25", "2.00", "–"))
    assert any("3 rows (left, right, gap) and 2 columns" in image["alt"] for image in reader.images)
    markdown = markdown_report(fakes.small(2, matrices=(matrix,), **QUICK))
    assert "## Who helps whom" in markdown and "| left | 1.00 | −0.25 |" in markdown


def test_every_picture_has_a_description(page):
    _, reader, _ = page
    assert len(reader.images) >= 8
    assert all(len(image["alt"]) > 20 for image in reader.images)


def test_text_of_the_user_cannot_become_html(tmp_path):
    evil = "<b>x</b>\"'&<script>alert(1)</script>"
    task = TaskInfo(evil, "classification", "accuracy", True, "<i>", (evil,), ("accuracy", "macro F1"))
    texts = {name: evil for name in ("title", "command")} | {name: (evil,) for name in ("verdict", "warnings")}
    results = fakes.small(2, (task, *fakes.TASKS[1:]), **texts, **QUICK, settings={evil: evil})
    text, _, told = _page(results, tmp_path)
    assert "<b>x" not in text and "alert(1)</script>" not in text
    assert evil in told


def test_one_seed_shows_a_dash_and_never_nan(tmp_path):
    _, _, told = _page(fakes.small(1, **QUICK), tmp_path)
    assert "± –" in told
    assert not re.search(r"\bnan\b", told, re.IGNORECASE)


def test_results_with_almost_nothing_still_make_a_page(tmp_path):
    bare = fakes.small(1, curves=(), conflicts=(), claims=(), verdict=(), reference=None, warnings=(), settings={})
    _, _, told = _page(bare, tmp_path)
    assert "Δm" not in told and "Claims" not in told
    empty = Results("s", "Nothing ran", "c", bare.data, (), (), ())
    assert "Nothing ran" in _page(empty, tmp_path)[2]


def test_sample_pictures_are_in_the_page_and_absent_ones_are_named(tmp_path):
    Image.fromarray(numpy.zeros((9, 9, 3), numpy.uint8)).save(tmp_path / "sum.png")
    sheets = (SampleSheet("sum", "sum.png", "seed 0"), SampleSheet("sum", "gone.png"), SampleSheet("sum", "../x.png"))
    _, reader, told = _page(fakes.small(1, samples=sheets, **QUICK), tmp_path)
    assert sum(i["src"].startswith("data:image/png") for i in reader.images) == 1
    assert "gone.png is not there" in told and "../x.png is not there" in told


def test_twenty_tasks_become_a_heat_map_and_a_short_table(tmp_path):
    _, reader, told = _page(replace(fakes.large(20, 6, 2), **QUICK), tmp_path)
    assert "mean of 20" in told and "Every task and method" in told
    assert "superclass 19" in told
    assert len(reader.images) == 2


def test_many_tasks_get_curves_of_their_main_metrics_only():
    results = fakes.large(7, 2, 1)
    drawn = figures(results, ("curves",))["curves"]
    assert [p.title for p in drawn] == [f"{t.name}: accuracy ↑ (validation)" for t in results.tasks]


def test_values_that_are_not_finite_leave_gaps(tmp_path):
    task = fakes.TASKS[0].name
    curves = [Curve("sum", seed, "loss", (0, 1, 2), (1.0, bad, 0.5)) for seed, bad in enumerate((math.nan, math.inf))]
    runs = [*fakes.small(2).runs]
    runs[-1] = replace(runs[-1], metrics={**runs[-1].metrics, task: {"accuracy": math.nan}})
    _, reader, told = _page(fakes.small(2, curves=curves, conflicts=(), runs=runs), tmp_path)
    assert any("loss" in image["alt"] for image in reader.images)
    assert not re.search(r"\bnan\b", told, re.IGNORECASE)


def test_operating_points_get_a_figure_for_each_task():
    sweep = tuple({"snr_db": snr, "width": width} for snr in (0.0, 5.0, 10.0) for width in (0.5, 1.0))
    results = fakes.small(2, sweep=sweep)
    drawn = figures(results, ("points",))["points"]
    assert [p.title for p in drawn[:3]] == [f"{t.name} over snr_db" for t in fakes.TASKS]
    assert len(drawn) == 6
    assert figures(fakes.small(2), ("points",)) == {"points": []}


def test_figures_do_not_depend_on_when_they_are_drawn():
    results = fakes.small(2)
    assert figures(results, ("improvement",)) == figures(results, ("improvement",))


def test_the_combined_page_compares_all_results(tmp_path):
    first, second = fakes.small(3), fakes.small(2, title="Another")
    text = write_combined([first, second, second], tmp_path).read_text(encoding="utf-8")
    reader = _Reader(text)
    assert all(address.startswith(("data:", "#")) for address in reader.fetched)
    told = " ".join(reader.text)
    assert "compare: 3 results" in told and told.count("? not shown: the interval crosses the bar") == 3
    assert {f"#study-{i}" for i in range(3)} <= set(reader.fetched)
    assert (tmp_path / "combined.html").exists() and not (tmp_path / "report.html").exists()


def test_costs_of_a_method_are_told_with_it(tmp_path):
    results = fakes.small(2)
    first, *others = results.methods
    costs = {"multiply-accumulates": 107_323_200.0, "relative time": 1.07251}
    text = _page(replace(results, **QUICK, methods=(replace(first, costs=costs), *others)), tmp_path)[2]
    assert "(multiply-accumulates: 107,323,200; relative time: 1.073)" in text


CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
    "--window-size=500,900",
]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_shows_it_sorts_it_and_does_not_scroll_sideways(tmp_path):
    results = fakes.small(3)
    path = write_page(results, tmp_path)
    probe = """<script>
      const table = document.querySelector("table.sortable");
      const heads = [...table.tHead.rows[0].cells];
      heads.find((h) => h.textContent.startsWith("distance")).querySelector("button").click();
      const names = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const seen = document.querySelector("h1").getBoundingClientRect().height > 0 &&
        document.querySelector(".verdict").getBoundingClientRect().height > 0;
      const root = document.documentElement;
      document.title = [seen, root.scrollWidth <= root.clientWidth, names.join(" < ")].join("; ");
    </script>"""
    (tmp_path / "probe.html").write_text(path.read_text(encoding="utf-8").replace("</body>", probe + "</body>"))
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    shown = subprocess.run([*command, f"file://{tmp_path / 'probe.html'}"], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in shown.stderr, shown.stderr
    title = re.search(r"<title>(.*?)</title>", shown.stdout).group(1)
    assert title == "true; true; Single-task networks &lt; Equal weights &lt; UPGrad"
    assert results.verdict[0] in shown.stdout
