"""A network that answers power flows of one grid, from fitting to results in the tables of pandapower.

surrogate = PowerFlowSurrogate.fit(net)          solve a sample, train, choose the guard's limit on validation
surrogate.analyse(injections, limits)            many power flows: what an operator reads off them
surrogate.run(net)                               one: results in net.res_bus, net.res_line, net.res_trafo
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from umbel.arguments import instance, real_number
from umbel.data.grid_samples import GridSamples
from umbel.descent import make_descent
from umbel.engine import fit
from umbel.engine.progress import Reporter
from umbel.errors import UmbelError
from umbel.grids import (
    Grid,
    GridEquations,
    Injections,
    Profiles,
    Solver,
    States,
    bus_places,
    grid_of,
    injections,
    same_topology,
    simbench_year,
)
from umbel.grids.extra import from_extra
from umbel.grids.grid import Reals, Whole
from umbel.methods.power_flow import PowerFlowModel, power_flow
from umbel.methods.power_flow_frame import power_flow_frame
from umbel.methods.power_flow_predictor import PowerFlowPredictor
from umbel.power_flow.analysis import Analysis, Limits, analyse
from umbel.power_flow.guard import (
    Guarded,
    GuardedStates,
    Guarding,
    GuardLimit,
    greatest_errors_pu,
    judge,
    limit_from,
    solve_from,
)
from umbel.power_flow.network_tables import (
    constant_powers,
    element_injections,
    structure_of,
    write_results,
)
from umbel.power_flow.saved import load_surrogate, save_surrogate
from umbel.power_flow.surrogate_records import NetworkRun, SurrogateFacts, SurrogateSettings

_MOST_STEPS = 20  # chord steps of one power flow before the solver takes over


class PowerFlowSurrogate:
    """Power flows of one grid by a trained network, its guard and its solver.

    Args:
        predictor: The network, laid out for speed.
        facts: Of its fit.
        constant: What elements inject that are not read anew in each run: MW and MVAr, each [n].
        constant_checksum: Of these elements.
    """

    def __init__(
        self,
        predictor: PowerFlowPredictor,
        facts: SurrogateFacts,
        constant: tuple[Reals, Reals],
        constant_checksum: str,
    ) -> None:
        self.grid: Grid = predictor.grid
        self.predictor, self.facts = predictor, facts
        self.constant, self.constant_checksum = constant, constant_checksum
        self.solver, self.equations = Solver(self.grid), GridEquations(self.grid)
        self.guarded = Guarded(predictor.guarded, self.solver, facts.limit.limit_mva)
        self._places: dict[str, Whole] = {}  # structure of a network that was looked at -> places of its buses

    @classmethod
    def fit(
        cls,
        net: Any,
        profiles: Profiles | None = None,
        settings: SurrogateSettings | None = None,
        reporter: Reporter | None = None,
    ) -> "PowerFlowSurrogate":
        """Solve power flows of a network under profiles, and train on them.

        Args:
            net: A pandapower network.
            profiles: What loads and renewables do; SimBench's year without.
            settings: How.
            reporter: Told how far it is.

        Raises:
            UmbelError: A network that cannot be a grid, profiles of another one, the extra is missing, ...
        """
        settings = settings or SurrogateSettings()
        profiles = simbench_year() if profiles is None else profiles
        grid = grid_of(net)
        injected = injections(net, grid, profiles, settings.scenarios, min(settings.rows, len(profiles)))
        solver = Solver(grid)
        solved = solver.solve(injected.p_mw, injected.q_mvar)
        seed = settings.scenarios.scenario_seed
        train, validation, test = injected.split(seed=seed)
        began = time.perf_counter()
        predictor = _trained(GridSamples.of(grid, injected, solved, seed), settings, reporter)
        p, q = injected.p_mw[validation], injected.q_mvar[validation]
        states, mismatch = predictor.guarded(p, q)
        errors = greatest_errors_pu(states, _chosen(solved.states, validation))
        limit = limit_from(mismatch, errors, settings.bar_pu, settings.coverage)
        seconds = time.perf_counter() - began
        p, q = injected.p_mw[test], injected.q_mvar[test]
        guarded = Guarded(predictor.guarded, solver, limit.limit_mva).run(p, q)
        facts = SurrogateFacts(
            label_seconds=solved.seconds * (len(train) + len(validation)) / len(injected),
            train_seconds=seconds,
            rows=len(injected),
            unsolved=int((~solved.converged).sum()),
            limit=limit,
            test=judge(guarded, predictor(p, q), _chosen(solved.states, test), settings.bar_pu),
            note=injected.note,
        )
        return cls(predictor, facts, _constant(net, grid), constant_powers(net))

    def save(self, path: Path | str) -> Path:
        """Keep all of it in one file, without the data it was fitted to.

        Raises:
            UmbelError: The file cannot be written.
        """
        return save_surrogate(Path(path), self.predictor, asdict(self.facts), self.constant, self.constant_checksum)

    @classmethod
    def load(cls, path: Path | str) -> "PowerFlowSurrogate":
        """Open what `save` wrote; nothing in the file can run code.

        Raises:
            UmbelError: The file is missing, damaged, or something else.
        """
        kept = load_surrogate(Path(path))
        facts = {**kept.facts, "limit": GuardLimit(**kept.facts["limit"]), "test": Guarding(**kept.facts["test"])}
        return cls(kept.predictor, SurrogateFacts(**facts), kept.constant, kept.constant_checksum)

    def predict(self, p_mw: Reals, q_mvar: Reals) -> GuardedStates:
        """States of many rows, predicted where that balances and solved elsewhere.

        Args:
            p_mw: [rows, n], injected at every bus.
            q_mvar: Likewise.
        """
        return self.guarded.run(p_mw, q_mvar)

    def analyse(self, injected: Injections, limits: Limits | None = None) -> Analysis:
        """What many power flows say; the note tells how many of them the solver had to answer.

        Args:
            injected: As `umbel.grids.injections` makes them; intervals resample their days where rows follow one
                another.
            limits: Of voltages and loadings.
        """
        guarded = self.predict(injected.p_mw, injected.q_mvar)
        days = injected.day if injected.gap_steps else None
        analysis = analyse(self.grid, guarded.states, limits, days)
        return replace(analysis, note=f"{analysis.note}; {guarded.share_solved:.1%} of the rows went to the solver")

    def run(self, net: Any, limit_mva: float | None = None) -> NetworkRun:
        """One power flow, in the manner of pandapower's `runpp`: reads the network's loads, sgens, storages and gens.

        Chord steps follow the prediction until it balances; where they do not get there, the solver does it. Results
        are in `net.res_bus`, `net.res_line` and `net.res_trafo`; other tables of results are emptied.

        Args:
            net: The network of the fit, perhaps with other powers.
            limit_mva: The mismatch to reach; the guard's limit unless said. 1e-6 gives what `runpp` gives.

        Raises:
            UmbelError: The network has changed since the fit, or this power flow has no solution; `net.converged` is
                False then.
        """
        instance(net, from_extra("pandapower", "a run").pandapowerNet, "the network", "a pandapower network")
        limit = self.facts.limit.limit_mva if limit_mva is None else real_number(limit_mva, "limit_mva")
        net["converged"] = False
        places = self._checked(net)
        moving = element_injections(net, self.grid, places)
        p, q = (moving[0] + self.constant[0])[None], (moving[1] + self.constant[1])[None]
        states, mismatch, steps = self._corrected(p, q, limit)
        solved = not mismatch <= limit
        if solved:
            states = solve_from(states, self.solver, p, q)
            if not np.isfinite(states.magnitude).all():
                raise UmbelError(f"{self.grid.name}: the power flow does not converge with these loads; lower them")
            mismatch = float(self.equations.mismatch_mva(*map(torch.from_numpy, (*_parts(states), p, q))))
        write_results(net, self.equations, self.grid, places, states, mismatch)
        net["converged"] = True
        return NetworkRun(solved, steps, mismatch)

    def _corrected(self, p_mw: Reals, q_mvar: Reals, limit_mva: float) -> tuple[States, float, int]:
        """The prediction of one row, with chord steps until it balances or they stop helping."""
        states, missing = self.predictor.guarded(p_mw, q_mvar)
        mismatch, steps, chord = float(missing[0]), self.predictor.corrections, self.predictor.chord
        order = chord.order.numpy()
        back = np.argsort(order)
        injected = [torch.from_numpy(part.T[order]) for part in (p_mw, q_mvar)]
        now = [torch.from_numpy(part.T[order]) for part in _parts(states)]
        while mismatch > limit_mva and steps < _MOST_STEPS:
            moved = chord(*now, *injected, 1)
            better = float(chord.mismatch_mva(*moved, *injected)[0])
            if not better < mismatch:
                break
            now, mismatch, steps = list(moved), better, steps + 1
        return States(*(part.numpy()[back].T for part in now)), mismatch, steps

    def _checked(self, net: Any) -> Whole:
        """Places of the network's buses, once it is sure that it is the one of the fit."""
        structure = structure_of(net)
        if structure not in self._places:
            same_topology(self.grid, net)
            if constant_powers(net) != self.constant_checksum:
                raise UmbelError(
                    f"{self.grid.name}: wards, motors or unbalanced loads have changed since training; fit again"
                )
            self._places[structure] = bus_places(net, self.grid)
        return self._places[structure]


def _trained(samples: GridSamples, settings: SurrogateSettings, reporter: Reporter | None) -> PowerFlowPredictor:
    frame = power_flow_frame(samples, linear=settings.linear, modes=settings.modes)
    learner = power_flow(frame, width=settings.width, depth=settings.depth, seed=settings.fit.seed)
    data = samples.data(frame.tasks)
    fit(learner, make_descent(settings.descent), data.train, data.validation, settings.fit, reporter=reporter)
    assert isinstance(learner.model, PowerFlowModel)
    return PowerFlowPredictor(learner.model, settings.corrections)


def _chosen(states: States, rows: Whole) -> States:
    return States(states.magnitude[rows], states.angle[rows])


def _parts(states: States) -> tuple[Reals, Reals]:
    return states.magnitude, states.angle


def _constant(net: Any, grid: Grid) -> tuple[Reals, Reals]:
    """What else injects than the elements that a run reads."""
    p, q = element_injections(net, grid, bus_places(net, grid))
    return grid.base_p_mw - p, grid.base_q_mvar - q
