"""The controllable study on a few steps: every arm, choices on validation, claims from the right numbers, resume."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from study_laws import timeless

from umbel.core import UmbelError
from umbel.engine import FitSettings, evaluate, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.build import load_data
from umbel.recipes.controllable import QUICK, ControllableSettings
from umbel.recipes.controllable.arms import EQUAL, EXACT, PREFERENCE, RULE, SEPARATE, Bench, fresh_model
from umbel.recipes.controllable.reading import Measured, Numbers
from umbel.recipes.controllable.study import controllable_study
from umbel.recipes.settings import DataSettings, ModelSettings
from umbel.recipes.study import Study
from umbel.recipes.turnable import open_turnable
from umbel.report import Results
from umbel.search import search

SMALL = dataclasses.replace(
    QUICK,
    data=DataSettings(data="digits", tasks="digit,loops", train_size=200),
    model=ModelSettings(encoder_options="widths=8/16", hidden=16, vector_head="conv", widths="0.5/1"),
    ablations="none,logits",
    groups="",
    budgets="60/90",
    divisions=2,
    latency=False,
    fit=FitSettings(steps=8, batch_size=32, precision="float32", monitor="loss", tensorboard=False),
)


def run(out, settings=SMALL, resume=False):
    return controllable_study(settings, Study(out, open_runtime(), "umbel run controllable", resume))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "out"


@pytest.fixture(scope="module")
def results(folder):
    return run(folder)


@pytest.fixture(scope="module")
def network(folder, results):
    return open_turnable(folder / "networks" / "controllable" / "prefix" / "seed-0", open_runtime())


def runs(results, arm, **point):
    return [r for r in results.runs if r.method == arm and point.items() <= r.point.items()]


def test_every_arm_is_measured_for_every_seed(results):
    arms = {SEPARATE, EXACT, RULE, EQUAL, PREFERENCE, "distillation-none", "distillation-logits"}
    assert {run.method for run in results.runs} == arms
    for arm in arms:
        assert {run.seed for run in runs(results, arm)} == {0, 1}
    for arm in (EXACT, RULE, EQUAL, PREFERENCE):
        asked = {(r.point["budget"], r.point["preference"]) for r in runs(results, arm) if "budget" in r.point}
        assert asked >= {(budget, ray) for budget in ("60 %", "90 %") for ray in ("0.02/1", "0.5/0.5", "1/0.02")}
    assert Results.from_json(results.to_json()) == results


def test_numbers_are_those_of_the_networks(results, network):
    """The table's lookups, against the kept network evaluated at the configuration that a run names."""
    runtime = open_runtime()
    for found in runs(results, EXACT, budget="60 %"):
        if found.seed:
            continue
        point = found.settings["point"]
        alone = evaluate(
            network.learner, network.data.test, runtime, network.learner.point(point["width"], point["head_widths"])
        )
        assert {t: m["accuracy"] for t, m in found.metrics.items()} == pytest.approx(alone.main(), abs=1e-5)


def test_configurations_are_chosen_on_validation_and_within_the_budget(results, network):
    for found in runs(results, EXACT, preference="1/0.02"):
        assert found.settings["used"] <= 1
        if found.seed == 0:
            percent = found.point["budget"].removesuffix(" %")
            choice = search(network.table, f"{percent}% macs", {"digit": 1.0, "loops": 0.02})
            assert found.settings["point"] == choice.point.as_dict()


def test_the_preferred_task_has_no_narrower_head(results):
    for found in runs(results, EXACT, preference="1/0.02"):
        if found.settings:
            heads = found.settings["point"]["head_widths"]
            assert heads["digit"] >= heads["loops"]


def test_separate_networks_have_the_shapes_of_the_configurations(tmp_path):
    data = load_data(SMALL.data)
    wider = dataclasses.replace(SMALL, model=dataclasses.replace(SMALL.model, encoder_options="widths=16/32"))
    bench = Bench(Study(tmp_path, open_runtime(), ""), wider, SMALL.fit, data)
    half = fresh_model(bench, {"width": 0.5, "heads": 1.0}, seed=0)
    assert half.encoder.feature_shape[0] == 16
    assert half.heads["digit"].predict.in_features == 16
    full = fresh_model(bench, {"width": 1.0, "heads": 1.0}, seed=0)
    again = fresh_model(bench, {"width": 0.5, "heads": 1.0}, seed=0)
    first = [p for p in half.parameters() if p.ndim > 1]
    assert all(torch.equal(a, b) for a, b in zip(half.parameters(), again.parameters(), strict=True))
    wide = [p for p in full.parameters() if p.ndim > 1]
    assert not torch.equal(first[1], wide[1][:16, :8]), "a prefix of a wide start is too small for a narrow layer"
    assert first[1].std() > 1.2 * wide[1].std()


def test_claims_say_what_they_measured(results):
    by_name = {claim.name: claim for claim in results.claims}
    names = {"width-1", "width-0.5", "distillation-helps", "distillation-never-worse", "hypervolume"}
    assert set(by_name) == names | {"against-preference", "response", "exact", "budget"}
    separate = {(r.seed, r.point["width"]): r.metrics for r in runs(results, SEPARATE)}
    gains = [
        np.mean([100 * (r.metrics[t]["accuracy"] - separate[r.seed, 0.5][t]["accuracy"]) for t in r.metrics])
        for r in runs(results, EXACT, width=0.5, heads=0.5)
    ]
    assert by_name["width-0.5"].value == pytest.approx(np.mean(gains), abs=2e-3)
    assert by_name["budget"].holds
    assert by_name["response"].holds is None or "matters by" in by_name["response"].statement


def toy_numbers(error_a, error_b):
    """Numbers of two tasks and two widths, whose errors the narrow head doubles; the encoder does nothing."""
    data = load_data(DataSettings(data="digits", tasks="digit,loops", train_size=50))
    settings = dataclasses.replace(SMALL, seeds=1, model=dataclasses.replace(SMALL.model, widths="0.5/1"))
    quality = 1 - np.array([[[2 * error, error]] * 2 for error in (error_a, error_b)])
    from umbel.search import ConfigurationTable, TaskMetric

    tasks = ("digit", "loops")
    costs = {"macs": np.array([10, 10])}, {"macs": np.array([[[10, 30]] * 2] * 2)}
    table = ConfigurationTable((0.5, 1), (0.5, 1), tasks, dict.fromkeys(tasks, TaskMetric("accuracy")), quality, *costs)
    measured = Measured()
    measured.supernets["prefix", 0] = {"table": table.to_json(), "test": quality.tolist()}
    measured.separate[1.0, 0] = {s: {"digit": 1 - error_a, "loops": 1 - error_b} for s in ("validation", "test")}
    from umbel.recipes.controllable.measure import dial

    bench = Bench(Study(None, open_runtime(), ""), settings, settings.fit, data)
    measured.dials[0] = list(dial(bench, measured.supernets["prefix", 0]))
    return Numbers(bench, measured)


def test_hypervolume_and_response_of_a_network_that_is_known():
    """At 75 % one head can be wide: losses are (1, 2) or (2, 1); with equal heads only (2, 2)."""
    numbers = toy_numbers(0.1, 0.2)
    numbers.settings = dataclasses.replace(numbers.settings, budgets="75")
    from umbel.recipes.controllable.measure import dial

    numbers.bench.settings = numbers.settings
    numbers.measured.dials[0] = list(dial(numbers.bench, numbers.measured.supernets["prefix", 0]))
    front = {tuple(np.round(row, 6)) for row in numbers.front(EXACT, 75, 0)}
    assert {(1.0, 2.0), (2.0, 1.0)} <= front
    assert {tuple(np.round(row, 6)) for row in numbers.front(EQUAL, 75, 0)} == {(2.0, 2.0)}
    corner = 2 * 1.1
    assert numbers.volume(EQUAL, 75, 0) == pytest.approx((corner - 2) ** 2)
    assert numbers.volume(EXACT, 75, 0) == pytest.approx(2 * (corner - 1) * (corner - 2) - (corner - 2) ** 2)
    spearman, spread = numbers.response(numbers.tasks[0], 75, 0)
    assert spearman > 0.8
    assert spread == pytest.approx(10.0)
    assert [task.name for task in numbers.sensitive_tasks(15.0)] == ["loops"]


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_and_ends_the_same(folder, results, tmp_path):
    """Without the last networks and one that was not made ready."""
    shutil.copytree(folder, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "networks" / "preference")
    ready = tmp_path / "out" / "networks" / "controllable" / "none" / "seed-1"
    for path in (*ready.glob("checkpoints/ready-*"), ready / "tables.json"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = run(tmp_path / "out", resume=True)
    assert timeless(json.loads(again.to_json())) == timeless(json.loads(results.to_json()))


def test_other_settings_are_refused(folder, results):
    with pytest.raises(UmbelError, match="was begun with divisions=2, not 4"):
        run(folder, dataclasses.replace(SMALL, divisions=4), resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": "0/20"}, "give percentages above 0"),
        ({"budgets": "x"}, "write numbers with / between"),
        ({"divisions": 1}, "give at least 2"),
        ({"ablations": "prefixes"}, "unknown distillation"),
        ({"seeds": 0}, "seeds is 0"),
        ({"model": ModelSettings()}, "at least two widths"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(UmbelError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize("widths", ["1/0.5", "0.5", "0/1", "a/1", "0.5/0.5/1"])
def test_widths_that_cannot_be_are_refused(widths):
    with pytest.raises(UmbelError, match="--widths"):
        ModelSettings(widths=widths)


def test_groups_and_rays():
    settings = ControllableSettings()
    names = [f"t{i}" for i in range(5)]
    assert settings.groups_of(names) == [["t0", "t1", "t2"], ["t3", "t4"]]
    assert settings.groups_of(names[:3]) == [["t0"], ["t1"], ["t2"]]
    assert len(settings.rays(2)) == 9
    assert len(settings.rays(3)) == 15
    assert min(min(ray) for ray in settings.rays(3)) == 0.02
    for groups in ("t0,t1/t2", "t0,t1,t2,t3,t4", "t0,t1,t2/t2,t3,t4"):
        with pytest.raises(UmbelError, match="exactly one of at least two groups"):
            dataclasses.replace(settings, groups=groups).groups_of(names)
    with pytest.raises(UmbelError, match="unknown task in --groups 't9'"):
        dataclasses.replace(settings, groups="t0,t1/t9").groups_of(names)


def test_the_recipe_can_be_run_by_name():
    assert RECIPES["controllable"].quick is QUICK
