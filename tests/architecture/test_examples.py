"""Examples are run: Python blocks of the README and the pages, and `>>>` lines of docstrings."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import umbel

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
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
