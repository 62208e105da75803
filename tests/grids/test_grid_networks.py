"""Networks become grids that have the very numbers of pandapower, and what cannot become one is refused in a line."""

import ast
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import umbel.grids
from umbel.core import UmbelError
from umbel.grids import (
    Branches,
    Grid,
    GridEquations,
    Magnetising,
    Solver,
    States,
    bus_places,
    cross_check,
    grid_of,
    open_network,
    profiles,
    same_topology,
)
from umbel.grids.extra import from_extra
from umbel.grids.layout import coordinates, drawn
from umbel.grids.networks import run_pandapower

HEAVY = {"pandapower", "lightsim2grid", "simbench", "pandas"}


def solved(net):
    """Complex voltages of pandapower, [rows of net.bus]."""
    run_pandapower(net, init="dc", tolerance_mva=1e-8)
    return net.res_bus.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(net.res_bus.va_degree.to_numpy()))


@pytest.mark.parametrize("name", ["case14", "case118"])
def test_a_case_as_it_is_agrees_with_pandapower(case, grids, name):
    net, grid = case(name), grids(name)
    assert isinstance(grid, Grid) and isinstance(grid.branches, Branches)
    assert grid.name == name and len(grid) == len(net.bus) and len(grid.branches) == len(net.line) + len(net.trafo)
    assert np.abs(solved(net) - grid.base_voltages[bus_places(net, grid)]).max() < 1e-8
    assert np.rad2deg(np.angle(grid.base_voltages[grid.slack])) == pytest.approx(net.ext_grid.va_degree[0])
    assert cross_check(net, grid, rows=3) < 1e-8


def test_flows_and_loading_of_the_small_ring_are_those_of_pandapower(small):
    grid = grid_of(small)
    voltages, places = solved(small), bus_places(small, grid)
    live = places >= 0
    assert len(grid) == 6 and places[small.bus.index.get_loc(7)] == places[small.bus.index.get_loc(8)]
    assert np.abs(voltages[live] - grid.base_voltages[places[live]]).max() < 1e-9
    equations, states = GridEquations(grid), States.of(grid.base_voltages[None])
    state = torch.tensor(states.magnitude), torch.tensor(states.angle)
    p_from = equations.branch_powers(*state).p_from[0]
    loading = equations.loading(*state)[0].numpy()
    b = grid.branches
    assert ("line", 12) not in zip(b.kinds, b.rows, strict=True) and ("line", 7) not in zip(
        b.kinds, b.rows, strict=True
    )
    for place, (kind, row) in enumerate(zip(b.kinds, b.rows, strict=True)):
        theirs = small[f"res_{kind}"].loc[row]
        assert p_from[place] == pytest.approx(theirs["p_hv_mw" if kind == "trafo" else "p_from_mw"], abs=1e-6)
        if kind != "impedance":
            assert loading[place] == pytest.approx(
                theirs["loading_percent"] / 100, rel=0.03 if kind == "trafo" else 1e-6
            )
    assert np.isnan(loading[b.kinds.index("impedance")])
    assert cross_check(small, grid, rows=2) < 1e-8


def test_names_are_there_once(small):
    names = grid_of(small).bus_names
    assert "station" in names and {"twice (20)", "twice (21)"} <= set(names) and len(set(names)) == len(names)


def test_limits_that_stand_for_none_are_none(grids):
    assert np.isnan(grids("case118").branches.limit_ka).all()  # 9900 MVA throughout
    assert np.isfinite(grids("case30").branches.limit_ka).all()


def test_the_sign_of_i0_is_dropped_as_pandapower_does_or_kept(case, grids):
    net, as_it_is = case("case118"), grids("case118")
    signed = grid_of(net, "signed")
    apart = np.abs(np.abs(signed.base_voltages) - np.abs(as_it_is.base_voltages)).max()
    assert 0.013 < apart < 0.0145  # the solvers' disagreement
    net.trafo.i0_percent = net.trafo.i0_percent.abs()
    for meaning in ("pandapower", "signed"):
        assert grid_of(net, meaning).fingerprint == as_it_is.fingerprint
    net.trafo.i0_percent = 0.0
    none = [grid_of(net, meaning) for meaning in get_args(Magnetising)]
    assert none[0].fingerprint == none[1].fingerprint not in (as_it_is.fingerprint, signed.fingerprint)


def test_both_meanings_are_those_of_a_converter_that_is_not_ours(case):
    net = case("case118")
    from umbel.grids.extra import quiet

    for meaning, theirs in (("pandapower", "pandapower_v3"), ("signed", "pandapower_v2")):
        grid = grid_of(net, meaning)
        with quiet():
            model = from_extra("lightsim2grid.network", "tests").init_from_pandapower(net, pp_orig_file=theirs)
        model.ac_pf(grid.base_voltages.copy(), 10, 1e-8)  # its matrix is there only then
        assert abs(model.get_Ybus() - grid.admittance).max() < 1e-10


def no_slack(net):
    net.ext_grid.in_service = False


def two_slacks(net):
    from_extra("pandapower", "tests").create_ext_grid(net, net.load.bus.iloc[0])


def island(net):
    bus = net.load.bus.iloc[-1]
    net.line.loc[(net.line.from_bus == bus) | (net.line.to_bus == bus), "in_service"] = False


def missing_load(net):
    net.load.loc[net.load.index[1], "p_mw"] = np.nan


def too_much_load(net):
    net.load.p_mw *= 1000


def dependent_load(net):
    net.load.loc[net.load.index[0], [c for c in net.load if c.startswith("const_z")]] = 50.0


def two_set_points(net):
    from_extra("pandapower", "tests").create_gen(net, net.gen.bus.iloc[0], 0.1, vm_pu=0.97)


def extended_ward(net):
    from_extra("pandapower", "tests").create_xward(net, net.load.bus.iloc[0], 1.0, 0, 0, 0, 0.01, 0.1, 1.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_slack, "slack"),
        (two_slacks, "2 buses are slacks"),
        (island, r"not connected to the slack \(1: bus 20\)"),
        (missing_load, r"load 1 has no p_mw \(1 of 5\)"),
        (too_much_load, "does not converge"),
        (dependent_load, "depend on voltage"),
        (two_set_points, "different setpoints"),
        (extended_ward, "xward elements are not supported"),
    ],
)
def test_what_cannot_be_a_grid_is_refused(small, change, says):
    change(small)
    with pytest.raises(UmbelError, match=says) as error:
        grid_of(small)
    assert "\n" not in str(error.value)


def test_what_is_no_network_is_refused():
    with pytest.raises(UmbelError, match="give a pandapower network"):
        grid_of({"bus": []})
    with pytest.raises(UmbelError, match="did you mean 'signed'"):
        grid_of(None, "signd")


def line_out(net):
    net.line.loc[5, "in_service"] = False


def tap(net):
    net.trafo.loc[0, "tap_pos"] = -1


def set_point(net):
    net.gen.loc[0, "vm_pu"] = 1.0


def turned(net):
    net.ext_grid.loc[0, "va_degree"] = 0.0


def switched(net):
    net.switch.loc[0, "closed"] = False


def capacitor(net):
    net.shunt.loc[0, "in_service"] = False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (line_out, "line 5 is gone or out of service"),
        (tap, "trafo 0 has other values or taps"),
        (set_point, "set-points"),
        (turned, "slack"),
        (switched, "buses have changed"),
        (capacitor, "shunts"),
    ],
)
def test_a_changed_topology_is_named(small, change, says):
    grid = grid_of(small)
    small.load.p_mw *= 30  # loads may change, whether or not they can be served
    small.line.max_i_ka *= 2
    same_topology(grid, small)
    change(small)
    with pytest.raises(UmbelError, match=says):
        same_topology(grid, small)


def test_a_signed_grid_knows_its_network(case):
    net = case("case118")
    same_topology(grid_of(net, "signed"), net)


def test_another_network_has_other_buses(grids, small):
    with pytest.raises(UmbelError, match="not in this network"):
        bus_places(small, grids("case14"))


def test_a_file_is_opened_and_others_are_refused(small, tmp_path):
    path = tmp_path / "ring.json"
    small["name"] = ""
    path.write_text(from_extra("pandapower", "tests").to_json(small))
    again = open_network(path)
    assert grid_of(again).name == "ring" and grid_of(again).fingerprint == grid_of(small).fingerprint
    for content, says in (("{", "damaged"), ("[1]", "holds no network"), ('{"a": 1}', "holds no network")):
        path.write_text(content)
        with pytest.raises(UmbelError, match=says):
            open_network(str(path))
    with pytest.raises(UmbelError, match="is missing"):
        open_network(str(tmp_path / "none.json"))


@pytest.mark.parametrize("nested", [False, True])
def test_a_file_that_would_run_code_is_not_opened(tmp_path, nested):
    mark = tmp_path / "ran"
    bad = {"_module": "subprocess", "_class": "Popen", "_object": ["touch", str(mark)]}
    inner = json.dumps({"x": json.dumps([bad])}) if nested else bad
    path = tmp_path / "bad.json"
    path.write_text(
        json.dumps({"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": {"bus": inner}})
    )
    with pytest.raises(UmbelError, match="'Popen' of subprocess"):
        open_network(str(path))
    assert not mark.exists()


def test_unknown_names_are_answered_with_the_nearest(opened):
    with pytest.raises(UmbelError, match="did you mean 'case118'"):
        open_network("case_118")
    with pytest.raises(UmbelError, match="did you mean '1-MV-rural--0-sw'"):
        open_network("1-MV-rural-0-sw")
    with pytest.raises(UmbelError, match=r"give one of pandapower\.networks"):
        open_network("?")


def test_without_the_extra_one_line_says_what_to_install(grids, monkeypatch):
    grid = grids("case14")

    def gone(name):
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.import_module", gone)
    for call, package in (
        (lambda: open_network("case14"), "pandapower"),
        (lambda: open_network("1-MV-rural--0-sw"), "pandapower"),
        (lambda: grid_of(None), "pandapower"),
        (lambda: Solver(grid), "lightsim2grid"),
        (profiles._simbench_year.__wrapped__, "simbench"),
    ):
        with pytest.raises(UmbelError, match=rf'needs the package {package}; run: pip install "umbel\[grid\]"'):
            call()


def test_importing_the_package_loads_nothing_heavy():
    for path in Path(umbel.grids.__path__[0]).glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not HEAVY & {name.partition(".")[0] for name in names}, path.name


def test_buses_are_drawn_where_the_network_says_or_apart(case, grids):
    net = case("case30")
    own = grids("case30").layout
    assert tuple(own[0]) == coordinates(net.bus.geo.iloc[0])
    net.bus.geo = None
    grid = grid_of(net)
    assert grid.layout.shape == (30, 2) and np.array_equal(grid.layout, drawn(grid.branches, 30))
    ends = np.linalg.norm(grid.layout[grid.branches.from_bus] - grid.layout[grid.branches.to_bus], axis=1)
    every = np.linalg.norm(grid.layout[:, None] - grid.layout[None], axis=2)
    assert ends.mean() < every.mean() / 2 and every[np.triu_indices(30, 1)].min() > 0.01
    assert [coordinates(cell) for cell in (None, "x", "{}", '{"coordinates": [1, 2]}')] == [
        None,
        None,
        None,
        (1.0, 2.0),
    ]
