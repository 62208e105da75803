"""Power flows a second: a network with and without chord steps against the sweep of lightsim2grid, and its rivals.

Networks are not trained: their speed does not depend on their weights. All programs answer the same power flows of
SimBench's year in turns, with one thread; times are the processor's for one power flow, which other work on the machine
disturbs little.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks.measure import Note, Row, compare, say, taking_turns
from umbel.data.grid_samples import GridSamples
from umbel.grids import ChordSteps, Solver, grid_of, injections, open_network, simbench_year
from umbel.methods.power_flow import PowerFlowModel, power_flow
from umbel.methods.power_flow_ablations import ridge_alone
from umbel.methods.power_flow_frame import power_flow_frame
from umbel.methods.power_flow_predictor import PowerFlowPredictor, StepsFromMean, predictor
from umbel.power_flow import DirectCurrent, Guarded, by_pandapower, by_power_grid_model, by_solver

CASES = {"case118": "ridge", "case300": "ridge", "case1354pegase": "sensitivities"}
"""Network -> linear part of its network."""
TARGETS = {"case300": 1 / 10, "case1354pegase": 1 / 12}
"""Time of a power flow in parts of lightsim2grid's, both warm."""
PANDAPOWER_TIMES = 500
SOLVER, PANDAPOWER = "lightsim2grid, from the base case", "pandapower"
LOOSE_MVA = 1.0
ROWS, TIMED, TIMED_SLOWLY = 6000, 1024, 20
ACCEPTED_MVA = 1e9
"""The guard's limit: it checks all and solves nothing, as its share of work to solve depends on the weights."""
SECONDS, FEWEST, MOST, WARM_UP = 60.0, 9, 40, 2
CORRECTIONS = (0, 1, 2)
UNIT = "µs CPU a flow"
SIDE = 1024
"""Of the square matrices whose product tells the machine's rate."""
Run = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """What is timed of one network.

    Attributes:
        name: Of the network.
        runs: Name -> answers all its power flows.
        rows: Name -> how many these are.
        model: The network, whose operations are counted.
    """

    name: str
    runs: dict[str, Run]
    rows: dict[str, int]
    model: PowerFlowModel


def network(corrections: int) -> str:
    return f"network, {corrections} correction{'s' * (corrections != 1)}"


def make_case(name: str) -> Case:
    """Solve some of the year, fit what is fitted in closed form, and set up everything that answers."""
    net = open_network(name)
    grid = grid_of(net)
    solver = Solver(grid)
    drawn = injections(net, grid, simbench_year(), rows=ROWS)
    samples = GridSamples.of(grid, drawn, solver.solve(drawn.p_mw, drawn.q_mvar))
    frame = power_flow_frame(samples, linear=CASES[name])
    model = power_flow(frame).model
    linear = ridge_alone(power_flow_frame(samples, modes=None))
    p, q = samples.p_mw[:TIMED], samples.q_mvar[:TIMED]
    few_p, few_q = p[:TIMED_SLOWLY], q[:TIMED_SLOWLY]
    guarded = Guarded(PowerFlowPredictor(model, 1).guarded, solver, ACCEPTED_MVA)
    predicts = {network(k): predictor(model, k) for k in CORRECTIONS}
    predicts |= {f"mean state, {k} chord steps": StepsFromMean(frame, k) for k in (1, 2, 3)}
    predicts |= {"ridge": predictor(linear, 0), "DC": DirectCurrent(grid)}
    predicts[f"{network(1)}, trunk in bfloat16"] = PowerFlowPredictor(model, 1, trunk_type=torch.bfloat16)
    runs: dict[str, Run] = {what: lambda predict=predict: predict(p, q) for what, predict in predicts.items()}
    runs |= {
        f"{network(1)}, power balance checked": lambda: guarded.run(p, q),
        SOLVER: by_solver(solver, p, q),
        f"lightsim2grid, to {LOOSE_MVA:g} MVA": by_solver(Solver(grid, tolerance_mva=LOOSE_MVA), p, q),
        "lightsim2grid, from flat": by_solver(solver, p, q, "flat"),
    }
    slow: dict[str, Run] = {
        "power-grid-model": by_power_grid_model(grid, few_p, solver(few_p, few_q)),
        PANDAPOWER: by_pandapower(net, grid, few_p, few_q),
        "pandapower, recycle": by_pandapower(net, grid, few_p, few_q, recycle=True),
    }
    return Case(name, runs | slow, dict.fromkeys(runs, len(p)) | dict.fromkeys(slow, len(few_p)), model)


# -- the limit -------------------------------------------------------------------------------------------------------


def dense_flops(model: PowerFlowModel) -> float:
    """Operations of products with matrices for one power flow, without corrections."""
    matrices: list[Tensor] = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    matrices += [modes for task in model.heads if (modes := model.modes_of(task)) is not None]
    matrices += [] if model.linear is None else list(model.linear.matrices)
    flops = 2.0 * sum(matrix.numel() for matrix in matrices)
    return flops + (sum(_stored(factor) for factor in model.chord.factors) if model.sensitivities is not None else 0.0)


def chord_flops(chord: ChordSteps) -> float:
    """Operations of one correction for one power flow: the products with sparse matrices."""
    return sum(_stored(matrix) for matrix in (chord.admittance, *chord.factors))


def _stored(matrix: Tensor) -> float:
    return 2.0 * matrix.values().numel()


def state_bytes(model: PowerFlowModel) -> float:
    """What must be read and written at least for one power flow: injections and states in double precision."""
    return 4.0 * 8 * len(model.grid)


def machine_rates() -> tuple[float, float]:
    """Operations a second of a product of float32 matrices, bytes a second of a copy: the best of some runs."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    large = torch.rand(1 << 25)
    times = taking_turns({"product": lambda: a @ b, "copy": large.clone}, 2.0, 10, 40, 2, time.process_time)
    return 2.0 * SIDE**3 / min(times["product"]), 2 * 4.0 * large.numel() / min(times["copy"])


def limits(model: PowerFlowModel) -> dict[str, float]:
    """Name -> seconds of one power flow that no code on this machine falls below: operations, or bytes."""
    flops, moved = machine_rates()
    say(f"this machine: {flops / 1e9:.0f} GFLOP/s in float32, {moved / 1e9:.1f} GB/s")
    counts = {k: dense_flops(model) + k * chord_flops(model.chord) for k in CORRECTIONS}
    return {network(k): max(count / flops, state_bytes(model) / moved) for k, count in counts.items()}


# -- the table -------------------------------------------------------------------------------------------------------


def measure() -> list[Row | Note]:
    """All cases, one after the other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return [row for name in CASES for row in _rows(make_case(name))]
    finally:
        torch.set_num_threads(threads)


def _rows(case: Case) -> Iterator[Row | Note]:
    say(f"{case.name}: timing {len(case.runs)} ways in turns")
    times = taking_turns(case.runs, SECONDS, FEWEST, MOST, WARM_UP, time.process_time)
    each = {what: [seconds / case.rows[what] for seconds in turns] for what, turns in times.items()}
    for what, mine in each.items():
        if what != SOLVER:
            target = TARGETS.get(case.name) if what in (network(0), network(1)) else None
            yield compare(f"{case.name}: {what}", mine, each[SOLVER], SOLVER, target, 1e6, UNIT)
    quick = [seconds / PANDAPOWER_TIMES for seconds in each[PANDAPOWER]]
    name = f"{PANDAPOWER}, were it {PANDAPOWER_TIMES} times as fast"
    yield compare(f"{case.name}: {network(1)}", each[network(1)], quick, name, 1.0, 1e6, UNIT)
    for what, limit in limits(case.model).items():
        name = "the limit: operations of its matrices at this machine's rate, or bytes"
        yield compare(f"{case.name}: {what}", each[what], [limit] * len(each[what]), name, None, 1e6, UNIT)
