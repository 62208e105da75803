"""The page in a real browser: form, file, picture, names that would be HTML, wide and narrow, light and dark."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from browser import opened_browser, visited
from PIL import Image
from serving_cases import ROW, post

from umbel.data.table_description import InputColumn
from umbel.serving import Answers, Limits, application
from umbel.serving.description import describe_inputs

ENTER, TAB, SPACE = "\ue007", "\ue004", " "
WIDER = "return document.documentElement.scrollWidth - innerWidth"
LOOKS = [(1200, False), (1200, True), (420, False), (420, True)]


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture
def page(browser, flats_app):
    with visited(flats_app) as url:
        browser.open(url)
        browser.wait("return document.getElementById('form').hidden === false")
        yield browser
        assert browser.complaints() == []  # nothing that the policy for content refused, no error of the script


def keep(browser, name):
    """Pictures of the page for those who want to look: UMBEL_PAGE_PICTURES names a folder."""
    if folder := os.environ.get("UMBEL_PAGE_PICTURES"):
        for width, dark in LOOKS:
            browser.look(width, dark=dark)
            browser.picture(Path(folder) / f"{name}-{width}-{'dark' if dark else 'light'}.png")
        browser.look(1200)


def text(browser, element):
    return browser.run(f"return document.getElementById('{element}').innerText")


def test_a_filled_form_shows_classes_with_bars_and_values(page, flats_app):
    assert text(page, "run") == "a run"
    page.type("#field-0", "3")
    page.type("#field-1", "70.5")
    page.type("#field-2", "north")
    page.click("button.main")
    page.wait("return !document.getElementById('result').hidden")
    wanted = post(flats_app, ROW).json["predictions"][0]
    assert page.run("return [...document.querySelectorAll('.answer h3')].map((e) => e.textContent)") == [
        "rent",
        "balcony",
    ]
    value, label = page.run("return [...document.querySelectorAll('.value')].map((e) => e.textContent)")
    assert float(value) == pytest.approx(wanted["rent"]["value"], abs=0.6)
    assert label == wanted["balcony"]["class"]
    bars = page.run(
        "return [...document.querySelectorAll('.bars li')]"
        ".map((e) => [e.innerText, e.querySelector('.track div').style.width])"
    )
    for (said, width), (name, share) in zip(bars, wanted["balcony"]["probabilities"].items(), strict=True):
        assert said.split("\n") == [name, f"{100 * share:.1f} %"]
        assert float(width.rstrip("%")) == pytest.approx(100 * share, abs=0.01)
    assert page.run("return document.querySelector('.bars .best .line').textContent").startswith(label)
    curl = text(page, "curl")
    assert json.loads(curl.split("-d '")[1].split("' http")[0]) == ROW
    keep(page, "form")


def test_names_from_data_stay_text(page):
    options = page.run("return [...document.getElementById('field-2').options].map((o) => o.textContent)")
    assert options == ["(blank)", "<b>old & new</b>", "north", "south"]
    page.click("#example")
    page.click("button.main")
    page.wait("return !document.getElementById('result').hidden")
    assert "<i>no</i>" in text(page, "answers")
    assert page.run("return document.querySelectorAll('main b, main i').length") == 0


def test_blank_fields_are_allowed_and_noted(page, flats_app):
    page.click("button.main")
    page.wait("return !document.getElementById('result').hidden")
    got = post(flats_app, dict.fromkeys(ROW)).json
    assert text(page, "notes").split("\n") == got["notes"]


def test_the_keyboard_is_enough(page):
    page.run("document.getElementById('field-0').focus()")
    page.press("4", TAB, "9", "0", TAB, "s", TAB, ENTER)
    page.wait("return !document.getElementById('result').hidden")
    assert '"rooms":4,"metres":90,"city":"south"' in text(page, "curl")
    page.press(TAB, SPACE)  # the example
    assert page.run("return document.activeElement.id") == "example"
    assert '"city":"<b>old & new</b>"' in text(page, "curl")
    page.press(TAB, ENTER)  # clear
    page.wait("return document.getElementById('field-1').value === ''")
    page.wait("return document.getElementById('curl').innerText.includes('\"rooms\":null')")


def test_every_field_has_a_label_and_a_hint(page):
    unlabelled = page.run(
        "return [...document.querySelectorAll('input, select')].filter((e) => !e.labels.length).map((e) => e.id)"
    )
    assert unlabelled == []
    hints = page.run(
        "return [...document.querySelectorAll('.field input, .field select')]"
        ".map((e) => document.getElementById(e.getAttribute('aria-describedby')).textContent)"
    )
    assert hints[0].startswith("usually 3") and hints[2] == "3 categories"


def test_a_file_may_be_dropped(page):
    page.run(
        "const files = new DataTransfer();"
        "files.items.add(new File(['rooms,metres,city\\n1,2,north\\n'], 'a.csv'));"
        "document.getElementById('drop').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: files, cancelable: true, bubbles: true}))"
    )
    page.wait("return !document.getElementById('result').hidden")
    assert text(page, "result-title") == "Predictions for a.csv"
    assert page.run("return document.querySelectorAll('table tr').length") == 2


@pytest.mark.parametrize("wrong", ["0x10", "1_000", "Infinity", "1e999", "-", "NA"])
def test_what_is_no_number_in_a_table_is_none_in_the_form(page, wrong):
    page.type("#field-1", wrong)
    page.click("button.main")
    page.wait("return !document.getElementById('trouble').hidden")
    assert text(page, "trouble").startswith(f"metres: “{wrong}” is no number.")


def test_a_wrong_number_is_told_and_found(page):
    page.type("#field-1", "70,5")
    page.click("button.main")
    page.wait("return !document.getElementById('trouble').hidden")
    assert text(page, "trouble") == "metres: “70,5” is no number. Write it with a decimal point, or leave it blank."
    assert page.run("return document.activeElement.id") == "field-1"
    assert page.run("return document.activeElement.getAttribute('aria-invalid')") == "true"
    page.run("document.getElementById('field-1').value = '1e33'")
    page.click("button.main")
    page.wait("return document.getElementById('trouble').innerText.includes('too large in row 1')")
    assert page.run("return document.getElementById('result').hidden")
    keep(page, "error")


def test_a_file_is_answered_row_by_row(page, tmp_path):
    lines = [
        "rooms,metres,city",
        *(f"{1 + n % 5},{20 + n},{'north' if n % 2 else '<img src=x onerror=alert(1)>'}" for n in range(60)),
    ]
    (tmp_path / "new <b>.csv").write_text("\n".join(lines))
    page.type("#file", str(tmp_path / "new <b>.csv"))
    page.wait("return !document.getElementById('result').hidden")
    assert text(page, "result-title") == "Predictions for new <b>.csv"
    rows = page.run("return [...document.querySelectorAll('table tr')].map((e) => e.innerText.split('\\t'))")
    assert rows[0] == ["row", "rent", "balcony"]
    assert len(rows) == 51
    assert "50 of 60 rows are shown." in text(page, "answers")
    assert "<img src=x" in text(page, "notes")
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "down"))
    page.click("#answers button")
    path = tmp_path / "down" / "predictions.csv"
    for _ in range(200):
        if path.exists():
            break
        page.run("return 1")
    assert len(path.read_text().splitlines()) == 61
    keep(page, "file")


def test_a_file_that_does_not_fit(page, tmp_path):
    for name, content, words in (
        ("a.csv", "rooms,metres\n1,2\n", "There is no column 'city'"),
        ("a.txt", "x", "a.txt is of a kind that this run does not take. Give a CSV, TSV or Parquet file."),
    ):
        (tmp_path / name).write_text(content)
        page.type("#file", str(tmp_path / name))
        page.wait("return !document.getElementById('trouble').hidden")
        assert words.lower() in text(page, "trouble").lower()
        page.run("document.getElementById('trouble').hidden = true")


def test_a_server_that_has_ended_is_told(browser, flats_app):
    with visited(flats_app) as url:
        browser.open(url)
        browser.wait("return document.getElementById('form').hidden === false")
    browser.click("button.main")
    browser.wait("return !document.getElementById('trouble').hidden")
    assert text(browser, "trouble") == "The server does not answer. Is it still running?"
    browser.complaints()


def test_a_picture(browser, digits_app, tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    Image.new("L", (9, 9)).save(tmp_path / "b.png")
    with visited(digits_app) as url:
        browser.open(url)
        browser.wait("return document.getElementById('by-file').hidden === false")
        assert "Give a picture of 8 × 8 pixels" in text(browser, "drop")
        assert browser.run("return document.getElementById('form').hidden")
        browser.type("#file", str(tmp_path / "a.png"))
        browser.wait("return !document.getElementById('result').hidden")
        assert browser.run("return document.getElementById('preview').naturalWidth") == 8
        assert browser.run("return document.querySelectorAll('.answer').length") == 2
        assert "image/png" in text(browser, "curl")
        keep(browser, "picture")
        browser.type("#file", str(tmp_path / "b.png"))
        browser.wait("return document.getElementById('trouble').innerText.includes('9×9')")
        assert browser.complaints() == []


def test_forty_columns_with_long_names_fit_any_screen(browser, flats_service):
    service = copy.copy(flats_service)
    names = [f"{'a_name_without_any_place_to_break_' * 3}{n}" if n % 3 else f"Größe {n} <in m²>" for n in range(38)]
    columns = [InputColumn(name, "number", False, 1.7e9 + n, 10.0**n) for n, name in enumerate([*names, "__proto__"])]
    columns.append(InputColumn("kind", "category", True, categories=tuple(f"{'long_' * 40}{n}" for n in range(100))))
    known = copy.copy(flats_service._known)
    object.__setattr__(known, "inputs", tuple(columns))
    service.description = flats_service.description | {"inputs": describe_inputs(known), "run": "a_run_" * 30}
    with visited(application(service)) as url:
        browser.open(url)
        browser.wait("return document.getElementById('form').hidden === false")
        assert browser.run("return document.querySelectorAll('.field').length") == 40
        browser.click("#example")
        curl = text(browser, "curl")
        assert set(json.loads(curl.split("-d '")[1].split("' http")[0])) == {*names, "__proto__", "kind"}
        browser.click("button.main")  # the run takes other columns
        browser.wait("return !document.getElementById('trouble').hidden")
        for width, dark in LOOKS:
            browser.look(width, dark=dark)
            assert browser.run(WIDER) <= 0, width
        keep(browser, "wide")
        browser.look(1200)


class EveryKind:
    """Stands for a service whose tasks are of every kind."""

    limits = Limits()

    def __init__(self, description):
        several = [f"class {n}" for n in range(30)]
        self.description = description | {"point": "width=0.5", "outputs": [
            {"name": "many", "kind": "class", "labels": several, "unit": ""},
            {"name": "yes?", "kind": "probabilities", "labels": ["it"], "unit": ""},
            {"name": "tags", "kind": "probabilities", "labels": ["a", "b"], "unit": ""},
            {"name": "seconds", "kind": "value", "labels": [], "unit": "s", "mean": 1.7e9, "standard_deviation": 10.0},
            {"name": "lost", "kind": "value", "labels": [], "unit": "m", "mean": 0.0, "standard_deviation": 1.0},
            {"name": "place", "kind": "values", "labels": ["x", "y"], "unit": "m"},
        ]}  # fmt: skip
        shares = {name: 0.4 if n == 17 else 0.6 / 29 for n, name in enumerate(several)}
        self.row = {
            "many": {"class": "class 17", "probabilities": shares}, "yes?": {"probabilities": {"it": 0.123}},
            "tags": {"probabilities": {"a": 1.0, "b": 0.0}}, "seconds": {"value": 1_700_000_012.345},
            "lost": {"value": None}, "place": {"values": {"x": 1.5, "y": -2.25}},
        }  # fmt: skip

    def check_media_type(self, media_type):
        pass

    def answer(self, media_type, body):
        return Answers(None, [self.row] * (1 if media_type == "application/json" else 3), ("a note",))


def test_every_kind_of_answer_is_shown(browser, flats_service, tmp_path):
    with visited(application(EveryKind(flats_service.description))) as url:
        browser.open(url)
        browser.wait("return document.getElementById('form').hidden === false")
        assert "at width=0.5" in text(browser, "about") and "seconds (s)" in text(browser, "about")
        browser.click("button.main")
        browser.wait("return !document.getElementById('result').hidden")
        many, sure, tags, seconds, lost, place = browser.run(
            "return [...document.querySelectorAll('.answer')]"
            ".map((e) => e.innerText.split('\\n').filter((t) => t.trim()))"
        )
        assert many[:4] == ["many", "class 17", "class 17", "40.0 %"] and many[-1] == "and 18 less likely"
        assert sure == ["yes?", "it", "12.3 %"]
        assert tags == ["tags", "a", "100.0 %", "b", "0.0 %"]
        assert (seconds, lost) == (["seconds", "1700000012.3 s"], ["lost", "no number"])
        assert place == ["place", "x", "1.5 m", "y", "-2.25 m"]
        (tmp_path / "a.csv").write_text("x")
        browser.type("#file", str(tmp_path / "a.csv"))
        browser.wait("return document.querySelectorAll('table tr').length === 4")
        row = browser.run("return document.querySelectorAll('table tr')[1].innerText.split('\\t')")
        assert row[:4] == ["1", "class 17 (40.0 %)", "it: 12.3 %", "a: 100.0 %, b: 0.0 %"]
        assert row[4:] == ["1700000012.3 s", "no number", "x: 1.5 m, y: -2.25 m"]
        assert browser.complaints() == []
        keep(browser, "kinds")


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_light_and_dark(page, dark):
    """At least 4.5 to 1, as WCAG asks, for every text on its ground."""
    page.look(420, dark=dark)
    page.click("#example")
    page.click("button.main")
    page.wait("return !document.getElementById('result').hidden")
    page.run("complain('A sentence.')")
    worst = page.run("""
      const parts = (c) => c.match(/[\\d.]+/g).map(Number);
      const light = (c) => parts(c).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (e) => { const c = getComputedStyle(e).backgroundColor;
        return e.parentElement && (parts(c)[3] === 0) ? ground(e.parentElement) : c; };
      const shown = [...document.querySelectorAll('body *')]
        .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
      return shown.map((e) => {
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), e.tagName, e.textContent.slice(0, 30)]; }).sort((x, y) => x[0] - y[0])[0];
    """)
    assert worst[0] >= 4.5, worst
    assert page.run(WIDER) <= 0
    page.look(1200)
