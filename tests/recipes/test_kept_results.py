"""The results that are kept under docs/results: claims, charts and sentences follow from the runs in the file alone."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from umbel.recipes import RECIPES
from umbel.report import Results, markdown_report

ROOT = Path(__file__).parents[2] / "docs" / "results"
KEPT = sorted(path.parent for path in ROOT.glob("*/results.json"))


@pytest.fixture(params=KEPT, ids=lambda folder: folder.name, scope="module")
def kept(request):
    return request.param, Results.read(request.param)


def same(one, two):
    """Equal, numbers to 1e-9."""
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def test_there_is_something_kept():
    assert len(KEPT) >= 14 and {Results.read(folder).study for folder in KEPT} <= set(RECIPES)


def test_all_findings_are_computed_again_from_the_runs(kept):
    _, results = kept
    recipe = RECIPES[results.study]
    assert recipe.findings, f"{results.study} does not say what follows from its results"
    bare = dataclasses.replace(results, claims=(), charts=(), matrices=(), verdict=())
    again = recipe.concluded(bare)
    for part in ("claims", "charts", "matrices", "verdict"):
        mine, theirs = (dataclasses.asdict(r)[part] for r in (again, results))
        assert same(mine, theirs), part


def test_claims_have_intervals_of_their_own(kept):
    """A claim that cannot be shown or refuted however often it is repeated claims nothing."""
    _, results = kept
    for claim in results.claims:
        measured = claim.value is not None
        assert claim.interval is not None or not measured or len(results.repeat_numbers) == 1, claim.name


def test_the_tables_beside_it_are_those_of_the_file(kept):
    folder, results = kept
    assert (folder / "tables.md").read_text(encoding="utf-8") == markdown_report(results)
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["schema"] == 3
