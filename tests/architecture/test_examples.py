"""Examples are run: the files under examples/, Python blocks of the README and the pages, `>>>` lines of docstrings."""

import doctest
import importlib
import re
import runpy
from pathlib import Path

import pytest

import umbel

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FILES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<code>.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def python_blocks(page: str) -> list[tuple[int, str]]:
    """(line, code) of the blocks marked `python`; those marked `python no-run` are left out."""
    found = FENCE.finditer(page)
    return [(page[: m.start()].count("\n") + 1, m["code"]) for m in found if m["kind"].strip() == "python"]


def run_blocks(page: str, name: str) -> None:
    """Run a page's blocks one after the other, with names that last from block to block."""
    names: dict = {"__name__": "__example__"}
    for line, code in python_blocks(page):
        exec(compile("\n" * line + code, name, "exec"), names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(path.read_text(), str(path))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks_say_what_they_are(path):
    # A block without a language, or with a misspelt one, would silently not be run.
    kinds = {m["kind"].strip() for m in FENCE.finditer(path.read_text())}
    assert kinds <= {
        "python",
        "python no-run",
        "console",
        "bash",
        "sh",
        "text",
        "json",
        "toml",
        "csv",
        "html",
        "mermaid",
    }


# What each example shows, read from the names that it leaves behind. Bounds are wide: they tell "learnt something" from
# "learnt nothing", not one machine from another.
SHOWS = {
    "compare_descents": lambda left: all(len(values) == 3 and min(values) > -50 for values in left["changes"].values()),
    "noisy_channel": lambda left: left["accuracy"][20.0]["digit"] > left["accuracy"][-10.0]["digit"] + 0.1,
    "own_dataset": lambda left: left["scores"]["shape"] > 0.65 and left["scores"]["mask"] > 0.7,
    "own_descent": lambda left: (
        min(score["digit"] for score in left["results"].values()) > 0.3 and float(left["descent"].weights().std()) > 0
    ),
    "own_table": lambda left: left["scores"]["balcony"] > 0.8 and left["scores"]["rent"] < 200,
    "resume": lambda left: left["identical"] and left["fitted"].steps == 60,
    "slimmable": lambda left: (
        left["by_width"][1.0]["digit"] > 0.5 and left["sizes"][1] < left["sizes"][0] and left["difference"] < 1e-4
    ),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_runs_and_shows_what_it_is_for(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    left = runpy.run_path(str(path), run_name="__main__")
    assert SHOWS[path.stem](left)
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_every_example_is_on_its_page():
    page = (ROOT / "docs" / "examples.md").read_text()
    assert {path.stem for path in FILES} == SHOWS.keys()
    assert all(f"`examples/{path.name}`" in page for path in FILES)


def documented_modules() -> list[str]:
    sources = Path(umbel.__path__[0])
    files = [path for path in sources.rglob("*.py") if ">>> " in path.read_text()]
    parts = [path.relative_to(sources.parent).with_suffix("").parts for path in files]
    return sorted(".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts)


@pytest.mark.parametrize("name", documented_modules())
def test_the_examples_of_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_broken_example_would_fail():
    run_blocks("```python\na = 1\n```\ntext\n```python\nassert a == 1\n```\n```python no-run\n1 / 0\n```\n", "page")
    with pytest.raises(ZeroDivisionError):
        run_blocks("```python\n1 / 0\n```\n", "page")
