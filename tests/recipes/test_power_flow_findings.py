"""What is said of a power flow study: the right numbers against the right bars, and nothing where none was measured."""

import dataclasses
import math

import numpy as np
import pytest

from umbel.recipes.power_flow.errors import Errors
from umbel.recipes.power_flow.findings import findings
from umbel.recipes.power_flow.speed import Speed
from umbel.report import NOT_SHOWN, REFUTED, SHOWN, DataInfo, MethodInfo, Profile, Results, Run, TaskInfo
from umbel.study import concluded

SEEDS = 3
WITHOUT_SEED = ("ridge", "mean")
SIZES = {"ours": 4e-4, "without-difference": 4e-4, "plain": 5e-3, "ridge": 2e-3, "mean": 1e-2}
FLOWS = {"ours": 0.018, "without-difference": 0.020, "plain": 1.2, "ridge": 0.04, "mean": 1.0}
TRIED = "ours, weights tried"
TASKS = ("magnitude", "angle", "flow", "distribution")


def shrink(repeat, corrections):
    return (1 + 0.01 * repeat) * 3.0**-corrections


def run(arm, repeat, corrections):
    factor = shrink(repeat, corrections)
    metrics = {
        "magnitude": {"RMSE": SIZES[arm] * factor, "greatest": 20 * SIZES[arm] * factor},
        "angle": {"RMSE": 0.1 * factor},
        "flow": {"nRMSE": FLOWS[arm] * factor},
        "distribution": {"std error": 1e3 * SIZES[arm] * factor, "quantile error": SIZES[arm] * factor},
    }
    return Run(arm, repeat, metrics, {"corrections": corrections})


def guarded(repeat, scenario, solved):
    numbers = {"solved": solved, "wrong": 0.1, "accepted greatest": 1e-3, "median error": 1e-4, "unsolved": 0.0}
    return Run("ours", repeat, {"guard": numbers}, {"corrections": 1, "scenario": scenario})


def days(one, spread=0.02):
    """Draws of days: all arms go up and down together, so that ratios hardly move."""
    moved = 1 + spread * np.random.default_rng(0).standard_normal(100)
    flat = {"magnitude": "RMSE", "angle": "RMSE", "flow": "nRMSE"}
    columns = {task: one.metrics[task][metric] * moved for task, metric in flat.items()}
    columns |= {name: one.metrics["distribution"][name] * moved for name in ("std error", "quantile error")}
    return Profile(one.method, "days", columns, one.repeat, one.point)


def rate(per_second, spread=0.0, note=""):
    ends = {"slowest": per_second * (1 - spread), "quickest": per_second * (1 + spread)}
    return {"per second": per_second, **ends, "error pu": 1e-4, "note": note}


BASE = "lightsim2grid, from the base case"
FACTS = {
    "throughput": {
        "surrogate, 0 corrections": rate(60e3, 0.1),
        "surrogate, 1 correction": rate(30e3, 0.2),
        "surrogate, 2 corrections": rate(10e3),
        "ridge, 0 corrections": rate(70e3),
        "mean state, 1 correction": rate(50e3),
        "mean state, 2 corrections": rate(28e3),
        BASE: rate(3e3, note="KLU"),
        "pandapower": rate(10.0),
        "DC": rate(90e3),
    },
    "machine": "a processor, 1 thread",
    "weights": {"0.1": {"magnitude, 0": 4e-4, "flow, 1": 0.02}, "10": {"magnitude, 0": 5e-4, "flow, 1": 0.01}},
    "weight": 10.0,
    "costs": {"training": 200.0, "labels": 9.0, "break even": 7.5e5, "break even, guarded": math.inf},
    "equal time": {
        "seconds": 210.0,
        "answering seconds": 0.2,
        "surrogate": {"mean error": 1e-5, "std error": 0.3, "quantile error": 1e-4, "violation error": 0.3},
        "monte carlo": {"flows": 6.3e5, "of the test": 1.0, "std error": 0.0, "quantile error": 0.0},
        "monte carlo, answering time": {"flows": 600.0, "of the test": 0.1, "std error": 3.0, "quantile error": 4e-3},
    },
    "grid": {"buses": 300, "branches": 411, "unsolved": 12, "cross check": math.nan},
    "violations": {
        "bus": [["bus 7", 0.1, 0.08, 0.12, 0.105]],
        "branch": [],
        "any": [["any voltage", 0.2, 0.1, 0.3, 0.2]],
    },
}


def results(arms=tuple(SIZES), facts=FACTS, **changes):
    runs = [
        run(arm, repeat, corrections)
        for arm in arms
        for repeat in range(1 if arm in WITHOUT_SEED else SEEDS)
        for corrections in (0, 1, 2)
    ]
    profiles = tuple(map(days, runs))
    if "ours" in arms:
        shares = {"usual": 1.0, "load +20 %": 30.0, "outage": 95.0}
        runs += [guarded(repeat, name, share) for repeat in range(SEEDS) for name, share in shares.items()]
        runs += [Run(TRIED, 0, {}, {"corrections": 1, "weight": weight}) for weight in (0.1, 10.0)]
    methods = tuple(MethodInfo(arm, arm.capitalize()) for arm in (*arms, TRIED))
    tasks = tuple(TaskInfo(name, "regression", "RMSE", False) for name in TASKS)
    given = {"profiles": profiles, "facts": facts, **changes}
    return Results("power_flow", "t", "umbel run power_flow", DataInfo("case300"), tasks, methods, tuple(runs), **given)


@pytest.fixture(scope="module")
def said():
    return findings(results())


def test_claims_compare_the_right_arms_at_the_right_corrections(said):
    claims = {claim.name: claim for claim in said.claims}
    mean = 1.01  # over the seeds, of what grows with the seed; ridge has one seed, which stands for all
    expected = {
        "|V| against ridge, 0 corrections": (mean * 4e-4 / 2e-3, SHOWN),
        "|V| against ridge, 1 correction": (mean * 4e-4 / 2e-3 / 3, SHOWN),
        "|V| against a plain network, 0 corrections": (4e-4 / 5e-3, SHOWN),  # paired: both grow with the seed
        "flows against ridge, 0 corrections": (mean * 0.018 / 0.04, SHOWN),
        "angle differences, through modes, 0 corrections": (0.9, REFUTED),
        "standard deviation, 0 corrections": (mean * 0.4, SHOWN),
        "quantiles, 1 correction": (mean * 4e-4 / 3, SHOWN),
        "|V| RMSE: pays over ridge, 1 correction": (mean * 4e-4 / 2e-3, SHOWN),
        # 1 step from the mean state takes longer than the network alone, 2 take longer than the network and 1 step
        "|V| RMSE: pays over the mean state, 0 corrections": (mean * 4e-4 / (1e-2 / 3), SHOWN),
        "|V| RMSE: pays over the mean state, 1 correction": (mean * (4e-4 / 3) / (1e-2 / 9), SHOWN),
    }
    for name, (value, state) in expected.items():
        assert claims[name].value == pytest.approx(value, rel=1e-6), name
        assert claims[name].state == state, name
    assert "2 chord steps" in claims["|V| RMSE: pays over the mean state, 1 correction"].statement
    missing = claims["|V| RMSE: pays over the mean state, 2 corrections"]
    assert missing.state == NOT_SHOWN and "as long" in missing.doubt  # 3 steps were not timed, and 2 are quicker


def test_an_interval_holds_seeds_and_days():
    errors = Errors(results())
    value = errors.estimate("magnitude", ("ours", 0))
    over_seeds = errors.values("magnitude", ("ours", 0)).estimate.half_width
    drawn = 1.01 * 4e-4 * 0.02 * np.random.default_rng(0).standard_normal(100).std(ddof=1)
    assert value.half_width == pytest.approx(math.hypot(over_seeds, 1.96 * drawn), rel=1e-6)
    # Draws are paired: days that are hard for both do not widen their ratio. No seed changes ridge: days alone do.
    paired = errors.ratio("magnitude", ("ours", 0), ("plain", 0))
    assert paired.half_width < 1e-9 and paired.has_interval
    ridge = errors.estimate("magnitude", ("ridge", 0))
    assert ridge.half_width == pytest.approx(1.96 * drawn / 1.01 * 2e-3 / 4e-4, rel=1e-6)
    without = Errors(results(profiles=()))
    assert not without.estimate("magnitude", ("ours", 0)).has_interval


def test_speed_is_claimed_over_the_spread_of_its_runs(said):
    claims = {claim.name: claim for claim in said.claims}
    first, second = claims["speed, 0 corrections"], claims["speed, 1 correction"]
    assert (first.value, first.state) == (20.0, SHOWN)
    assert second.value == 10 and second.interval == pytest.approx((8, 12)) and second.state == NOT_SHOWN
    assert claims["speed against pandapower"].value == 3000 and claims["speed against pandapower"].state == SHOWN
    large = findings(results(facts={**FACTS, "grid": {"buses": 1354}}))
    assert {claim.name: claim.bar for claim in large.claims}["speed, 0 corrections"] == 12
    assert Speed(results()).fastest == BASE  # DC solves other equations


def test_what_was_not_measured_is_said_to_be_so():
    few = findings(results(arms=("ours", "mean"), facts={}))
    states = {claim.name: (claim.state, claim.value) for claim in few.claims}
    assert states["|V| RMSE: pays over ridge, 1 correction"] == (NOT_SHOWN, None)
    assert states["standard deviation, 0 corrections"][0] == SHOWN
    assert not any("against" in name or name.startswith("speed") for name in states)  # of arms that are not there
    assert {listing.title for listing in few.listings} == {
        "Errors of all arms",
        "Guarded, near training and away from it",
    }
    assert len(few.charts) == 2 and few.verdict
    none = findings(results(arms=("ridge",), facts={}))
    assert all(claim.value is None for claim in none.claims) and none.verdict


def test_tables_say_what_the_facts_say(said):
    rows = {listing.title: {row[0]: row[1:] for row in listing.rows} for listing in said.listings}
    speeds = rows["Power flows a second"]
    assert speeds["surrogate, 0 corrections"] == ("60,000", "20", "6,000", "0.0001", "")
    assert next(iter(speeds)) == "DC" and speeds[BASE][-1] == "KLU"
    covered = {who.split(", ")[-1]: row[1] for who, row in rows["Equal time"].items()}
    assert covered == {
        "training and answers": "100",
        "in the same time": "100",
        "in the time of the answers alone": "10",
    }
    assert rows["Weights of the angle differences"]["10 (chosen)"] == ("0.0005", "-", "-", "-", "-", "0.01")
    assert rows["What it costs"]["the same with the guard"] == ("never",)
    assert rows["The grid"]["greatest difference of the solver and pandapower, pu"] == ("-",)
    assert rows["Buses whose voltage is likeliest to leave its limits"]["bus 7"] == ("10.00", "8.00 to 12.00", "10.50")
    assert rows["Guarded, near training and away from it"]["outage"][:2] == ("0.0001 ± 0", "95 ± 0")
    assert "Branches that are likeliest to be overloaded" not in rows
    # Networks that weights were tried with have several runs at one point, and are no arm.
    assert {row[0] for row in next(one for one in said.listings if one.title == "Errors of all arms").rows} == {
        arm.capitalize() for arm in SIZES
    }


def test_the_verdict_tells_what_wins_and_what_was_refuted(said):
    told = " ".join(said.verdict)
    assert "refuted: angle differences, through modes, 0 corrections" in told
    assert "630,000 power flows, which is all of the test days: for a single study of this size, solve it." in told
    assert "the solver, in the 0.2 seconds that the answers of the network take, by 0.004 pu" in told
    assert "outage 95 % (0.1 % of the rest wrong)" in told
    assert "than ridge with as many corrections in 4 of 4 comparisons (clearly worse in 0)" in told
    assert "When not to use it" in told


def test_charts_are_logarithms_with_their_intervals(said):
    charts = {chart.title: chart for chart in said.charts}
    ours = {line.label: line for line in charts["|V| RMSE against corrections"].series}["network"]
    assert ours.x == (0, 1, 2)
    assert ours.y[0] == pytest.approx(math.log10(1.01 * 4e-4))
    frontier = {line.label: line for line in charts["|V| RMSE against speed"].series}
    assert frontier["network"].x == (10e3, 30e3, 60e3)  # as speed rises, corrections fall
    assert (frontier["ridge"].x, frontier["ridge"].style) == ((70e3,), "dots")
    assert frontier["mean state"].y == pytest.approx((math.log10(1e-2 / 9), math.log10(1e-2 / 3)))


def test_everything_follows_from_the_file():
    first = concluded(results(), findings)
    bare = dataclasses.replace(first, claims=(), charts=(), listings=(), verdict=())
    assert concluded(Results.from_json(bare.to_json()), findings).to_json() == first.to_json()
