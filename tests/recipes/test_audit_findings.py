"""What an audit's page and terminal say, from records alone."""

import math

import pytest

from umbel.audit import Audit, Inference, Reconstruction, audits_of
from umbel.audit.kept import kept_audits
from umbel.core import UmbelError
from umbel.recipes.auditing.findings import findings, short_listings
from umbel.recipes.auditing.leaks import Leak
from umbel.report import DataInfo, MethodInfo, Results, Run, TaskInfo

ARMS = (MethodInfo("network", "The network itself"),)


def pair(seen, wanted, score, *, blind=0.1, label=0.1, served=False, metric="accuracy", higher=True):
    tried = {"linear": (score, score), "mlp": (0.0, 0.0)}
    numbers = (blind, label, score - 0.02, score + 0.02)
    return Inference(seen, wanted, served, metric, higher, tried, tried, ("linear", "linear"), (score, score), *numbers)


def picture(seen, ssim):
    tried = {"linear": (ssim,)}
    return Reconstruction(seen, 1, tried, tried, ("linear",), (ssim,), (20.0,), 0.2, 11.0, ssim - 0.01, ssim + 0.01)


def audit(sigma, leak):
    pairs = (
        pair("left", "left", 0.97, served=True),
        pair("left", "right", leak),
        pair("right", "left", 0.2),
        pair("right", "right", 0.97, served=True),
    )
    sentence = "epsilon 4.00 at delta 1e-05"
    return Audit("network n", {"sigma": sigma}, {"test": 9}, pairs, (picture("left", 0.5),), (sentence,), ("a note",))


def results(*audits):
    runs = tuple(Run("network", 0, {"left": {"accuracy": 0.9 - one.point["sigma"]}}, one.point) for one in audits)
    tasks = tuple(TaskInfo(name, "classification", "accuracy", True) for name in ("left", "right"))
    return Results("audit", "t", "umbel audit n", DataInfo("d"), tasks, ARMS, runs, facts=kept_audits(audits))


def test_records_survive_the_file():
    audits = (audit(0.0, 0.34), audit(math.inf, math.nan))
    read = audits_of(Results.from_json(results(audits[0]).to_json()))
    assert read == audits[:1]
    assert audits_of(Results.from_json(results(*audits).to_json()))[1].point == {"sigma": math.inf}
    with pytest.raises(UmbelError, match="hold no audit"):
        audits_of(Results("audit", "t", "c", DataInfo("d"), (), ARMS, ()))


def test_sentences_give_floor_ceiling_and_leakage_the_worst_first():
    said = findings(results(audit(0.0, 0.34), audit(1.0, 0.12))).verdict
    leakage = (0.34 - 0.1) / (0.97 - 0.1)
    assert said[0] == (
        "From what task left gets, an attacker tells right with accuracy 0.340 [0.320, 0.360]: floor 0.100, ceiling "
        f"0.970: normalised leakage {leakage:.2f} [0.25, 0.30]."
    )
    assert said[1].startswith("From what task right gets, an attacker tells left")
    assert "0.11 [0.09, 0.14] at sigma 1 (left from what task right gets)" in said[2]
    assert "SSIM 0.50 [0.49, 0.51] and PSNR 20.0 dB" in said[3]
    assert said[4:5] == ("epsilon 4.00 at delta 1e-05",) and "Stadler et al." in said[-1]


def test_what_labels_explain_is_said_and_what_is_no_better_than_the_floor():
    explained = Audit("n", {}, {}, (pair("b", "b", 0.9, served=True), pair("a", "b", 0.89, label=0.95)))
    known = Audit("n", {}, {}, (pair("b", "b", 0.9, served=True), pair("a", "b", 0.11)))
    alone = Audit("n", {}, {}, (pair("encoder", "b", 0.5),))
    for one, text in (
        (explained, "so the floor explains it all"),
        (known, "no more than the floor"),
        (alone, "no ceiling"),
    ):
        assert text in findings(results_of(one)).verdict[0]


def results_of(one):
    return Results("audit", "t", "c", DataInfo("d"), (), ARMS, (), facts=kept_audits([one]))


def test_errors_leak_where_they_fall():
    error = {"metric": "RMSE", "higher": False, "blind": 10.0, "label": 8.0}
    leak = Leak(pair("a", "b", 5.0, **error), 2.0)
    assert (leak.share, leak.at_floor) == (0.5, False) and leak.interval == pytest.approx((2.98 / 6, 3.02 / 6))
    assert leak.score_text == "5.00 [4.98, 5.02]" and Leak(pair("a", "b", 7.99, **error), 2.0).at_floor


def test_tables_maps_and_charts_over_the_noise():
    drawn = findings(made := results(audit(0.0, 0.34), audit(1.0, 0.12)))
    assert [one.title for one in drawn.listings] == ["Who can tell what", "How well the input is rebuilt"]
    row = dict(zip(drawn.listings[0].columns, drawn.listings[0].rows[1], strict=True))
    assert row == {
        "seen": "left",
        "inferred": "right: accuracy\u00a0↑",
        "at": "sigma 0",
        "score": "0.340 [0.320, 0.360]",
        "floor": "0.100",
        "ceiling": "0.970",
        "leakage": "0.28 [0.25, 0.30]",
        "best attacker": "linear",
    }
    heat = {matrix.title: matrix for matrix in drawn.matrices}
    assert heat["Normalised leakage, sigma 0"].values[0] == pytest.approx((1.0, 0.24 / 0.87))
    assert heat["What attackers tell: accuracy, sigma 0"].values == ((0.97, 0.34), (0.2, 0.97))
    use, leak, pictures = drawn.charts
    assert use.series[0].y == pytest.approx((0.9, -0.1)) and pictures.series[0].y == (0.5, 0.5)
    line = next(series for series in leak.series if series.label == "right from left")
    assert line.y == pytest.approx((0.24 / 0.87, 0.02 / 0.87)) and line.half_width[0] == pytest.approx(0.02 / 0.87)
    short = short_listings(made)[0]
    assert [row[:2] for row in short.rows] == [("left", "right: accuracy\u00a0↑"), ("right", "left: accuracy\u00a0↑")]
