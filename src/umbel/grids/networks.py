"""Networks of pandapower: opened by name or from a file, and turned into a `Grid`."""

import copy
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from umbel.arguments import instance, one_of, text
from umbel.errors import UmbelError, shown, unknown
from umbel.files import reading
from umbel.grids.conversion import to_grid
from umbel.grids.extra import from_extra, quiet
from umbel.grids.grid import Grid, Reals, Whole
from umbel.grids.layout import coordinates, drawn
from umbel.grids.solver import Solver

Magnetising = Literal["pandapower", "signed"]
"""What a negative `i0_percent` of a transformer means: its sign is dropped, as pandapower does, or kept."""

_NOT_SUPPORTED = ("trafo3w", "xward", "tcsc", "svc", "ssc", "vsc", "line_dc", "bus_dc", "source_dc", "b2b_vsc")
_NEEDED = {
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
    "storage": ("p_mw", "q_mvar"),
    "gen": ("p_mw", "vm_pu"),
    "ext_grid": ("vm_pu", "va_degree"),
    "shunt": ("p_mw", "q_mvar"),
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "vkr_percent", "pfe_kw", "i0_percent"),
}
_NETWORK = "a pandapower network, as open_network gives it"
_TRUSTED = ("pandas", "numpy", "networkx", "pandapower.auxiliary", "pandapower.control", "pandapower.timeseries")


def open_network(name_or_file: str | Path) -> Any:
    """A network by the name of a function in `pandapower.networks`, a code of SimBench, or from a file.

    Args:
        name_or_file: As "case118", "1-MV-rural--0-sw" or "my_grid.json" (written by `pandapower.to_json`).

    Raises:
        UmbelError: No such name or file, a file that is no network, or the extra is missing.
    """
    name = text(str(name_or_file) if isinstance(name_or_file, Path) else name_or_file, "the network")
    if name.endswith(".json") or "/" in name:
        return _from_file(Path(name))
    known = _named_networks()
    if name in known:
        with quiet():
            return _with_name(known[name](), name)
    simbench = from_extra("simbench", f"the network {shown(name)}") if name[:2] in ("0-", "1-") else None
    codes = simbench.collect_all_simbench_codes() if simbench else []
    if simbench and name in codes:
        with quiet():
            return _with_name(simbench.get_simbench_net(name), name)
    raise _unknown_network(name, [*known, *codes])


def _unknown_network(name: str, known: list[str]) -> UmbelError:
    error = unknown("network", name, known)
    if "did you mean" in str(error):
        return error
    return UmbelError(
        f"unknown network {shown(name)}; give one of pandapower.networks, as case118, or a file that ends in .json"
    )


def _named_networks() -> dict[str, Callable[[], Any]]:
    """Functions of `pandapower.networks` that make a network without being told anything."""
    module = from_extra("pandapower.networks", "a network")
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__.startswith("pandapower.networks.")
        and not any(
            part.default is part.empty and part.kind not in (part.VAR_KEYWORD, part.VAR_POSITIONAL)
            for part in inspect.signature(value).parameters.values()
        )
    }


def _from_file(path: Path) -> Any:
    remedy = "give a file that pandapower.to_json wrote"
    with reading(path, remedy):
        content = path.read_text(encoding="utf-8")
        held = json.loads(content)
        if not isinstance(held, dict) or "bus" not in (held.get("_object") or held):
            raise UmbelError(f"{path} holds no network; {remedy}")
        _refuse_code(held, path)
    pandapower = from_extra("pandapower", f"the network {path.name}")
    try:
        with quiet():
            net = pandapower.from_json_string(content, convert=True)
    except Exception as error:
        raise UmbelError(f"{path} cannot be read by pandapower ({_line(error)}); {remedy}") from error
    return _with_name(net, path.stem)


def _with_name(net: Any, name: str) -> Any:
    net["name"] = net.get("name") or name
    return net


def _refuse_code(value: Any, path: Path) -> None:
    """Refuse files that name functions or classes other than a network's: pandapower would import and call them."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(value)  # tables and objects are JSON in texts
        except ValueError:
            return  # a text that only begins like JSON
    if isinstance(value, dict):
        module = str(value.get("_module", "pandas"))
        trusted = any(module == known or module.startswith(f"{known}.") for known in _TRUSTED)
        if not trusted or value.get("_class") in ("function", "method"):
            raise UmbelError(
                f"{path} holds {shown(value.get('_class'))} of {module}, which is no part of a network; not opened"
            )
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            _refuse_code(part, path)


def grid_of(net: Any, magnetising: Magnetising = "pandapower") -> Grid:
    """A network as a `Grid`, with its solved base case; the network is left as it is.

    It may hold lines, transformers with two windings, impedances, shunts, wards, and whatever injects power. Buses
    that closed switches join are one bus of the grid, a line that is open at one end is a shunt. Controllers are not
    run, limits of reactive power are not enforced.

    Args:
        net: A pandapower network.
        magnetising: "pandapower" drops the sign of a negative `i0_percent`, as pandapower's `runpp` does; "signed"
            keeps it, as lightsim2grid's converter does by default. They differ by up to 0.02 per unit on case300.

    Raises:
        UmbelError: No or several slacks, islands, values that are missing, elements or loads that are not supported, or
            a base case that does not converge.
    """
    one_of(magnetising, "magnetising", ("pandapower", "signed"))
    grid = _unsolved(net, magnetising)
    return replace(grid, base_voltages=_base_voltages(net, grid, magnetising), layout=_layout(net, grid))


def same_topology(grid: Grid, net: Any) -> None:
    """Refuse a network that is no longer the one a grid was made from: buses, branches, taps, set-points, status.

    Loads, generation and limits may have changed.

    Raises:
        UmbelError: Says what has changed.
    """
    instance(grid, Grid, "the grid", "one that grid_of made")
    now = _unsolved(net, "pandapower")
    if now.fingerprint != grid.fingerprint and (net.trafo.i0_percent < 0).any():
        signed = _unsolved(net, "signed")
        now = signed if signed.fingerprint == grid.fingerprint else now
    if now.fingerprint != grid.fingerprint:
        raise UmbelError(f"{grid.name}: {_difference(grid, now)} since training; train again for this network")


def bus_places(net: Any, grid: Grid) -> Whole:
    """The place in the grid of each row of `net.bus`, those that closed switches join included; -1 out of service."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - of no use but here
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    instance(grid, Grid, "the grid", "one that grid_of made")
    instance(net, _network_class(), "the network", _NETWORK)
    index, n = net.bus.index, len(net.bus)
    switches = net.switch[(net.switch.et == "b") & net.switch.closed.astype(bool)]
    ends = index.get_indexer(switches.bus), index.get_indexer(switches.element)
    live = net.bus.in_service.to_numpy(bool)
    both = live[ends[0]] & live[ends[1]]
    links = coo_array((np.ones(both.sum()), (ends[0][both], ends[1][both])), shape=(n, n))
    _, part = connected_components(links, directed=False)
    place_of = np.full(part.max(initial=-1) + 1, -1, np.int64)
    rows = index.get_indexer(grid.bus_rows)
    if (rows < 0).any():
        raise UmbelError(
            f"{grid.name}: {(rows < 0).sum()} of its buses are not in this network; give the one it was made from"
        )
    place_of[part[rows]] = np.arange(len(grid))
    return np.where(live, place_of[part], -1)


def _unsolved(net: Any, magnetising: Magnetising) -> Grid:
    """The grid of a network with the voltages from which pandapower would start."""
    pandapower = from_extra("pandapower", "a grid")
    name = checked(net)
    work = copy.deepcopy(net)
    try:
        run_pandapower(work, init="flat", max_iteration=0)
    except pandapower.LoadflowNotConverged:
        pass  # as asked: this fills the tables that are read next
    except Exception as error:
        raise UmbelError(f"{name}: pandapower cannot read the network ({_line(error)}); mend it") from error
    return to_grid(work, name, magnetising == "signed")


def run_pandapower(net: Any, **options: Any) -> None:
    """Run pandapower's `runpp` with the model that a `Grid` has, results in the network itself."""
    pandapower = from_extra("pandapower", "a grid")
    with quiet():
        pandapower.runpp(
            net, algorithm="nr", calculate_voltage_angles=True, trafo_model="t", enforce_q_lims=False, numba=False,
            check_connectivity=True, voltage_depend_loads=False, lightsim2grid=False, run_control=False, **options,
        )  # fmt: skip


def _base_voltages(net: Any, grid: Grid, magnetising: Magnetising) -> Any:
    pandapower = from_extra("pandapower", "a grid")
    for start in ("dc", "flat"):
        work = copy.deepcopy(net)
        try:
            run_pandapower(work, init=start, tolerance_mva=1e-8, max_iteration=30)
        except pandapower.LoadflowNotConverged:
            continue
        except Exception as error:
            raise UmbelError(f"{grid.name}: pandapower cannot solve the network ({_line(error)}); mend it") from error
        solved = to_grid(work, grid.name, False)
        return solved.base_voltages if magnetising == "pandapower" else _corrected(grid, solved)
    raise UmbelError(
        f"{grid.name}: the power flow does not converge; check its loads, or run pandapower.diagnostic(net)"
    )


def _corrected(grid: Grid, near: Grid) -> Any:
    solved = Solver(replace(grid, base_voltages=near.base_voltages)).solve(grid.base_p_mw[None], grid.base_q_mvar[None])
    if not solved.converged[0]:
        raise UmbelError(f"{grid.name}: the base case does not converge with signed magnetising; use 'pandapower'")
    return solved.voltages[0]


def _network_class() -> type:
    return from_extra("pandapower", "a grid").pandapowerNet


def checked(net: Any) -> str:
    """The network's name, if nothing of it is missing or not supported.

    Raises:
        UmbelError: Something is.
    """
    instance(net, _network_class(), "the network", _NETWORK)
    name = str(net.get("name") or f"network of {len(net.bus)} buses")
    if not len(net.bus):
        raise UmbelError(f"{name}: the network has no buses; give one that is not empty")
    for table in _NOT_SUPPORTED:
        if table in net and len(net[table]) and net[table].get("in_service", net[table].index >= 0).any():
            raise UmbelError(
                f"{name}: its {table} elements are not supported; replace them, or take them out of service"
            )
    for table, columns in _NEEDED.items():
        rows = net[table][net[table].in_service.astype(bool)]
        for column in [c for c in columns if c in rows]:
            missing = rows.index[~np.isfinite(rows[column].to_numpy(float))]
            if len(missing):
                raise UmbelError(
                    f"{name}: {table} {missing[0]} has no {column} ({len(missing)} of {len(rows)}); fill it in"
                )
    varying = [column for column in net.load if column.startswith("const_")]
    if (net.load.loc[net.load.in_service.astype(bool), varying].fillna(0) != 0).to_numpy().any():
        raise UmbelError(f"{name}: loads that depend on voltage are not supported; set their const_... columns to 0")
    return name


def _layout(net: Any, grid: Grid) -> Reals:
    cells = net.bus.geo.loc[grid.bus_rows] if "geo" in net.bus else [None] * len(grid)
    places = [coordinates(cell) for cell in cells]
    known = [place for place in places if place is not None]
    if len(known) == len(places) and len(set(known)) > 1:
        return np.array(known)
    return drawn(grid.branches, len(grid))


def _difference(old: Grid, new: Grid) -> str:
    """What is another in the new grid, in words."""
    if not np.array_equal(old.bus_rows, new.bus_rows):
        return f"its buses have changed ({len(old)} then, {len(new)} now)"
    ids = [list(zip(grid.branches.kinds, grid.branches.rows.tolist(), strict=True)) for grid in (old, new)]
    for these, those, word in ((*ids, "gone or out of service"), (*ids[::-1], "new")):
        other = [one for one in these if one not in set(those)]
        if other:
            return f"{' '.join(map(str, other[0]))} is {word} ({len(other)} branches)"
    b, now = old.branches, new.branches
    ports = [np.stack([x.ff, x.ft, x.tf, x.tt]) for x in (b, now)]
    ends = (b.from_bus != now.from_bus) | (b.to_bus != now.to_bus)
    moved = np.flatnonzero(ends | (np.abs(ports[0] - ports[1]) > 1e-9 * (1 + np.abs(ports[0]))).any(0))
    if len(moved):
        return f"{b.kinds[moved[0]]} {b.rows[moved[0]]} has other values or taps ({len(moved)} branches)"
    if not np.allclose(old.shunts, new.shunts, rtol=1e-9, atol=1e-9):
        return "its shunts have changed"
    return "its slack, its generators or their set-points have changed"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
