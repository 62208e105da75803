"""Programs for power flows as rivals in time: each as a function of nothing that solves the same rows and gives States.

What a program needs once (its own form of the grid) is made outside the function, and so are its inputs in its form.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from umbel.grids import Grid, Solver, States
from umbel.grids.extra import from_extra, quiet
from umbel.grids.grid import Reals
from umbel.power_flow.pi_circuits import PiCircuits

Answer = Callable[[], States]
_VOLTS, _WATTS = 1e3, 1e6  # in a kV, in an MW
_TOLERANCE = 1e-6  # MVA, that of `Solver`
_STIFF = 1e20  # VA of short circuit: the source holds its voltage
_NEGLIGIBLE = 1e-12  # per unit; a smaller shunt is rounding


def by_solver(solver: Solver, p_mw: Reals, q_mvar: Reals, start: str = "base") -> Answer:
    """The sweep of lightsim2grid, from the base case or from a flat start.

    Args:
        solver: Of a grid of n buses.
        p_mw: [rows, n], injected at every bus.
        q_mvar: Likewise.
        start: "base" or "flat".
    """
    return lambda: solver.solve(p_mw, q_mvar, start=start).states


def by_pandapower(
    net: Any, grid: Grid, p_mw: Reals, q_mvar: Reals, recycle: bool = False, numba: bool = True
) -> Answer:
    """`pandapower.runpp`, row by row.

    Args:
        net: The network, solved once; it is copied.
        grid: Its grid, of n buses.
        p_mw: [rows, n], injected at every bus.
        q_mvar: Likewise.
        recycle: Keep its matrices, start each row from the last and give voltages only: as fast as it can be.
        numba: Compile its inner loops, which takes seconds in the first run and makes the others faster.
    """
    pandapower = from_extra("pandapower", "timing pandapower")
    net = _with_further_loads(net, grid)
    further = net.load.index[-len(grid) :]
    less_p, less_q = grid.base_p_mw - p_mw, grid.base_q_mvar - q_mvar
    fresh: dict[str, Any] = {"numba": numba, "calculate_voltage_angles": True, "init": "dc"}
    fresh["tolerance_mva"] = _TOLERANCE
    settings = fresh
    if recycle:
        fresh = {**fresh, "only_v_results": True}
        settings = {**fresh, "init": "results", "recycle": {"bus_pq": True, "gen": False, "trafo": False}}
        with quiet():
            pandapower.runpp(net, **fresh)

    def solve() -> States:
        magnitude, angle = np.full(p_mw.shape, np.nan), np.full(p_mw.shape, np.nan)
        with quiet():
            for row in range(len(p_mw)):
                net.load.loc[further, "p_mw"], net.load.loc[further, "q_mvar"] = less_p[row], less_q[row]
                try:
                    pandapower.runpp(net, **settings)
                    if recycle and not net._ppc["success"]:  # said nowhere else, and the next row would start here
                        pandapower.runpp(net, **fresh)
                except pandapower.LoadflowNotConverged:
                    continue
                magnitude[row], degrees = _voltages_of(net, grid)
                angle[row] = np.deg2rad(degrees)
        return States(magnitude, angle)

    return solve


def _voltages_of(net: Any, grid: Grid) -> tuple[Reals, Reals]:
    """|V| (pu) and angles (degrees) in the grid's order, from where pandapower keeps them before it writes tables."""
    inside = net._ppc["bus"][net._pd2ppc_lookups["bus"][grid.bus_rows]]
    return inside[:, 7], inside[:, 8]  # columns VM and VA of the pypower format


def _with_further_loads(net: Any, grid: Grid) -> Any:
    """A copy with one more load at every bus, in the grid's order; the loads that were there are the first rows."""
    net = copy.deepcopy(net)
    from_extra("pandapower", "timing pandapower").create_loads(net, grid.bus_rows, p_mw=0.0, q_mvar=0.0)
    return net


def by_power_grid_model(grid: Grid, p_mw: Reals, states: States) -> Answer:
    """The batch of power-grid-model, one thread, from its own start.

    This program (1.12) has no bus whose |V| is held: the reactive power of generators is given as it was solved, so all
    buses but the slack are PQ. It is asked an easier question in one way and has more unknowns in another.

    Args:
        grid: Of n buses.
        p_mw: [rows, n], injected at every bus.
        states: [rows, n], solved; rows without a solution get no reactive power and come out as NaN or wrong.
    """
    program = from_extra("power_grid_model", "timing power-grid-model")
    tables = _power_grid_model_tables(grid)
    model = program.PowerGridModel(tables)
    places = tables["sym_load"]["node"]
    v = states.voltages
    reactive = (v * (grid.admittance @ v.T).T.conj()).imag * grid.base_mva
    update = program.initialize_array(program.DatasetType.update, "sym_load", (len(p_mw), len(places)))
    update["id"] = tables["sym_load"]["id"]
    update["p_specified"] = -p_mw[:, places] * _WATTS
    update["q_specified"] = -np.nan_to_num(reactive[:, places]) * _WATTS

    def solve() -> States:
        nodes = model.calculate_power_flow(
            update_data={"sym_load": update},
            output_component_types={"node": ["u_pu", "u_angle"]},
            continue_on_batch_error=True,
            threading=-1,
        )["node"]
        magnitude, angle = nodes["u_pu"].copy(), nodes["u_angle"].copy()
        failed = [] if model.batch_error is None else model.batch_error.failed_scenarios
        magnitude[failed], angle[failed] = np.nan, np.nan  # what it leaves there is not defined
        return States(magnitude, angle)

    return solve


def _power_grid_model_tables(grid: Grid) -> dict[str, Any]:
    """The grid as power-grid-model takes it, in volts, ohms and watts."""
    program = from_extra("power_grid_model", "timing power-grid-model")
    circuits, b, n = PiCircuits.of(grid.branches), grid.branches, len(grid)
    volts, watts = grid.bus_kv * _VOLTS, grid.base_mva * _WATTS
    ohms = volts**2 / watts
    shunts = grid.shunts.copy()
    np.add.at(shunts, b.from_bus, circuits.rest)
    shunted = np.flatnonzero(np.abs(shunts) > _NEGLIGIBLE)
    loaded = np.delete(np.arange(n), grid.slack)
    impedance = ohms[b.to_bus] / circuits.series
    charging = circuits.shunt / ohms[b.to_bus]
    slack = grid.base_voltages[grid.slack]
    source = {"node": grid.slack, "u_ref": np.abs(slack), "u_ref_angle": np.angle(slack), "sk": _STIFF, "rx_ratio": 0.0}
    columns: dict[str, tuple[int, dict[str, Any]]] = {
        "node": (n, {"u_rated": volts}),
        "generic_branch": (
            len(b),
            {"from_node": b.from_bus, "to_node": b.to_bus, "from_status": 1, "to_status": 1, "sn": watts}
            | {"r1": impedance.real, "x1": impedance.imag, "g1": charging.real, "b1": charging.imag}
            | {"k": circuits.ratio, "theta": circuits.shift},
        ),
        "shunt": (
            len(shunted),
            {"node": shunted, "status": 1, "g0": 0.0, "b0": 0.0}
            | {"g1": shunts[shunted].real / ohms[shunted], "b1": shunts[shunted].imag / ohms[shunted]},
        ),
        "source": (1, {"status": 1, **source}),
        "sym_load": (len(loaded), {"node": loaded, "status": 1, "type": 0, "p_specified": 0.0, "q_specified": 0.0}),
    }
    tables, following = {}, 0
    for kind, (rows, values) in columns.items():
        tables[kind] = program.initialize_array(program.DatasetType.input, kind, rows)
        for name, value in {"id": following + np.arange(rows), **values}.items():
            tables[kind][name] = value
        following += rows
    return tables
