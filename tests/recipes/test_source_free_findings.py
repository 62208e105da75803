"""What is said of a study of source-free detection: planted numbers give the planted claims, and ties are called so."""

import dataclasses
import math

import numpy as np
import pytest

from umbel.metrics import confidence_interval
from umbel.recipes.source_free_detection.findings import findings
from umbel.recipes.source_free_detection.scores import SEEN, TEST, Scores, binned
from umbel.recipes.source_free_detection.settings import ARMS, FAST, NEEDED, NORMS, ORACLE, OURS, RANDOM, SLOW, SOURCE
from umbel.report import NOT_SHOWN, REFUTED, SHOWN, DataInfo, MethodInfo, Profile, Results, Run, TaskInfo
from umbel.study import concluded

FOLDS = 5
HEIGHTS = {
    **dict.fromkeys(ARMS, 0.50),
    SOURCE: 0.45,
    NORMS: 0.545,
    FAST: 0.30,
    SLOW: 0.52,
    OURS: 0.55,
    RANDOM: 0.56,
    ORACLE: 0.90,
}
"""mAP50 on the test fold, in the mean over folds."""
WOBBLE = (0.0, 0.01, -0.01, 0.02, -0.02)
"""Of each fold, for all arms alike: differences hardly move."""
OWN_WOBBLE = {NORMS: 1.5}
"""How much more than the others an arm moves."""
CURVES = {OURS: (0.50, 0.56, 0.55), SLOW: (0.50, 0.52, 0.51), FAST: (0.50, 0.40, 0.20)}
STABILITIES = {OURS: (0.6, 0.7, 0.8), SLOW: (0.6, 0.62, 0.61), FAST: (0.6, 0.5, -math.inf)}
CHOSEN = {OURS: 60, SLOW: 40, FAST: 20}


def runs_of(arm):
    for fold in range(FOLDS):
        precision = HEIGHTS[arm] + WOBBLE[fold] * OWN_WOBBLE.get(arm, 1.0)
        places = {TEST: precision, SEEN: precision + 0.01, **({"source": 0.9} if arm == SOURCE else {})}
        for place, number in places.items():
            metrics = {"boxes": {"mAP50": number, "mAP": number / 2}}
            yield Run(arm, fold, metrics, {"pictures": place}, steps=60, best_step=CHOSEN.get(arm))


def curves(arm):
    for fold in range(FOLDS):
        precisions = tuple(number + WOBBLE[fold] for number in CURVES[arm])
        columns = {"step": (20.0, 40.0, 60.0), "mAP50": precisions, "stability": STABILITIES[arm]}
        yield Profile(arm, "curve", columns, fold)


def pictures():
    """Fog lowers the variance but for one picture in eight; the variance says nothing of recall in one fold of five."""
    for fold in range(FOLDS):
        strength = tuple(np.arange(8.0))
        variance = (8.0, 7.0, 6.0, 0.5, 4.0, 3.0, 2.0, 1.0)  # the fourth of the mild ones is below all others
        columns = {"sum": variance, "mean": variance, "per-object": tuple(-v for v in variance), "strength": strength}
        yield Profile(SOURCE, "weather of fog", columns, fold)
        recall = (0.1, 0.2, 0.3, 0.4) if fold else (0.4, 0.3, 0.2, 0.1)
        same = dict.fromkeys(("sum", "mean", "per-object"), (1.0, 2.0, 3.0, 4.0))
        yield Profile(SOURCE, "split", {**same, "recall": recall}, fold)


def results(arms=ARMS, profiles=None, **changes):
    if profiles is None:
        profiles = [
            *(pictures() if SOURCE in arms else ()),
            *(one for arm in arms if arm in CURVES for one in curves(arm)),
        ]
    data = DataInfo("cells", sizes={"train": 80, "validation": 80, "test": 20})
    task = TaskInfo("boxes", "detection", "mAP50", True, labels=("RBC", "WBC"), metrics=("mAP50", "mAP"))
    runs = tuple(run for arm in arms for run in runs_of(arm))
    given = {"profiles": tuple(profiles), "repeats": "folds", "headline": ({"pictures": TEST},), **changes}
    methods = tuple(MethodInfo(arm, arm) for arm in arms)
    return Results("source_free_detection", "t", "c", data, (task,), methods, runs, **given)


@pytest.fixture(scope="module")
def said():
    return findings(results())


def test_claims_compare_the_right_arms_with_the_right_bars(said):
    expected = {
        "gap: source only": (45.0, 60.0, SHOWN),
        "gap: oracle": (90.0, 85.0, SHOWN),
        "over source-only": (10.0, 3.0, SHOWN),
        "over norms": (0.5, 0.0, NOT_SHOWN),  # a tie: AdaBN moves by itself
        "over slow-teacher": (3.0, 1.0, SHOWN),
        "over fast-teacher": (25.0, 5.0, SHOWN),
        "over random-split": (-1.0, 0.0, REFUTED),
        "over reversed-split": (5.0, 0.0, SHOWN),
        "over without-alignment": (5.0, 0.0, SHOWN),
        "over as-in-the-paper": (5.0, 0.0, SHOWN),
        "no collapse: chosen step": (1.0, 2.0, SHOWN),
        "no collapse: last step": (1.0, 2.0, SHOWN),
        "variance: mild fog": (12 / 16, 0.7, SHOWN),  # 3 of 4 mild pictures above all 4 others
        "variance: recall": (0.6, 0.0, NOT_SHOWN),
    }
    claims = {claim.name: claim for claim in said.claims}
    assert list(claims) == list(expected)
    for name, (value, bar, state) in expected.items():
        assert (claims[name].value, claims[name].bar) == (pytest.approx(value), bar), name
        assert claims[name].state == state, name
        assert "folds are dependent" in claims[name].statement, name


def test_intervals_are_those_of_dependent_folds(said):
    (gap,) = [claim for claim in said.claims if claim.name == "gap: source only"]
    precisions = [100 * (0.45 + wobble) for wobble in WOBBLE]
    _, half = confidence_interval(precisions, 20 / 80)
    assert gap.interval == pytest.approx((45 - half, 45 + half))
    assert half == pytest.approx(1.5 * confidence_interval(precisions)[1])  # (1/5 + 1/4) / (1/5) = 9/4
    row = next(row for row in said.listings[0].rows if row[0] == SOURCE)
    assert row[1] == f"45.0 ± {half:.1f}" and row[-2] == "90.0 ± 0.0"
    assert all("dependent" in listing.note for listing in said.listings)
    assert all("dependent" in chart.note for chart in said.charts)


def test_a_step_chosen_without_labels_is_held_against_the_best_and_the_last(said):
    rows = {row[0]: row[1:] for row in said.listings[2].rows}
    assert [text.split(" ±")[0] for text in rows[FAST]] == ["1.00", "50.0", "50.0", "20.0", "+0.0", "+30.0"]
    assert [text.split(" ±")[0] for text in rows[OURS]] == ["0.50", "56.0", "55.0", "55.0", "-1.0", "+0.0"]
    assert rows["all arms together"][0].startswith("0.98 ")
    told = " ".join(said.verdict)
    assert "the adaptation 1.0 ± 0.0, the slow teacher 1.0 ± 0.0, the fast teacher 30.0 ± 0.0 at the last step" in told


def test_the_verdict_calls_a_tie_a_tie(said):
    told = " ".join(said.verdict)
    assert "All the rest on top of them: a tie (+0.5 ± " in told
    assert said.verdict[0].endswith("clearly more (+10.0 ± 0.0 points of mAP50); taught with labels it has 90.0 ± 2.9.")
    assert "against a split at random clearly less (-1.0 ± 0.0 points of mAP50)" in told
    assert "Claimed and refuted: over random-split." in told and "fog 0.75 ± 0.00" in told


def test_charts_show_the_collapse_and_stop_where_the_alarm_did(said):
    charts = {chart.title: {line.label: line for line in chart.series} for chart in said.charts}
    assert charts["mAP50 over steps"][FAST].y == pytest.approx((50.0, 40.0, 20.0))
    assert charts["mAP50 over steps"][NORMS].style == "dashed"
    assert charts["stability over steps"][FAST].x == (20.0, 40.0)
    fog = charts["Variance against weather"]["fog"]
    assert len(fog.x) == 8 and fog.y[0] == pytest.approx(8 / (31.5 / 8))


def test_bins_hold_every_picture_once():
    columns = {"strength": tuple(range(10)), "sum": (1.0,) * 5 + (3.0,) * 5}
    means = binned({0: columns}, "strength", "sum", 4)
    assert list(means) == [12.5, 37.5, 62.5, 87.5]
    assert [values.mean for values in means.values()] == [0.5, 0.5, 1.5, 1.5]


@pytest.mark.parametrize("arms", [NEEDED, (SOURCE, OURS), (SOURCE,), (OURS,), (FAST, ORACLE)])
def test_what_is_missing_is_left_out(arms):
    few = findings(results(arms))
    named = {claim.name.removeprefix("over ") for claim in few.claims if claim.name.startswith("over ")}
    assert named == (set(arms) & {SOURCE, NORMS, SLOW, FAST, RANDOM} if OURS in arms else set())
    assert few.verdict and few.listings
    bare = findings(results(arms, profiles=()))
    assert not bare.charts and [listing.title for listing in bare.listings] == ["All arms on three kinds of pictures"]


def test_one_fold_shows_nothing_and_a_recall_that_does_not_vary_is_not_measured():
    one = dataclasses.replace(results(), runs=tuple(run for run in results().runs if not run.repeat), profiles=())
    assert {claim.state for claim in findings(one).claims} == {NOT_SHOWN}
    flat = [Profile(SOURCE, "split", {"sum": (1.0, 2.0), "recall": (0.0, 0.0)}, 0)]
    (claim,) = [claim for claim in findings(results(profiles=flat)).claims if claim.name == "variance: recall"]
    assert claim.value is None and claim.state == NOT_SHOWN
    assert math.isnan(Scores(results(profiles=flat)).tells_recall("mean").mean)


def test_everything_follows_from_the_file():
    first = concluded(results(), findings)
    bare = dataclasses.replace(first, claims=(), charts=(), listings=(), verdict=())
    assert concluded(Results.from_json(bare.to_json()), findings).to_json() == first.to_json()
