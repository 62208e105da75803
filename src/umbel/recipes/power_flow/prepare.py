"""What the power flow study is about: the grid, its solved year, and the days that are unlike those of training."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from umbel.core import UmbelError
from umbel.data.grid_samples import GridSamples
from umbel.engine.progress import Reporter
from umbel.grids import (
    Grid,
    Injections,
    Profiles,
    Solver,
    States,
    cross_check,
    grid_of,
    injections,
    open_network,
    simbench_year,
)
from umbel.grids.extra import from_extra
from umbel.recipes.power_flow.settings import PowerFlowSettings

LOAD, OUTAGE = "load +20 %", "outage"
"""Names of what is unlike training."""
_MORE_LOAD = 1.2


@dataclass(frozen=True, eq=False)
class Scenario:
    """Power flows that are unlike those of training.

    Attributes:
        name: `LOAD` or `OUTAGE`.
        grid: With the branch taken out, in an outage.
        solver: Of that grid.
        p_mw: [rows, n].
        q_mvar: [rows, n].
        truth: What the solver finds; NaN in rows without a solution.
    """

    name: str
    grid: Grid
    solver: Solver
    p_mw: np.ndarray
    q_mvar: np.ndarray
    truth: States


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that all arms share.

    Attributes:
        grid: Whose power flows.
        net: The network of pandapower that it was made from.
        solver: Of the grid.
        samples: The solved year.
        scenarios: Unlike it.
        label_seconds: What the solver took for training and validation rows.
        disagreement: Greatest difference of the solver from pandapower's own, pu.
    """

    grid: Grid
    net: Any
    solver: Solver
    samples: GridSamples
    scenarios: tuple[Scenario, ...]
    label_seconds: float
    disagreement: float


def prepare(settings: PowerFlowSettings, reporter: Reporter) -> Prepared:
    """Open the network and solve its year.

    Raises:
        UmbelError: No such network, one that cannot be solved, or the extra is missing.
    """
    net = open_network(settings.net)
    grid = grid_of(net, settings.magnetising)
    solver, profiles = Solver(grid), simbench_year()
    drawn = injections(net, grid, profiles, settings.scenarios, settings.rows)
    if settings.time:
        from_extra("power_grid_model", "timing the rivals")  # asked for now, not after hours of training
    samples, label_seconds = _solved(settings, grid, solver, drawn, reporter)
    if not len(samples.varying):
        raise UmbelError(f"{grid.name}: no |V| varies, generators hold every bus; give a network with other buses")
    reporter.say("solving days with more load and outages, and comparing with pandapower")
    scenarios = tuple(_scenarios(settings, net, grid, solver, profiles, samples))
    return Prepared(grid, net, solver, samples, scenarios, label_seconds, _disagreement(settings, net, grid, reporter))


def _disagreement(settings: PowerFlowSettings, net: Any, grid: Grid, reporter: Reporter) -> float:
    """Of the solver and pandapower; NaN where they read the network differently, or have nothing to compare."""
    if settings.magnetising != "pandapower":
        return float("nan")
    try:
        return cross_check(net, grid)
    except UmbelError as error:  # near the collapse of voltages; the study can do without
        reporter.say(f"not compared with pandapower: {error}")
        return float("nan")


def _solved(
    settings: PowerFlowSettings, grid: Grid, solver: Solver, drawn: Injections, reporter: Reporter
) -> tuple[GridSamples, float]:
    """The year's power flows in their splits, and what the solver took for those that are learnt from."""
    reporter.begin(f"solving power flows of {grid.name}", len(drawn))
    solved = solver.solve(drawn.p_mw, drawn.q_mvar, say=lambda done, _: reporter.step(done, {}))
    reporter.end()
    samples = GridSamples.of(grid, drawn, solved, settings.scenarios.scenario_seed)
    learnt = 1 - len(samples.split["test"]) / max(sum(map(len, samples.split.values())), 1)
    return samples, solved.seconds * learnt


def _scenarios(
    settings: PowerFlowSettings, net: Any, grid: Grid, solver: Solver, profiles: Profiles, samples: GridSamples
) -> list[Scenario]:
    """Test days with more load, and outages of branches."""
    generator = np.random.default_rng([settings.scenarios.scenario_seed, 15])
    test = samples.split["test"]
    rows = np.sort(generator.choice(test, min(settings.stressed, len(test)), replace=False))
    more = replace(settings.scenarios, load=settings.scenarios.load * _MORE_LOAD)
    stressed = injections(net, grid, profiles, more, samples.time[rows])
    truth = solver.solve(stressed.p_mw, stressed.q_mvar).states
    scenarios = [Scenario(LOAD, grid, solver, stressed.p_mw, stressed.q_mvar, truth)]
    few = rows[::5] if len(rows) >= 5 else rows
    for branch in generator.permutation(len(grid.branches)).tolist():
        if len(scenarios) > settings.outages:
            break
        try:
            without = solver.without_branch(branch)
        except UmbelError:  # it would cut buses off, or has no solution
            continue
        p, q = samples.p_mw[few], samples.q_mvar[few]
        scenarios.append(Scenario(OUTAGE, without.grid, without, p, q, without.solve(p, q).states))
    return scenarios
