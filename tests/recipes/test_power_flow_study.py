"""The power flow study on 14 buses and a few steps: what is measured, resuming, and input that cannot work."""

import dataclasses
import importlib.util
import math

import pytest
import study_laws as laws

from umbel.core import UmbelError
from umbel.engine import FitSettings
from umbel.recipes import RECIPES
from umbel.recipes.power_flow import POWER_FLOW, QUICK, PowerFlowSettings
from umbel.recipes.power_flow.pictures import PICTURES

pandapower = pytest.importorskip("pandapower", reason="the extra `grid` is not installed")
FIT = FitSettings(
    steps=6, batch_size=64, precision="float32", validate_every=3, log_every=2, monitor="loss", tensorboard=False
)
ARMS = ("ours", "without-difference", "ridge", "mean")


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """14 buses, saved as a user saves them, with a load and a name of their own."""
    net = pandapower.networks.case14()
    net.name, net.load.loc[0, "p_mw"] = "our <town>", 25.0
    pandapower.to_json(net, str(file := tmp_path_factory.mktemp("net") / "town.json"))
    return file


@pytest.fixture(scope="module")
def small(net):
    return dataclasses.replace(
        QUICK, net=str(net), rows=300, arms=",".join(ARMS), modes=3, width=8, depth=1, outages=1, stressed=20, seeds=1,
        fit=FIT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return laws.run(POWER_FLOW, small, tmp_path_factory.mktemp("study") / "out")


def test_every_arm_is_measured_after_every_correction(finished):
    results, out = finished
    measured = {(run.method, run.point["corrections"]) for run in results.runs if "scenario" not in run.point}
    assert measured == {(arm, k) for arm in ARMS for k in range(5 if arm == "mean" else 3)}
    assert {(p.method, p.point["corrections"]) for p in results.profiles if p.name == "days"} == measured
    for run in results.runs:
        assert all(math.isfinite(value) for metrics in run.metrics.values() for value in metrics.values())
    for arm in ARMS:
        errors = [
            run.metrics["magnitude"]["RMSE"] for run in results.runs if run.method == arm and len(run.metrics) > 1
        ]
        assert errors == sorted(errors, reverse=True), "a chord step has made it worse"
    assert all((out / file).exists() for file, *_ in PICTURES)


def test_the_guard_is_tried_on_three_kinds_of_days(finished):
    guarded = {run.point["scenario"]: run.metrics["guard"] for run in finished[0].runs if "scenario" in run.point}
    assert list(guarded) == ["usual", "load +20 %", "outage"]
    assert guarded["usual"]["solved"] < guarded["outage"]["solved"]
    shown = [run.point for run in finished[0].runs if finished[0].in_headline(run.point)]
    assert shown and all("scenario" not in point for point in shown), "rows without numbers in the main table"


def test_it_obeys_the_laws_of_studies(small, finished, tmp_path, monkeypatch):
    laws.assert_nothing_is_done_twice(POWER_FLOW, small, finished)
    laws.assert_follows_from_its_runs(POWER_FLOW, finished[0])
    laws.assert_goes_on_after_a_kill(POWER_FLOW, small, finished, tmp_path, "without-difference, repeat 0", 4)


def test_another_network_in_the_same_file_is_not_gone_on_with(small, finished, net):
    content = net.read_text()
    table = pandapower.from_json(str(net))
    table.load.loc[0, "p_mw"] = 40.0
    pandapower.to_json(table, str(net))
    try:
        with pytest.raises(UmbelError, match="begun with other data"):
            laws.run(POWER_FLOW, small, finished[1], resume=True)
    finally:
        net.write_text(content)


def without_varying(net):
    for bus in set(net.bus.index) - set(net.gen.bus) - set(net.ext_grid.bus):
        pandapower.create_gen(net, bus, 0.0)


def without_buses(net):
    for name in ("bus", "load", "gen", "ext_grid", "line", "trafo", "shunt"):
        net[name].drop(net[name].index, inplace=True)


@pytest.mark.parametrize(
    ("spoil", "says"), [(without_varying, "no .V. varies, generators hold every bus"), (without_buses, "no buses")]
)
def test_networks_that_leave_nothing_to_learn(small, net, spoil, says, tmp_path):
    spoiled = pandapower.from_json(str(net))
    spoil(spoiled)
    pandapower.to_json(spoiled, str(file := tmp_path / "spoiled.json"))
    settings = dataclasses.replace(small, net=str(file))
    laws.assert_refused_before_writing(POWER_FLOW, settings, tmp_path, says)


def test_what_cannot_work_is_said_before_anything_is_written(small, tmp_path):
    for wrong, says in (
        ({"rows": 40_000}, "40,000 rows of scenarios, but the profiles have 35,136"),
        ({"descent": "nothing"}, "unknown descent 'nothing'"),
        ({"net": "case3000"}, "did you mean 'case300'"),
        ({"net": str(tmp_path)}, "Is a directory"),
    ):
        settings = dataclasses.replace(small, **wrong)
        laws.assert_refused_before_writing(POWER_FLOW, settings, tmp_path, says)


@pytest.mark.parametrize("package", ["pandapower", "power_grid_model"])
def test_a_missing_package_is_said_at_once(small, package, tmp_path, monkeypatch):
    real = importlib.import_module

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *rest)

    monkeypatch.setattr("importlib.import_module", without)
    settings = dataclasses.replace(small, net="case14", time=True)
    laws.assert_refused_before_writing(POWER_FLOW, settings, tmp_path, rf'{package}; run: pip install "umbel\[grid\]"')


def test_settings_that_make_no_study():
    for wrong, says in (
        ({"rows": 50}, "rows is 50; give at least 100"),
        ({"corrections": 0}, "corrections is 0; give at least 1"),
        ({"bar": 0.0}, "bar is 0; give a number above 0"),
        ({"loading": 0.0}, "loading is 0; give a number above 0"),
        ({"arms": "ours,ridge"}, "every claim compares with mean; add it"),
        ({"arms": "ours,ridge,mean,quadr"}, "did you mean 'quadratic'"),
        ({"term": "0"}, "0 is not above 0"),
        ({"term": "much"}, "'much' is not a finite number"),
        ({"low": 1.1}, "give low below high"),
    ):
        with pytest.raises(UmbelError, match=says):
            PowerFlowSettings(**wrong)
    assert RECIPES["power_flow"] is POWER_FLOW and QUICK.weights == [1.0]
