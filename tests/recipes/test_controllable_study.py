"""The controllable study on a few steps: every arm, choices on validation, claims from the right numbers, its laws."""

import dataclasses

import numpy as np
import pytest
import study_laws as laws

from umbel.core import UmbelError
from umbel.engine import FitSettings, evaluate, open_runtime
from umbel.recipes import RECIPES
from umbel.recipes.build import open_data
from umbel.recipes.controllable import CONTROLLABLE, QUICK, ControllableSettings
from umbel.recipes.controllable.findings import findings
from umbel.recipes.controllable.measure import EQUAL, EXACT, LATENCY, RULE, asked
from umbel.recipes.controllable.study import DISTILLATION, PREFERENCE, SEPARATE
from umbel.recipes.settings import ControllableModelSettings, DataSettings, ModelSettings
from umbel.recipes.turnable import open_turnable, ready_table
from umbel.report import MethodInfo, Profile, Results, Run, TaskInfo
from umbel.report.records import DataInfo
from umbel.search import search
from umbel.study import Table

SMALL = dataclasses.replace(
    QUICK,
    data=DataSettings(data="digits", tasks="digit,loops", train_size=200),
    model=ControllableModelSettings(encoder_options="widths=8/16", hidden=16, vector_head="conv", widths="0.5/1"),
    ablations="none,logits",
    groups="",
    budgets="60/90",
    divisions=2,
    latency=False,
    fit=FitSettings(steps=8, batch_size=32, precision="float32", monitor="loss", tensorboard=False),
)
CHOOSING = dataclasses.replace(
    SMALL,
    seeds=1,
    ablations="logits",
    budgets="60",
    strengths="0.1/0.3",
    penalties="0/1",
    fit=SMALL.fit.replace(steps=4),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return laws.run(CONTROLLABLE, SMALL, tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def results(finished):
    return finished[0]


@pytest.fixture(scope="module")
def network(finished):
    return open_turnable(finished[1] / "networks" / "controllable" / "strength-0.1" / "repeat-0", open_runtime())


@pytest.fixture(scope="module")
def choosing(tmp_path_factory):
    """A study that chooses strengths and a penalty by trials."""
    return laws.run(CONTROLLABLE, CHOOSING, tmp_path_factory.mktemp("choosing") / "out")


def runs(results, arm, **point):
    return [r for r in results.runs if r.method == arm and point.items() <= r.point.items()]


def test_every_arm_is_measured_for_every_seed_on_both_splits(results):
    arms = {SEPARATE, EXACT, RULE, EQUAL, PREFERENCE, f"{DISTILLATION}none", f"{DISTILLATION}logits"}
    assert {run.method for run in results.runs} == arms
    for arm in arms:
        assert {run.repeat for run in runs(results, arm)} == {0, 1}
    for arm in (EXACT, RULE, EQUAL, PREFERENCE):
        answered = {(r.point["budget"], r.point["preference"]) for r in runs(results, arm) if "budget" in r.point}
        assert answered == {(budget, ray) for budget in ("60 %", "90 %") for ray in ("0.02/1", "0.5/0.5", "1/0.02")}
    for arm in (EXACT, f"{DISTILLATION}none", f"{DISTILLATION}logits"):
        places = [tuple(run.point.values()) for run in runs(results, arm) if run.repeat == 0 and "width" in run.point]
        assert sorted(places) == [(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 1.0)]
    for run in results.runs:
        assert run.metrics.keys() == run.validation.keys() == {"digit", "loops"}


def test_it_obeys_the_laws_of_studies(finished):
    laws.assert_nothing_is_done_twice(CONTROLLABLE, SMALL, finished)
    laws.assert_follows_from_its_runs(CONTROLLABLE, finished[0])


def test_a_killed_study_goes_on(choosing, tmp_path):
    """Killed in the network that reads the preference: what was chosen by trials before is remembered."""
    [file] = choosing[1].glob("networks/preference/**/outcome.json")
    label = ", ".join(part.replace("-", " ") for part in file.parent.relative_to(choosing[1] / "networks").parts)
    laws.assert_goes_on_after_a_kill(CONTROLLABLE, CHOOSING, choosing, tmp_path, label, 4)


def test_batches_divide(tmp_path, monkeypatch):
    laws.assert_batches_divide(CONTROLLABLE, SMALL, tmp_path, monkeypatch)


@pytest.mark.parametrize("place", ["validation", "test"])
def test_numbers_are_those_of_the_networks(results, network, place):
    """The table's lookups, against the kept network evaluated at the configuration that a run names."""
    runtime, source = open_runtime(), getattr(open_data(SMALL.data), place)
    for run in (r for r in runs(results, EXACT, budget="60 %") if r.repeat == 0):
        widths = run.settings["point"]
        point = network.learner.point(widths["width"], widths["head_widths"])
        alone = evaluate(network.learner, source, runtime, point).main()
        kept = run.metrics if place == "test" else run.validation
        assert {t: m["accuracy"] for t, m in kept.items()} == pytest.approx(alone, abs=1e-5)


def test_widths_are_chosen_on_validation_and_within_the_budget(results, network):
    for run in runs(results, EXACT, preference="1/0.02"):
        assert run.settings["used"] <= 1
        heads = run.settings["point"]["head_widths"]
        assert heads["digit"] >= heads["loops"], "the preferred task has the narrower head"
        if run.repeat == 0:
            percent = run.point["budget"].removesuffix(" %")
            choice = search(network.table, f"{percent}% macs", {"digit": 1.0, "loops": 0.02})
            assert run.settings["point"] == choice.point.as_dict()


def test_networks_that_read_the_preference_cost_what_equal_heads_cost(finished):
    """One training for budgets with the same shape; the shape is the best equal one without preferences."""
    results, out = finished
    for repeat in (0, 1):
        table = ready_table(out / "networks" / "controllable" / "strength-0.1" / f"repeat-{repeat}")
        shapes = set()
        for percent in (60, 90):
            own = [r for r in runs(results, PREFERENCE, budget=f"{percent} %") if r.repeat == repeat]
            [shape] = {(r.settings["width"], r.settings["heads"]) for r in own}
            places = table.encoder_widths.index(shape[0]), [table.head_widths.index(shape[1])] * 2
            assert table.cost("macs", *places) <= percent / 100 * table.full_cost("macs")
            shapes.add(shape)
        assert len(list((out / "networks" / "preference").glob(f"**/repeat-{repeat}/outcome.json"))) == len(shapes)


def test_what_trials_choose_is_the_best_on_validation(choosing):
    results, out = choosing
    assert {run.method for run in results.runs} == {SEPARATE, EXACT, RULE, EQUAL, PREFERENCE, f"{DISTILLATION}logits"}
    assert {run.repeat for run in results.runs} == {0}
    outcomes = list(out.glob("networks/trial-*/**/outcome.json"))
    assert len(outcomes) == 6
    full = next(r for r in runs(results, SEPARATE, width=1.0)).validation
    for arm, kind in ((EXACT, "prefix"), (f"{DISTILLATION}logits", "logits")):
        gains = {}
        for strength in (0.1, 0.3):
            folder = out / "networks" / f"trial-{arm}" / f"strength-{strength}" / "repeat-1000"
            table = ready_table(folder)
            relative = [table.quality[i] / full[name]["accuracy"] for i, name in enumerate(table.tasks)]
            gains[strength] = np.mean(relative)
            assert '"steps": 2,' in (folder / "outcome.json").read_text()
        assert gains[results.facts["strengths"][kind]] == pytest.approx(max(gains.values()), abs=1e-4)
        chosen = results.facts["strengths"][kind]
        assert (out / "networks" / arm / f"strength-{chosen:g}" / "repeat-0" / "outcome.json").exists()


def test_claims_are_differences_of_what_the_runs_say(results):
    by_name = {claim.name: claim for claim in results.claims}
    widths = {"width-1", "width-0.5", "distillation-helps", "distillation-never-worse"}
    assert set(by_name) == widths | {"against-preference", "response"}

    def accuracy(arm, width):
        own = {r.repeat: r.metrics for r in runs(results, arm, width=width, heads=width)}
        return np.array([np.mean([100 * m["accuracy"] for m in own[repeat].values()]) for repeat in (0, 1)])

    narrow = accuracy(EXACT, 0.5)
    assert by_name["width-0.5"].value == pytest.approx(np.mean(narrow - accuracy(SEPARATE, 0.5)))
    gains = [accuracy(EXACT, width) - accuracy(f"{DISTILLATION}none", width) for width in (0.5, 1.0)]
    assert by_name["distillation-helps"].value == pytest.approx(gains[0].mean())
    assert by_name["distillation-never-worse"].value == pytest.approx(np.minimum(*gains).mean())


def toy_results(exact, preference, full=(0.1, 0.2), smallest=(0.2, 0.4)):
    """Results of two tasks and one budget from errors at each of three preferences, the same for two seeds."""
    settings = dataclasses.replace(SMALL, ablations="", budgets="75", seeds=2)
    tasks = tuple(TaskInfo(name, "classification", "accuracy", True) for name in ("digit", "loops"))
    rays = settings.rays(2)

    def run(arm, errors, repeat, **point):
        metrics = {t.name: {"accuracy": 1 - e} for t, e in zip(tasks, errors, strict=True)}
        return Run(arm, repeat, metrics, point, settings={"used": 0.9} if "budget" in point else {})

    measured = []
    for repeat in (0, 1):
        measured += [run(SEPARATE, full, repeat, width=w, heads=w) for w in (0.5, 1.0)]
        measured += [run(EXACT, smallest, repeat, width=0.5, heads=0.5), run(EXACT, full, repeat, width=1.0, heads=1.0)]
        measured += [run(EXACT, smallest, repeat, width=1.0, heads=0.5)]
        for arm, fronts in ((EXACT, exact), (RULE, exact), (EQUAL, [smallest] * 3), (PREFERENCE, preference)):
            measured += [run(arm, e, repeat, **asked(75, ray)) for ray, e in zip(rays, fronts, strict=True)]
    return Results(
        "controllable",
        "Toy",
        "",
        DataInfo("digits"),
        tasks,
        tuple(MethodInfo(arm, arm) for arm in (SEPARATE, EXACT, RULE, EQUAL, PREFERENCE)),
        tuple(measured),
        settings=dataclasses.asdict(settings),
        profiles=(Profile(EXACT, LATENCY, {"asked": (2, 1), "predicted": (2, 1), "got": (2.2, 1)}, 0),),
    )


def test_hypervolume_and_response_by_hand():
    """Losses against the full network's: (2, 1), (1.5, 1.5), (1, 2) as the dial turns; corner (2.2, 2.2)."""
    turned = [(0.2, 0.2), (0.15, 0.3), (0.1, 0.4)]
    concluded = findings(toy_results(turned, [(0.15, 0.3)] * 3))
    by_name = {claim.name: claim for claim in concluded.claims}
    steps = 0.2 * 1.2 + 0.7 * 0.7 + 1.2 * 0.2 - 2 * 0.2 * 0.7  # three boxes, less what two of them share
    assert by_name["against-preference"].value == pytest.approx(100 * (steps / 0.7**2 - 1))
    assert by_name["response"].value == pytest.approx(1.0)
    assert by_name["response"].state == "shown"
    front = next(c for c in concluded.charts if c.title == "At 75 % of the full cost").series[0]
    assert front.x == pytest.approx((1, 1.5, 2)) and front.y == pytest.approx((2, 1.5, 1))
    dial = next(c for c in concluded.charts if c.title == "Each group as the dial turns").series[0]
    assert dial.y == pytest.approx((2.0, 1.5, 1.0))
    times = next(c for c in concluded.charts if c.title == "Latency asked for and got").series[0]
    assert (times.x, times.y) == ((1.0, 2.0), (1.0, 2.2))
    assert any("miss of a predicted time was 10 %" in said for said in concluded.verdict)
    assert any("(full encoder, points): loops +20.0, digit +10.0." in said for said in concluded.verdict)


def test_a_dial_that_does_nothing_has_no_response_and_a_front_outside_the_corner_no_volume():
    concluded = findings(toy_results([(0.2, 0.2)] * 3, [(0.3, 0.5)] * 3))
    by_name = {claim.name: claim for claim in concluded.claims}
    assert (by_name["response"].value, by_name["response"].state) == (0.0, "refuted")
    assert by_name["against-preference"].value is None
    assert "outside the corner" in by_name["against-preference"].reason


def test_gains_are_in_percent_where_metrics_differ_in_kind(results):
    tasks = (results.tasks[0], dataclasses.replace(results.tasks[1], higher_is_better=False))
    other = dataclasses.replace(results, tasks=tasks)
    claim = {claim.name: claim for claim in findings(other).claims}["width-1"]
    table = Table(results.runs).at(width=1.0, heads=1.0)
    digit, loops = (100 * (table(EXACT, task=t) / table(SEPARATE, task=t) - 1) for t in ("digit", "loops"))
    assert claim.unit == "%"
    assert claim.value == pytest.approx(((digit - loops) / 2).mean)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"descent": "up"}, "descent"),
        ({"model": dataclasses.replace(SMALL.model, encoder="cnn")}, "encoder"),
        ({"model": dataclasses.replace(SMALL.model, encoder_options="widths=wide")}, "option widths is 'wide'"),
        ({"groups": "digit/loop"}, "unknown task in --groups 'loop'"),
        ({"fit": SMALL.fit.replace(monitor="digit/error")}, "monitor"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_folder_is_claimed(tmp_path, change, says):
    laws.assert_refused_before_writing(CONTROLLABLE, dataclasses.replace(SMALL, **change), tmp_path, says)


def test_a_metric_that_gives_no_loss_is_refused(tmp_path, monkeypatch):
    data = open_data(SMALL.data)
    decibels = dataclasses.replace(data.tasks[0], unit="dB")
    changed = dataclasses.replace(data, tasks=(decibels, *data.tasks[1:]))
    monkeypatch.setattr("umbel.recipes.build.load_data", lambda name, **options: changed)
    laws.assert_refused_before_writing(CONTROLLABLE, SMALL, tmp_path, "neither a part from 0 to 1 nor an error")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": "0/20"}, "give percentages above 0"),
        ({"budgets": "x"}, "write numbers with / between"),
        ({"strengths": "0/1"}, "give numbers above 0"),
        ({"penalties": "-1"}, "give numbers of 0 or more"),
        ({"divisions": 1}, "give at least 2"),
        ({"ablations": "prefixes"}, "unknown distillation"),
        ({"seeds": 0}, "seeds is 0"),
        ({"tuning_budget": 0.0}, "a part of a training"),
        ({"model": ControllableModelSettings()}, "at least two widths"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(UmbelError, match=message):
        dataclasses.replace(SMALL, **change)


def test_middle_and_groups_and_rays():
    settings = ControllableSettings()
    names = [f"t{i}" for i in range(5)]
    assert settings.middle_percent == 40 and SMALL.middle_percent == 60
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
    assert not hasattr(ModelSettings(), "widths")
