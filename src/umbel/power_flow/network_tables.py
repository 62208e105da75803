"""A pandapower network's tables: what its elements inject, and results written as `runpp` writes them."""

import hashlib
from contextlib import suppress
from typing import Any

import numpy as np
import pandas
import torch

from umbel.errors import UmbelError
from umbel.grids import Flows, Grid, GridEquations, States
from umbel.grids.extra import from_extra
from umbel.grids.grid import Reals, Whole
from umbel.grids.networks import run_pandapower

_MOVING = ("load", "sgen", "storage")  # what is read anew in each run, besides the power of generators
_POWERS = ("p_mw", "q_mvar", "scaling")
_NAMING = ("name", "geo", "coords", "std_type")  # columns that change no power flow
_ROUNDING_MVA = 1e-8
_SIGN = {"load": -1.0, "sgen": 1.0, "storage": -1.0}
_ENDS = {"line": ("from", "to"), "trafo": ("hv", "lv")}


def is_one_to_one(net: Any, grid: Grid, places: Whole) -> bool:
    """Whether every bus in service is a bus of the grid by itself, and every branch in service one of its branches.

    Not so where closed switches join buses, or a line is open at an end.

    Args:
        net: The network.
        grid: Made from it.
        places: Of `bus_places`.
    """
    kinds = np.array(grid.branches.kinds)
    live = {table: net[table].index[net[table].in_service.astype(bool)] for table in _ENDS}
    absent = [len(np.setdiff1d(rows, grid.branches.rows[kinds == table])) for table, rows in live.items()]
    return bool((places >= 0).sum() == len(grid) and sum(absent) == 0)


def element_injections(net: Any, grid: Grid, places: Whole) -> tuple[Reals, Reals]:
    """What loads, generators and storages inject at every bus, as the tables say now: MW and MVAr, each [n].

    Args:
        net: The network.
        grid: Of n buses.
        places: Of `bus_places`.

    Raises:
        UmbelError: A power that is not a number.
    """
    p, q = np.zeros(len(grid)), np.zeros(len(grid))
    for table in (*_MOVING, "gen"):
        elements = net[table]
        at = places[net.bus.index.get_indexer(elements.bus)]
        live = elements.in_service.to_numpy(bool) & (at >= 0)
        scaling = elements.scaling.fillna(1.0).to_numpy(float) if "scaling" in elements else np.ones(len(elements))
        for total, column in ((p, "p_mw"), (q, "q_mvar")):
            if column not in elements:
                continue
            values = (_SIGN.get(table, 1.0) * elements[column].to_numpy(float) * scaling)[live]
            if not np.isfinite(values).all():
                row = elements.index[live][~np.isfinite(values)][0]
                raise UmbelError(f"{grid.name}: {table} {row} has no {column}; fill it in")
            np.add.at(total, at[live], values)
    p[grid.slack] = 0
    q[np.append(grid.pv, grid.slack)] = 0
    return p, q


def structure_of(net: Any) -> str:
    """A checksum of all tables but those that are read anew in each run, and results: a changed one is worth a look."""
    digest = hashlib.sha256(f"{net.sn_mva} {net.f_hz}".encode())
    for name in sorted(net):
        table = net[name]
        if name.startswith(("res_", "_")) or name in _MOVING or not isinstance(table, pandas.DataFrame) or table.empty:
            continue
        digest.update(name.encode() + table.index.to_numpy().tobytes())
        for column in table:
            if column in _NAMING or (name == "gen" and column in _POWERS):
                continue
            values = table[column].to_numpy()
            digest.update(column.encode())
            digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()[:16]


def constant_powers(net: Any) -> str:
    """A checksum of the elements that inject power and are not read anew: wards, motors, unbalanced loads, ..."""
    tables = ("ward", "xward", "motor", "asymmetric_load", "asymmetric_sgen", "dcline")
    text = "".join(f"{name}{net[name].to_json()}" for name in tables if name in net and len(net[name]))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_results(
    net: Any, equations: GridEquations, grid: Grid, places: Whole, states: States, mismatch_mva: float
) -> None:
    """Write one state into `res_bus`, `res_line` and `res_trafo`, with pandapower's columns and units.

    Other tables of results are emptied, so that nothing of an earlier run stays beside these. Where buses are joined by
    switches or lines are open at an end, pandapower itself writes all tables: its `runpp` starts from the state and
    accepts what balances as well as this does.

    Args:
        net: The network.
        equations: Of its grid.
        grid: Of n buses.
        places: Of `bus_places`.
        states: One row.
        mismatch_mva: Of this state.
    """
    if not is_one_to_one(net, grid, places):
        _written_by_pandapower(net, grid, places, states, 1.001 * mismatch_mva + _ROUNDING_MVA)
        return
    for name in [n for n in net if n.startswith("res_") and isinstance(net[n], pandas.DataFrame)]:
        net[name] = net[name].iloc[:0]
    at = torch.from_numpy(states.magnitude), torch.from_numpy(states.angle)
    flows = equations.branch_powers(*at)
    net["res_bus"] = _bus_table(net, grid, places, states, flows)
    for table in _ENDS:
        if len(net[table]):
            net[f"res_{table}"] = _branch_table(net, grid, places, states, flows, table)


def _written_by_pandapower(net: Any, grid: Grid, places: Whole, states: States, tolerance_mva: float) -> None:
    magnitude = np.where(places >= 0, states.magnitude[0][places], 1.0)
    angle = np.where(places >= 0, np.rad2deg(states.angle[0])[places], 0.0)
    failed = from_extra("pandapower", "a run").LoadflowNotConverged
    for start in ({"init_vm_pu": magnitude, "init_va_degree": angle}, {"init": "dc"}):
        with suppress(failed):
            run_pandapower(net, **start, tolerance_mva=tolerance_mva, max_iteration=30)
            return
    raise UmbelError(f"{grid.name}: pandapower cannot solve it with these loads, not even from this state; lower them")


def _bus_table(net: Any, grid: Grid, places: Whole, states: States, flows: Flows) -> Any:
    """|V|, angle, and what is drawn from the network at each bus; NaN out of service."""
    b, drawn = grid.branches, np.zeros((2, len(grid)))
    for total, from_end, to_end in zip(drawn, (flows.p_from, flows.q_from), (flows.p_to, flows.q_to), strict=True):
        np.subtract.at(total, b.from_bus, from_end[0].numpy())
        np.subtract.at(total, b.to_bus, to_end[0].numpy())
    live = places >= 0
    columns = (states.magnitude[0], np.rad2deg(states.angle[0]), *drawn)
    values = np.full((4, len(places)), np.nan)
    for row, column in zip(values, columns, strict=True):
        row[live] = column[places[live]]
    return pandas.DataFrame(
        dict(zip(("vm_pu", "va_degree", "p_mw", "q_mvar"), values, strict=True)), index=net.bus.index
    )


def _branch_table(net: Any, grid: Grid, places: Whole, states: States, flows: Flows, table: str) -> Any:
    """Powers, currents and voltages at both ends, losses and loading; no flow out of service."""
    elements, b = net[table], grid.branches
    ends = _ENDS[table]
    mine = np.flatnonzero(np.array(b.kinds) == table)
    rows = elements.index.get_indexer(b.rows[mine])
    powers = np.zeros((4, len(elements)))
    for row, flow in zip(powers, flows, strict=True):
        row[rows] = flow[0].numpy()[mine]
    p, q = powers[::2], powers[1::2]  # each [two ends, elements]
    buses = np.stack([net.bus.index.get_indexer(elements[f"{end}_bus"]) for end in ends])
    at, kv = places[buses], net.bus.vn_kv.to_numpy(float)[buses]
    magnitude = np.where(at >= 0, states.magnitude[0][at], np.nan)
    angle = np.where(at >= 0, np.rad2deg(states.angle[0][at]), np.nan)
    current = np.nan_to_num(np.hypot(p, q) / (np.sqrt(3) * magnitude * kv))
    result: dict[str, Reals] = {}
    for place, end in enumerate(ends):
        result |= {f"p_{end}_mw": p[place], f"q_{end}_mvar": q[place]}
    result |= {"pl_mw": p.sum(0), "ql_mvar": q.sum(0)}
    result |= {f"i_{end}_ka": current[place] for place, end in enumerate(ends)}
    if table == "line":
        result["i_ka"] = current.max(0)
    for place, end in enumerate(ends):
        result |= {f"vm_{end}_pu": magnitude[place], f"va_{end}_degree": angle[place]}
    return pandas.DataFrame({**result, "loading_percent": _loading(elements, current, table)}, index=elements.index)


def _loading(elements: Any, current: Reals, table: str) -> Reals:
    """Of lines over their greatest current; of transformers over their rated power, at the greater of both ends."""
    several = elements.df.to_numpy(float) * elements.parallel.to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if table == "line":
            most = elements.max_i_ka.to_numpy(float) * several
            return np.where(most != 0, 100 * current.max(0) / most, np.inf)
        rated = np.stack([elements.vn_hv_kv.to_numpy(float), elements.vn_lv_kv.to_numpy(float)])
        return 100 * (current * rated).max(0) * np.sqrt(3) / elements.sn_mva.to_numpy(float) / several
