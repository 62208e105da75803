"""The study of private features on a few steps: all arms, choices on validation, claims from the right numbers."""

import dataclasses
import math

import pytest
import study_laws as laws

from umbel.core import UmbelError
from umbel.engine import FitSettings
from umbel.recipes import RECIPES
from umbel.recipes.private_features import PRIVATE_FEATURES, QUICK, PrivateFeaturesSettings
from umbel.recipes.private_features.findings import findings
from umbel.recipes.private_features.scores import ATTACK, BLIND, LABEL_FLOOR, Scores
from umbel.recipes.private_features.settings import (
    COMPONENTS,
    MIN_MAX,
    NEEDED,
    NO_GATES,
    NOISY,
    OURS,
    PLAIN,
    REVERSAL,
    UNIVERSAL,
)
from umbel.recipes.private_features.study import CHOSEN, JOINT, REBUILT, TUNING, chosen_weight, jobs, tuning_jobs
from umbel.recipes.settings import DataSettings
from umbel.report import DataInfo, MethodInfo, Profile, Results, Run, TaskInfo
from umbel.report.schema import plain
from umbel.study import Table

FIT = FitSettings(
    steps=3, batch_size=32, precision="float32", validate_every=3, tensorboard=False, monitor="loss", clip_norm=1.0
)
SMALL = PrivateFeaturesSettings(
    data=DataSettings(data="digits-pairs", train_size=96),
    encoder_options="widths=4/4,norm=group",
    released=4,
    arms=",".join((OURS, NO_GATES, PLAIN, UNIVERSAL, COMPONENTS, MIN_MAX, NOISY)),
    decorrelation="1/16",
    reversal="1",
    confusion="1",
    sigma="0/0.3",
    covariance="16",
    attackers="linear",
    attack_samples=90,
    reconstruct=False,
    seeds=1,
    fit=FIT,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(PRIVATE_FEATURES, SMALL, tmp_path_factory.mktemp("private") / "study")


def test_every_arm_seed_and_point_is_there(finished):
    results, out = finished
    table = Table(results.runs)
    assert [method.key for method in results.methods if TUNING not in method.key] == list(SMALL.chosen_arms)
    for arm in SMALL.chosen_arms:
        sigmas = [0.0, 0.3] if arm == NOISY else [None]
        for sigma in sigmas:
            at = table.at(weight=None, sigma=sigma)
            assert len(at(arm, "accuracy", task="left", seen=None)) == 1
            for seen, wanted in (("left", "right"), ("right", "left")):
                attack = at(arm, ATTACK, task=wanted, seen=seen)
                assert len(attack) == 1 and all(0 <= number <= 1 for number in attack.values())
    assert not math.isnan(table(PLAIN, ATTACK, task="left", seen="left+right", weight=None, sigma=None).mean)
    trained = {path.parent.relative_to(out / "networks").parts[0] for path in out.rglob("outcome.json")}
    assert JOINT in trained  # the network that components are taken of is no row, but it is trained


def test_weights_are_chosen_from_networks_of_seed_0(finished):
    results, _ = finished
    tried = list(tuning_jobs(SMALL))
    assert [(job.arm, job.place.get("weight")) for job in tried] == [
        (UNIVERSAL, None),
        *((arm + TUNING, weight) for arm in (OURS, NO_GATES) for weight in (1.0, 16.0)),
    ]
    assert {job.repeat for job in tried} == {0}
    assert set(results.facts[CHOSEN]) == {OURS, NO_GATES, MIN_MAX, NOISY}
    assert results.facts[CHOSEN][NOISY] == results.facts[CHOSEN][OURS] and results.facts[CHOSEN][MIN_MAX] == 1.0
    (run,) = [r for r in results.runs if (r.method, r.repeat) == (OURS, 0) and "seen" not in r.point]
    assert run.settings == {"weight": results.facts[CHOSEN][OURS]} and "weight" not in run.point
    with_components = [job for job in jobs(SMALL, results.facts[CHOSEN]) if job.arm == COMPONENTS]
    assert [job.needs[0].arm for job in with_components] == [JOINT]


def test_nothing_is_done_twice_and_everything_follows_from_the_runs(finished):
    laws.assert_nothing_is_done_twice(PRIVATE_FEATURES, SMALL, finished)
    laws.assert_follows_from_its_runs(PRIVATE_FEATURES, finished[0])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": "private,plain-links"}, "universal"),
        ({"arms": ",".join((*NEEDED, "plian"))}, "plian"),
        ({"release_norm": 0.0}, "no privacy"),
        ({"delta": 0.0}, "probability"),
        ({"sigma": "-1/0"}, "below 0"),
        ({"decorrelation": "a"}, "--decorrelation"),
        ({"released": 0}, "released"),
        ({"attackers": "linnear"}, "linnear"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(UmbelError, match=says):
        dataclasses.replace(SMALL, **changes)


def test_one_task_is_refused_before_anything_is_written(tmp_path):
    one = dataclasses.replace(SMALL, data=DataSettings(data="digits-pairs", train_size=96, tasks="left"))
    laws.assert_refused_before_writing(PRIVATE_FEATURES, one, tmp_path, "one task")


# -- numbers whose answer is known ---------------------------------------------------------------------------------

TASKS = (
    TaskInfo("kind", "classification", "accuracy", True, "", (), ("accuracy",)),
    TaskInfo("age", "regression", "mae", False, "years", (), ("mae",)),
)


def runs_of(arm, kind, age, cross_kind, cross_age, repeat=0, **point):
    """A network's own scores, and what attackers get of each task from what the other is sent."""
    own = {"kind": {"accuracy": kind}, "age": {"mae": age}}
    floors = {"kind": {BLIND: 0.5, LABEL_FLOOR: 0.6}, "age": {BLIND: 10.0, LABEL_FLOOR: 9.0}}
    served = {"kind": kind, "age": age}
    crossed = {"kind": cross_kind, "age": cross_age}
    yield Run(arm, repeat, own, point, own)
    for seen in ("kind", "age"):
        test = {t: {ATTACK: served[t] if t == seen else crossed[t], **floors[t]} for t in served}
        validation = {t: {ATTACK: metrics[ATTACK]} for t, metrics in test.items()}
        yield Run(arm, repeat, test, {**point, "seen": seen}, validation)


def results_of(repeats=(0, 1, 2), wobble=0.0):
    """Ours leaks a quarter of the way, plain links half of it; noise of a repeat is `wobble` times its number."""
    arms = {UNIVERSAL: (0.9, 5.0, 0.9, 5.0), OURS: (0.89, 5.05, 0.675, 8.0), PLAIN: (0.9, 5.0, 0.75, 7.0)}
    runs = []
    for repeat in repeats:
        for arm, (kind, age, cross_kind, cross_age) in arms.items():
            shaken = cross_kind + (wobble * (repeat - 1) if arm == OURS else 0)
            runs += runs_of(arm, kind, age, shaken, cross_age, repeat)
    profiles = [
        Profile(arm, REBUILT, {"ssim": (ssim,)}, repeat, {"seen": seen})
        for arm, ssim in ((OURS, 0.2), (PLAIN, 0.35))
        for seen in ("kind", "age")
        for repeat in repeats
    ]
    methods = tuple(MethodInfo(arm, arm) for arm in arms)
    settings = plain(dataclasses.replace(SMALL, arms=",".join(NEEDED), reconstruct=True))
    about = DataInfo("toy"), TASKS, methods, tuple(runs)
    return Results("private_features", "t", "c", *about, settings=settings, profiles=tuple(profiles))


def test_leakage_lies_between_the_better_floor_and_universal_features():
    scores = Scores(Table(results_of().runs), TASKS)
    assert scores.leak(OURS, "age", "kind").mean == pytest.approx((0.675 - 0.6) / (0.9 - 0.6))
    assert scores.leak(OURS, "kind", "age").mean == pytest.approx((9.0 - 8.0) / (9.0 - 5.0))  # an error
    assert scores.leakage(OURS).mean == pytest.approx(0.25)
    assert scores.leak(UNIVERSAL, "age", "kind").mean == pytest.approx(1.0)
    assert scores.cost(OURS).mean == pytest.approx((1.0 + 1.0) / 2)  # a point of accuracy, one percent of the error


def test_a_pair_whose_label_tells_it_all_is_left_out():
    """A coarse class follows from the fine one: features cannot be blamed for it, and there is nothing to divide by."""
    runs = [dataclasses.replace(run, metrics={t: dict(m) for t, m in run.metrics.items()}) for run in results_of().runs]
    for run in runs:
        if run.point.get("seen") == "age":
            run.metrics["kind"][LABEL_FLOOR] = 0.95
    scores = Scores(Table(runs), TASKS)
    assert scores.pairs == [("kind", "age")] and scores.leakage(OURS).mean == pytest.approx(0.25)
    results = dataclasses.replace(results_of(), runs=tuple(runs))
    assert math.isnan(findings(results).matrices[0].values[1][0])


def test_claims_follow_from_the_numbers():
    state = {one.name: one.state for one in findings(results_of()).claims}
    assert state == {
        "own score: kind": "shown",
        "own score: age": "shown",
        "leakage": "shown",
        "below plain links": "shown",
        "reconstruction": "shown",
    }
    unsure = {one.name: one.state for one in findings(results_of(wobble=0.05)).claims}
    assert unsure["leakage"] == "not shown" and unsure["own score: age"] == "shown"
    once = findings(results_of(repeats=(0,)))
    assert {one.state for one in once.claims} == {"not shown"}
    assert findings(results_of()).matrices[0].values[0] == pytest.approx((0.96667, 0.25), abs=1e-4)


def test_the_cheap_weight_that_leaks_least_is_chosen():
    class Bench:
        settings = dataclasses.replace(SMALL, decorrelation="1/4/16", spare=2.0)
        data = type("Data", (), {"tasks": ()})

    bench, runs = Bench(), [*runs_of(UNIVERSAL, 0.9, 5.0, 0.9, 5.0)]
    for weight, (kind, cross) in {1.0: (0.9, 0.8), 4.0: (0.88, 0.65), 16.0: (0.8, 0.6)}.items():
        runs += runs_of(OURS + TUNING, kind, 5.0, cross, 9.0, weight=weight)
    bench.table = Table(runs)
    assert chosen_weight(bench, OURS, TASKS) == 4.0  # the last one leaks least, but costs 5 points in the mean
    bench.table = Table([run for run in runs if run.point.get("weight") != 1.0])
    bench.settings = dataclasses.replace(bench.settings, decorrelation="4/16", spare=0.5)
    assert chosen_weight(bench, OURS, TASKS) == 4.0  # none is cheap enough: the cheapest


def test_the_recipe_is_known_and_quick_is_small():
    assert RECIPES["private_features"] is PRIVATE_FEATURES
    assert set(NEEDED) <= set(QUICK.chosen_arms) and QUICK.weights(REVERSAL) == [1.0]
    assert QUICK.weights(PLAIN) == []
