"""From a pandapower network to a `Grid`: pandapower's own admittances, read from what its `runpp` works with.

So whatever pandapower knows of taps, parallel elements, switches and transformer models is as it has it. Buses that
closed switches join are one; a line that is open at one end is the shunt that it is.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from umbel.arguments import plain_name
from umbel.errors import UmbelError
from umbel.grids.extra import from_extra
from umbel.grids.grid import Branches, Complexes, Grid, Reals, Whole

KINDS = ("line", "trafo", "impedance")
"""Tables of pandapower whose rows can be branches of a `Grid`."""
_UNLIMITED_MVA = 9900.0  # what pandapower's converter writes for MATPOWER's "no limit"
_UNLIMITED_KA = 9999.0  # likewise; 99999 in the PEGASE cases


def to_grid(net: Any, name: str, signed: bool) -> Grid:
    """A grid from a network on which `runpp` has just been called, whether it converged or not.

    Base voltages are those of `runpp`: the solution, or where it began.

    Args:
        net: With pandapower's internal arrays in it (`_ppc`).
        name: Of the grid.
        signed: Keep the sign of `i0_percent`, which pandapower drops.

    Raises:
        UmbelError: Buses or elements that a `Grid` cannot have.
    """
    inside = net._ppc["internal"]
    count = len(inside["bus"])
    rows = np.array(net.bus.index[net.bus.in_service.to_numpy(bool)], np.int64)
    places = np.asarray(net._pd2ppc_lookups["bus"], np.int64)[rows]
    _refuse_islands(name, rows[(places < 0) | (places >= count)])
    first = np.full(count, -1, np.int64)
    first[places[::-1]] = rows[::-1]  # the first bus of those that are one
    branches, shunts = _branches(net, inside, signed)
    branches, shunts = _without_stubs(branches, shunts, first < 0)
    kept = np.flatnonzero(first >= 0)
    new = np.full(count, -1, np.int64)
    new[kept] = np.arange(len(kept))
    branches = replace(branches, from_bus=new[branches.from_bus], to_bus=new[branches.to_bus])
    slack = new[_slack(inside, name)]
    pv, pq = new[np.asarray(inside["pv"], np.int64)], new[np.asarray(inside["pq"], np.int64)]
    pq = pq[pq >= 0]
    base = float(inside["baseMVA"])
    power = np.array(inside["Sbus"], complex)[kept] * base
    power[slack] = 0
    power.imag[pv] = 0
    kv = net.bus.vn_kv.to_numpy(float)[net.bus.index.get_indexer(first[kept])]
    return Grid(
        name, base, _names(net, "bus", first[kept]), first[kept], kv, shunts[kept], branches, int(slack), pv, pq,
        np.array(inside["V"], complex)[kept], power.real.copy(), power.imag.copy(), np.zeros((len(kept), 2)),
    )  # fmt: skip


def _refuse_islands(name: str, alone: Whole) -> None:
    if len(alone):
        names = ", ".join(f"bus {row}" for row in alone[:3]) + (", ..." if len(alone) > 3 else "")
        raise UmbelError(
            f"{name}: buses in service are not connected to the slack ({len(alone)}: {names}); give each island a "
            "network of its own, or take its buses out of service"
        )


def _slack(inside: Any, name: str) -> int:
    slacks = np.unique(np.asarray(inside["ref"], np.int64))
    if len(slacks) != 1:
        raise UmbelError(f"{name}: {len(slacks)} buses are slacks; leave one ext_grid, and make the others generators")
    return int(slacks[0])


def _branches(net: Any, inside: Any, signed: bool) -> tuple[Branches, Complexes]:
    """All branches and shunts of pandapower's internal arrays, in its order of buses."""
    columns = from_extra("pandapower.pypower.idx_brch", "a grid")
    shunt = from_extra("pandapower.pypower.idx_bus", "a grid")
    vectors = from_extra("pandapower.pypower.makeYbus", "a grid").branch_vectors
    table = inside["branch"]
    tt, ff, ft, tf = (np.array(part, complex) for part in vectors(table, len(table)))
    kinds, rows = _origins(net, np.asarray(inside["branch_is"], bool))
    if signed:
        ff, ft, tf, tt = _signed(net, table, kinds, rows, (ff, ft, tf, tt))
    start, end = (np.real(table[:, column]).astype(np.int64) for column in (columns.F_BUS, columns.T_BUS))
    names: list[str] = [""] * len(rows)
    for kind in set(kinds):
        here = np.flatnonzero(np.array(kinds, object) == kind)
        for place, text in zip(here, _names(net, kind, rows[here]), strict=True):
            names[place] = text
    bus = inside["bus"]
    shunts = (bus[:, shunt.GS] + 1j * bus[:, shunt.BS]) / float(inside["baseMVA"])
    limits = _limits_ka(net, kinds, rows)
    return Branches(start, end, ff, ft, tf, tt, limits, kinds, rows, tuple(names)), shunts


def _origins(net: Any, in_service: NDArray[np.bool_]) -> tuple[tuple[str, ...], Whole]:
    """The table and the index of each branch that is in service."""
    kinds, rows = np.full(len(in_service), "", object), np.zeros(len(in_service), np.int64)
    for kind, (start, end) in net._pd2ppc_lookups["branch"].items():
        kinds[start:end] = kind
        if kind in KINDS:
            rows[start:end] = net[kind].index.to_numpy(np.int64)
    strange = sorted({str(kind) for kind in kinds[in_service]} - set(KINDS))
    if strange:
        raise UmbelError(
            f"branches of the kind {strange[0]!r} are not supported; give a network of lines and transformers"
        )
    return tuple(str(kind) for kind in kinds[in_service]), rows[in_service]


def _limits_ka(net: Any, kinds: tuple[str, ...], rows: Whole) -> Reals:
    """What each branch may carry at its from side (hv of a transformer); NaN where none is given."""
    limits = np.full(len(rows), np.nan)
    for table in ("line", "trafo"):
        here = np.flatnonzero(np.array(kinds, object) == table)
        part = net[table].loc[rows[here]]
        if table == "line":
            kv, limit = net.bus.vn_kv.loc[part.from_bus].to_numpy(float), part.max_i_ka.to_numpy(float)
        else:
            kv = part.vn_hv_kv.to_numpy(float)
            limit = part.sn_mva.to_numpy(float) / (np.sqrt(3) * kv)
        known = (limit > 0) & (limit < _UNLIMITED_KA) & (np.sqrt(3) * kv * limit < _UNLIMITED_MVA * (1 - 1e-6))
        limits[here] = np.where(known, limit * part["df"].to_numpy(float) * part.parallel.to_numpy(float), np.nan)
    return limits


def _signed(net: Any, table: Any, kinds: tuple[str, ...], rows: Whole, ports: tuple[Complexes, ...]) -> Any:
    """Two-ports in which transformers with a negative `i0_percent` have it: capacitive instead of inductive.

    Between its taps a transformer is a star of two leakages and one magnetising admittance, which pandapower makes a
    triangle. Here the triangle becomes the star again, the sign is turned, and the way is gone back.
    """
    columns = from_extra("pandapower.pypower.idx_brch", "a grid")
    i0 = np.zeros(len(rows))
    here = np.flatnonzero(np.array(kinds, object) == "trafo")
    i0[here] = net.trafo.i0_percent.loc[rows[here]].to_numpy(float)
    turned = np.flatnonzero(i0 < 0)
    ff, ft, tf, tt = (part.copy() for part in ports)
    tap = np.real(table[turned, columns.TAP])
    tap = np.where(tap == 0, 1, tap) * np.exp(1j * np.deg2rad(np.real(table[turned, columns.SHIFT])))
    series = -ft[turned] * tap.conj()
    first, last = ff[turned] * abs(tap) ** 2 - series, tt[turned] - series
    whole = first + last + first * last / series  # the magnetising admittance, seen with the far end open
    keep = whole != 0
    turned, tap, series, first, last, whole = (x[keep] for x in (turned, tap, series, first, last, whole))
    near, far = last / (series * whole), first / (series * whole)  # impedances of the star
    magnetising = whole.conj()
    denominator = near + far + near * far * magnetising
    ab, a, b = 1 / denominator, far * magnetising / denominator, near * magnetising / denominator
    ff[turned], tt[turned] = (ab + a) / abs(tap) ** 2, ab + b
    ft[turned], tf[turned] = -ab / tap.conj(), -ab / tap
    return ff, ft, tf, tt


def _without_stubs(branches: Branches, shunts: Complexes, extra: NDArray[np.bool_]) -> tuple[Branches, Complexes]:
    """Lines that are open at one end become shunts: pandapower gives each open end a bus of its own (`extra`)."""
    at_from, at_to = extra[branches.from_bus], extra[branches.to_bus]
    b, shunts = branches, shunts.copy()
    np.add.at(shunts, b.from_bus[at_to], (b.ff - b.ft * b.tf / b.tt)[at_to])
    np.add.at(shunts, b.to_bus[at_from], (b.tt - b.ft * b.tf / b.ff)[at_from])
    return chosen(branches, np.flatnonzero(~(at_from | at_to))), shunts


def chosen(branches: Branches, which: Whole) -> Branches:
    """Some of the branches, by their places."""
    parts = {
        name: getattr(branches, name)[which]
        for name in ("from_bus", "to_bus", "ff", "ft", "tf", "tt", "limit_ka", "rows")
    }
    names = tuple(branches.names[place] for place in which)
    return Branches(**parts, kinds=tuple(branches.kinds[place] for place in which), names=names)


def _names(net: Any, table: str, rows: Whole) -> tuple[str, ...]:
    """Names of rows, each once: the table's own, with the index behind those that several rows have."""
    given = net[table]["name"].loc[rows] if "name" in net[table] else None
    texts = [""] * len(rows) if given is None else np.where(given.isna(), "", given.astype(object))
    names = [str(name) or f"{table} {row}" for name, row in zip(texts, rows, strict=True)]
    times = Counter(names)
    shown = [name if times[name] == 1 else f"{name} ({row})" for name, row in zip(names, rows, strict=True)]
    return tuple(plain_name(name, f"the name of {table} {row}") for name, row in zip(shown, rows, strict=True))
