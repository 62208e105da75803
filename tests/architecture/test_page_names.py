"""Names that the pages mention exist, and every public name is on a reference page."""

import importlib
import re
from pathlib import Path

import pytest

import umbel
from umbel.core import UmbelError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = sorted(path for path in (ROOT / "docs" / "api").glob("*.md") if path.stem != "index")
QUOTED = re.compile(r"`(umbel(?:\.\w+)+)(?:\([^`]*\))?`")
SHOWN = re.compile(r"^(?:::: |      heading: )(umbel\.\S+)$", re.MULTILINE)
FILES = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|md|toml|yml))`")
BESIDE = {"umbel.channels": ("digital",), "umbel.nn": ("detection",)}  # parts of a package that its page shows, too


def resolved(name: str) -> object:
    """What a dotted name means: the longest part of it that is a module, and attributes from there on."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value
    raise ModuleNotFoundError(name)


def public(package: str) -> set[str]:
    """Names of a package as its page has them."""
    names = set(getattr(importlib.import_module(package), "__all__", ()))
    for part in BESIDE.get(package, ()):
        names |= {f"{part}.{name}" for name in importlib.import_module(f"{package}.{part}").__all__}
    return names


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_and_files_of_a_page_exist(path):
    page = path.read_text()
    for name in {*QUOTED.findall(page), *SHOWN.findall(page)}:
        resolved(name)
    roots = (ROOT, ROOT / "src", ROOT / "src" / "umbel")
    missing = [file for file in FILES.findall(page) if not any((root / file).exists() for root in roots)]
    assert not missing


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_every_public_name_is_on_its_page(path):
    package = f"umbel.{path.stem}"
    page = path.read_text()
    shown = {name.removeprefix(f"{package}.") for name in {*SHOWN.findall(page), *QUOTED.findall(page)}}
    assert public(package) <= shown


def test_what_can_be_imported_from_umbel_itself_is_on_the_first_page():
    page = (ROOT / "docs" / "api" / "index.md").read_text()
    assert {f"umbel.{name}" for name in umbel.__all__} <= set(QUOTED.findall(page))


def test_every_package_has_a_page():
    # Private are: the command line, and what only it uses.
    packages = {path.parent.name for path in Path(umbel.__path__[0]).glob("*/__init__.py")} - {"command"}
    assert packages <= {path.stem for path in REFERENCE}


def test_a_wrong_name_would_be_found():
    assert resolved("umbel.core.UmbelError") is UmbelError
    assert QUOTED.findall("see `umbel.core.UmbelError` and `umbel.engine.fit(out=1)`") == [
        "umbel.core.UmbelError",
        "umbel.engine.fit",
    ]
    for wrong in ("umbel.core.Butch", "umbel.no_such_part"):
        with pytest.raises(AttributeError):
            resolved(wrong)
