"""A surrogate from fit to results in pandapower's own tables, and back from its file."""

import copy
from functools import cache

import numpy as np
import pytest

from umbel.engine import FitSettings
from umbel.errors import UmbelError
from umbel.grids import Solver, drawn_profiles, injections, open_network
from umbel.grids.extra import quiet
from umbel.grids.networks import run_pandapower
from umbel.power_flow import Limits, NetworkRun, PowerFlowSurrogate, SurrogateFacts, SurrogateSettings, analyse

pandapower = pytest.importorskip("pandapower")
FIT = FitSettings(steps=80, batch_size=64, learning_rate=3e-3, precision="float32", monitor="loss", tensorboard=False)
SETTINGS = SurrogateSettings(rows=500, modes=8, width=32, fit=FIT)
TABLES = ("res_bus", "res_line", "res_trafo")


def network():
    return copy.deepcopy(_network())


@cache
def _network():
    """Case 14 with everything that a run reads, and a line and a bus out of service."""
    net = open_network("case14")
    with quiet():
        pandapower.create_sgen(net, 5, 6.0, 2.0, scaling=0.5)
        pandapower.create_storage(net, 9, 3.0, 5.0, q_mvar=1.0)
        pandapower.create_load(net, 10, 500.0, 500.0, in_service=False)
        pandapower.create_ward(net, 11, 2.0, 1.0, 1.5, 0.5)
        pandapower.create_bus(net, 0.208, in_service=False)
    net.load.loc[2, "scaling"] = 0.8
    net.line.loc[3, "in_service"] = False
    return net


@pytest.fixture(scope="module")
def surrogate():
    return PowerFlowSurrogate.fit(network(), drawn_profiles(500, 0.1), SETTINGS)


def moved():
    """The network with other powers."""
    net = network()
    net.load["p_mw"] *= 0.93
    net.load.loc[4, "q_mvar"] += 2
    net.sgen.loc[0, "p_mw"], net.storage.loc[0, "p_mw"] = 8.0, -4.0
    net.gen.loc[0, "p_mw"] += 5
    return net


def greatest_differences(net, other) -> dict[str, float]:
    """Column -> greatest difference, over all tables; columns, rows and gaps must be the same."""
    differences = {}
    for table in TABLES:
        ours, theirs = net[table], other[table]
        assert list(ours.columns) == list(theirs.columns) and ours.index.equals(theirs.index)
        assert (ours.isna() == theirs.isna()).all(None)
        assert (ours.dtypes == theirs.dtypes).all()
        differences |= {f"{table}.{name}": float((ours[name] - theirs[name]).abs().max()) for name in ours}
    return differences


@pytest.mark.parametrize(("limit_mva", "solved"), [(1e-6, False), (0.0, True)])
def test_every_column_is_that_of_pandapower(surrogate, limit_mva, solved):
    net, theirs = moved(), moved()
    run_pandapower(theirs, tolerance_mva=1e-8)
    run = surrogate.run(net, limit_mva)
    assert isinstance(run, NetworkRun) and run.solved is solved and net.converged and run.mismatch_mva <= 1e-6
    assert max(greatest_differences(net, theirs).values()) < 5e-6  # MW, kA, %, degrees, pu
    assert len(net.res_load) == 0  # nothing of an earlier run stays beside these


def test_a_prediction_that_is_accepted_is_as_right_as_it_says(surrogate):
    net, theirs = moved(), moved()
    run_pandapower(theirs)
    run = surrogate.run(net)
    assert not run.solved and 0 < run.mismatch_mva <= surrogate.facts.limit.limit_mva
    differences = greatest_differences(net, theirs)
    assert 0 < differences["res_bus.vm_pu"] < 1e-3
    balanced = net.bus.index.difference(net.ext_grid.bus)  # the slack takes what the others leave
    assert (net.res_bus.p_mw - theirs.res_bus.p_mw)[balanced].abs().max() <= run.mismatch_mva + 1e-6
    assert differences["res_line.loading_percent"] < 5 and differences["res_bus.va_degree"] < 0.1


def test_facts_are_those_of_the_fit(surrogate):
    facts = surrogate.facts
    assert isinstance(facts, SurrogateFacts) and facts.rows == 500 and facts.unsolved == 0
    assert facts.train_seconds > 0 and facts.label_seconds > 0 and facts.limit.limit_mva > 0
    assert facts.test.rows == 100 and facts.test.right >= 0.9 and facts.test.share_solved < 0.2
    assert "independent draws" in facts.note


def test_an_analysis_is_near_that_of_the_solver(surrogate):
    net, limits = network(), Limits(1.0, 1.06)
    injected = injections(net, surrogate.grid, drawn_profiles(300, 0.1, seed=5))
    injected.p_mw[7] *= 30  # has no solution
    ours = surrogate.analyse(injected, limits)
    theirs = analyse(surrogate.grid, Solver(surrogate.grid).solve(injected.p_mw, injected.q_mvar).states, limits)
    assert (ours.rows, ours.unsolved, theirs.unsolved) == (300, 1, 1)
    np.testing.assert_allclose(ours.voltage.mean.value, theirs.voltage.mean.value, atol=1e-4)
    np.testing.assert_allclose(ours.flow_mw.quantiles.value, theirs.flow_mw.quantiles.value, atol=0.5)
    assert "independent" in ours.note and "went to the solver" in ours.note


def test_a_surrogate_comes_back_from_its_file(surrogate, tmp_path):
    loaded = PowerFlowSurrogate.load(surrogate.save(tmp_path / "grid.safetensors"))
    assert loaded.facts == surrogate.facts and loaded.grid.fingerprint == surrogate.grid.fingerprint
    ours, theirs = moved(), moved()
    assert loaded.run(ours) == surrogate.run(theirs)
    assert max(greatest_differences(ours, theirs).values()) == 0


def test_joined_buses_and_open_lines_are_written_as_well():
    net = network()
    with quiet():
        beside = pandapower.create_bus(net, net.bus.vn_kv.loc[4])
        pandapower.create_switch(net, 4, beside, "b")
        pandapower.create_load(net, beside, 5.0, 1.0)
        pandapower.create_switch(net, int(net.line.from_bus.loc[6]), 6, "l", closed=False)
    settings = SurrogateSettings(rows=200, modes=4, width=8, fit=FIT.replace(steps=10))
    surrogate = PowerFlowSurrogate.fit(net, drawn_profiles(200, 0.1), settings)
    net.load["p_mw"] *= 1.04
    theirs = copy.deepcopy(net)
    run_pandapower(theirs, tolerance_mva=1e-8)
    assert surrogate.run(net, 1e-6).mismatch_mva <= 1e-6 and net.converged
    assert max(greatest_differences(net, theirs).values()) < 5e-6


def test_a_surrogate_on_sensitivities_comes_back_too(tmp_path):
    settings = SurrogateSettings(rows=200, linear="sensitivities", modes=4, width=8, fit=FIT.replace(steps=10))
    first = PowerFlowSurrogate.fit(network(), drawn_profiles(200, 0.1), settings)
    second = PowerFlowSurrogate.load(first.save(tmp_path / "grid.safetensors"))
    p, q = (np.tile(x, (3, 1)) * [[0.9], [1.0], [1.1]] for x in (first.grid.base_p_mw, first.grid.base_q_mvar))
    np.testing.assert_array_equal(first.predictor(p, q).voltages, second.predictor(p, q).voltages)


def test_files_that_are_no_surrogates_are_refused(surrogate, tmp_path):
    path = surrogate.save(tmp_path / "grid.safetensors")
    with pytest.raises(UmbelError, match="is missing"):
        PowerFlowSurrogate.load(tmp_path / "other")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UmbelError, match="is no surrogate"):
        PowerFlowSurrogate.load(path)


def _without_a_line(net):
    net.line.loc[5, "in_service"] = False


def _another_ward(net):
    net.ward.loc[0, "ps_mw"] += 1


def _open_line(net):
    with quiet():
        pandapower.create_switch(net, int(net.line.from_bus.loc[6]), 6, "l", closed=False)


def _no_power(net):
    net.load.loc[1, "p_mw"] = np.nan


def _too_much(net):
    net.load["p_mw"] *= 40


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without_a_line, "line 5"),
        (_another_ward, "wards, motors"),
        (_open_line, "line 6 is gone"),
        (_no_power, "load 1 has no p_mw"),
        (_too_much, "does not converge"),
    ],
)
def test_what_cannot_be_run_is_one_line(surrogate, change, says):
    net = moved()
    surrogate.run(net)  # the network is known: a later change must be seen all the same
    change(net)
    with pytest.raises(UmbelError, match=says) as error:
        surrogate.run(net)
    assert "\n" not in str(error.value) and net.converged is False


def test_loads_may_change_without_a_new_look_at_the_network(surrogate, monkeypatch):
    net = moved()
    surrogate.run(net)
    monkeypatch.setattr("umbel.power_flow.surrogate.same_topology", None)
    net.load["p_mw"] *= 1.01
    surrogate.run(copy.deepcopy(net))
    net.trafo.loc[0, "tap_pos"] += 1
    with pytest.raises(TypeError):  # it would have looked
        surrogate.run(net)


@pytest.mark.parametrize(
    ("net", "limit_mva", "says"), [("case14", None, "the network is 'case14'"), (network, "a", "limit_mva is 'a'")]
)
def test_strange_arguments_of_a_run_are_one_line(surrogate, net, limit_mva, says):
    with pytest.raises(UmbelError, match=says):
        surrogate.run(net() if callable(net) else net, limit_mva)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UmbelError, match="rows is 0"):
        SurrogateSettings(rows=0)
