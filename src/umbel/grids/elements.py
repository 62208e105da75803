"""Loads and generators of a network as arrays, and what they do in many scenarios."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from umbel.errors import UmbelError
from umbel.grids.grid import Grid, Reals, Whole
from umbel.grids.networks import bus_places, checked


@dataclass(frozen=True, eq=False)
class Elements:
    """What of a network varies with time. Everything else stays as in the base case.

    Attributes:
        load_rows: [loads], indices in `net.load`, of those in service.
        load_places: [loads], places of their buses in the grid.
        load_p_mw: [loads], in the base case.
        load_q_mvar: Likewise.
        sgen_rows: [sgens], indices in `net.sgen`, of those in service.
        sgen_places: Likewise.
        sgen_p_mw: Likewise.
        fleet_mw: [buses], generators with positive power: they follow the load.
        slack_mw: What the slack generates in the base case.
    """

    load_rows: Whole
    load_places: Whole
    load_p_mw: Reals
    load_q_mvar: Reals
    sgen_rows: Whole
    sgen_places: Whole
    sgen_p_mw: Reals
    fleet_mw: Reals
    slack_mw: float


@dataclass(frozen=True, eq=False)
class Powers:
    """What loads and renewables do in some steps.

    Attributes:
        load_p_mw: [rows, loads], consumed.
        load_q_mvar: Likewise.
        more_mw: [rows, sites], generated beyond the base case.
        more_places: [sites], places of their buses in the grid.
        notes: What a reader should know of them.
    """

    load_p_mw: Reals
    load_q_mvar: Reals
    more_mw: Reals
    more_places: Whole
    notes: tuple[str, ...]


def elements_of(net: Any, grid: Grid) -> Elements:
    """Loads and generators of a network, at the places that their buses have in the grid.

    Raises:
        UmbelError: No load is in service, values are missing, or the network is not the grid's.
    """
    checked(net)
    places = dict(zip(net.bus.index.tolist(), bus_places(net, grid).tolist(), strict=True))
    load_rows, load_places, load_p, load_q = _in_service(net.load, places, "q_mvar")
    sgen_rows, sgen_places, sgen_p, _ = _in_service(net.sgen, places, "q_mvar")
    _, gen_places, gen_p, _ = _in_service(net.gen, places, "vm_pu")
    if not len(load_rows) or load_p.sum() <= 0:
        raise UmbelError(f"{grid.name}: its loads consume {load_p.sum():g} MW; give a network with loads")
    fleet = np.zeros(len(grid))
    np.add.at(fleet, gen_places, np.maximum(gen_p, 0))
    voltages = grid.base_voltages
    injected = (voltages * (grid.admittance @ voltages).conj()).real[grid.slack] * grid.base_mva
    at_slack = [p[where == grid.slack].sum() for p, where in ((load_p, load_places), (sgen_p, sgen_places))]
    fleet[grid.slack] = 0  # a generator there is part of what the slack balances
    slack = float(injected + at_slack[0] - at_slack[1])
    return Elements(load_rows, load_places, load_p, load_q, sgen_rows, sgen_places, sgen_p, fleet, slack)


def _in_service(table: Any, places: dict[int, int], second: str) -> tuple[Whole, Whole, Reals, Reals]:
    """Indices, places, active power and another column of the elements that are in service."""
    at = np.array([places[bus] for bus in table.bus.tolist()], np.int64)
    live = table.in_service.to_numpy(bool) & (at >= 0)
    scaling = table.scaling.fillna(1.0).to_numpy(float) if "scaling" in table else np.ones(len(table))
    p, other = table.p_mw.to_numpy(float) * scaling, table[second].to_numpy(float) * scaling
    return table.index.to_numpy(np.int64)[live], at[live], p[live], other[live]
