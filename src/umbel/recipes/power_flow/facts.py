"""What is measured once in a power flow study: times, costs, and a comparison with Monte Carlo at equal time."""

from typing import Any

import numpy as np
import torch

from umbel.grids import Solver, States
from umbel.methods.power_flow import PowerFlowModel
from umbel.methods.power_flow_ablations import ridge_alone
from umbel.methods.power_flow_predictor import PowerFlowPredictor, StepsFromMean, predictor
from umbel.power_flow import (
    Candidate,
    DirectCurrent,
    Guarded,
    Limits,
    Throughput,
    analyse,
    break_even,
    by_pandapower,
    by_power_grid_model,
    by_solver,
    greatest_errors_pu,
    measure_throughput,
)
from umbel.recipes.power_flow.networks import GUARDED, TUNING, Networks
from umbel.recipes.power_flow.prepare import OUTAGE
from umbel.recipes.power_flow.scores import distribution_errors
from umbel.recipes.power_flow.settings import MEAN, OURS, RIDGE, PowerFlowSettings
from umbel.recipes.power_flow.speed import BASE, EARLY, FLAT, PANDAPOWER, from_mean, linear, surrogate
from umbel.study import Bench, Job

_TIMED, _TIMED_SLOWLY = 4096, 60
_LIKELIEST = 20
SURROGATE = surrogate(GUARDED)


def facts(networks: Networks, bench: Bench[PowerFlowSettings], ours: Job) -> dict[str, Any]:
    """Everything, from the network of seed 0.

    Args:
        networks: Of the study.
        bench: All jobs are done.
        ours: The job of our arm with seed 0.
    """
    model = bench.learner(ours).model
    prepared, samples = networks.prepared, networks.prepared.samples
    frame = networks.frame(OURS)
    told: dict[str, Any] = {
        "grid": {
            "buses": len(prepared.grid),
            "branches": len(prepared.grid.branches),
            "inputs": len(samples.columns),
            "by network": int(frame.by_network.sum()),
            "steady": int((~frame.by_network).sum()),
            "constant": len(prepared.grid) - len(frame.by_network),
            "unsolved": sum(samples.unsolved.values()),
            "cross check": prepared.disagreement,
        },
        "weights": _weights(networks, bench),
        "violations": _violations(networks, model),
        "outages": _outages(networks, model),
    }
    if networks.settings.time:
        bench.study.reporter.say("timing the surrogate and its rivals")
        rates = _timed(networks, model)
        told["throughput"] = {
            rate.name: {
                "per second": rate.per_second,
                "slowest": rate.slowest,
                "quickest": rate.quickest,
                "error pu": rate.error_pu,
                "off": rate.off,
                "rows": rate.rows,
                "note": rate.note,
            }
            for rate in rates.rates
        }
        told["machine"] = rates.machine
        told["costs"] = _costs(networks, rates, bench.outcomes[ours].seconds)
        told["equal time"] = _equal_time(networks, model, rates, bench.outcomes[ours].seconds)
    return told


def _weights(networks: Networks, bench: Bench[PowerFlowSettings]) -> dict[str, dict[str, float]]:
    """Weight of the angle differences -> errors on validation after one correction, and before."""
    swept: dict[str, dict[str, float]] = {}
    if len(networks.settings.weights) == 1:
        return swept
    for weight in networks.settings.weights:
        at = bench.table.at(weight=weight)
        swept[f"{weight:g}"] = {
            f"{task}, {corrections}": at(OURS + TUNING, metric, "validation", task, corrections=corrections).mean
            for task, metric in (("magnitude", "RMSE"), ("angle", "RMSE"), ("flow", "nRMSE"))
            for corrections in (0, 1)
        }
    return swept


def _violations(networks: Networks, model: PowerFlowModel) -> dict[str, Any]:
    """Probabilities that a limit is broken on test days: by the surrogate with its interval over days, and in truth."""
    settings, truth = networks.settings, networks.truths["test"]
    limits = Limits(settings.low, settings.high, settings.loading)
    ours, true = (
        analyse(truth.grid, states, limits, truth.day)
        for states in (networks.states(model, GUARDED, "test"), truth.states)
    )

    def likeliest(names: list[str], mine: Any, theirs: Any) -> list[list[Any]]:
        order = np.argsort(-np.nan_to_num(theirs.value))[:_LIKELIEST]
        return [
            [names[k], float(mine.value[k]), float(mine.low[k]), float(mine.high[k]), float(theirs.value[k])]
            for k in order
            if max(theirs.value[k], mine.value[k]) > 0
        ]

    return {
        "bus": likeliest(list(truth.grid.bus_names), ours.bus_violation, true.bus_violation),
        "branch": likeliest(
            [truth.grid.branches.names[k] for k in true.limited], ours.branch_violation, true.branch_violation
        ),
        "any": likeliest(["any voltage"], ours.any_voltage, true.any_voltage)
        + likeliest(["any overload"], ours.any_loading, true.any_loading),
    }


def _outages(networks: Networks, model: PowerFlowModel) -> list[dict[str, Any]]:
    """Known outages: the network of the usual grid, then chord steps of the grid without the branch.

    Beside it the usual grid's sensitivities and the same steps, which need no network; and the guard's limit.
    """
    limit, bar = networks.limit(model), networks.settings.bar
    network, mean = PowerFlowPredictor(model, 0), StepsFromMean(networks.frame(MEAN), 1)
    told = []
    for scenario in networks.prepared.scenarios:
        if scenario.name != OUTAGE:
            continue
        usual, start = network.on(scenario.grid, 0), mean.on(scenario.grid, 0)
        for steps in range(networks.settings.corrections + 2):
            usual.corrections = start.corrections = steps
            states, mismatch = usual.guarded(scenario.p_mw, scenario.q_mvar)
            errors = greatest_errors_pu(states, scenario.truth)
            without = greatest_errors_pu(start(scenario.p_mw, scenario.q_mvar), scenario.truth)
            told.append(
                {
                    "branch": scenario.grid.name,
                    "corrections": steps,
                    "rows": len(errors),
                    "median error": float(np.median(errors)),
                    "right": float(100 * (errors <= bar).mean()),
                    "accepted": float(100 * (mismatch <= limit.limit_mva).mean()),
                    "accepted and wrong": float(100 * ((mismatch <= limit.limit_mva) & (errors > bar)).mean()),
                    "median error from the mean": float(np.median(without)),
                    "right from the mean": float(100 * (without <= bar).mean()),
                }
            )
    return told


def _timed(networks: Networks, model: PowerFlowModel) -> Throughput:
    """All candidates in turns, on the same rows of the test days."""
    samples, prepared = networks.prepared.samples, networks.prepared
    rows = samples.split["test"][:_TIMED]
    few = rows[:_TIMED_SLOWLY]
    p, q, truth = samples.p_mw[rows], samples.q_mvar[rows], States.of(samples.voltages[rows])
    p_few, q_few, truth_few = samples.p_mw[few], samples.q_mvar[few], States.of(samples.voltages[few])
    limit = networks.limit(model)
    guarded = Guarded(PowerFlowPredictor(model, GUARDED).guarded, prepared.solver, limit.limit_mva)
    mean, ridge = networks.frame(MEAN), ridge_alone(networks.frame(RIDGE))
    loose = Solver(prepared.grid, tolerance_mva=1.0)
    many = [
        *(
            Candidate(surrogate(k), _run(predictor(model, k), p, q), truth)
            for k in range(networks.settings.corrections + 1)
        ),
        *(
            Candidate(linear(k), _run(predictor(ridge, k), p, q), truth, "no network")
            for k in range(networks.settings.corrections + 1)
        ),
        Candidate(
            f"{SURROGATE}, trunk in bfloat16",
            _run(PowerFlowPredictor(model, GUARDED, trunk_type=torch.bfloat16), p, q),
            truth,
            "quick where the processor has it",
        ),
        Candidate(f"{SURROGATE}, guarded", lambda: guarded.run(p, q).states, truth, "solves what does not balance"),
        *(
            Candidate(from_mean(k), _run(StepsFromMean(mean, k), p, q), truth, "no training")
            for k in range(1, networks.settings.corrections + 3)
        ),
        Candidate(BASE, by_solver(prepared.solver, p, q), truth, "Newton, KLU, one thread"),
        Candidate(EARLY, by_solver(loose, p, q), truth, "stops at a mismatch of 1 MVA"),
        Candidate(FLAT, by_solver(prepared.solver, p, q, "flat"), truth, "the same"),
        Candidate("DC", _run(DirectCurrent(prepared.grid), p, q), truth, "angles only"),
    ]
    slow = [
        Candidate("power-grid-model", by_power_grid_model(prepared.grid, p_few, truth_few), truth_few, "PQ buses only"),
        Candidate(PANDAPOWER, by_pandapower(prepared.net, prepared.grid, p_few, q_few), truth_few, "with numba"),
        Candidate(
            "pandapower, recycle",
            by_pandapower(prepared.net, prepared.grid, p_few, q_few, True),
            truth_few,
            "voltages only",
        ),
    ]
    return measure_throughput([*many, *slow])


def _run(predict: Any, p: np.ndarray, q: np.ndarray) -> Any:
    return lambda: predict(p, q)


def _costs(networks: Networks, rates: Throughput, training_seconds: float) -> dict[str, float]:
    """What the surrogate costs before its first answer, and after how many answers it has paid for itself."""
    per_second = {rate.name: rate.per_second for rate in rates.rates}
    labels = networks.prepared.label_seconds
    solver, quick = per_second[BASE], per_second[SURROGATE]
    guarded = per_second[f"{SURROGATE}, guarded"]
    return {
        "training": training_seconds,
        "labels": labels,
        "break even": break_even(training_seconds, labels, solver, quick),
        "break even, guarded": break_even(training_seconds, labels, solver, guarded),
    }


def _equal_time(
    networks: Networks, model: PowerFlowModel, rates: Throughput, training_seconds: float
) -> dict[str, Any]:
    """The distribution of |V| by the surrogate, and by what the solver does in the same time, training included.

    Both are compared with all solved test rows; the solver draws its rows from these without replacement, so that with
    enough time it gives the truth itself.
    """
    samples, truth = networks.prepared.samples, networks.truths["test"]
    per_second = {rate.name: rate.per_second for rate in rates.rates}
    rows = len(truth.states)
    answering = rows / per_second[SURROGATE]
    drawn = np.random.default_rng(0).permutation(rows)

    def by_solver_in(seconds: float) -> dict[str, float]:
        count = int(min(max(seconds * per_second[BASE], 2), rows))
        errors = distribution_errors(truth, truth.magnitudes[drawn[:count]])
        return {"flows": float(seconds * per_second[BASE]), "of the test": count / rows, **errors}

    ours = networks.states(model, GUARDED, "test").magnitude[:, samples.varying]
    return {
        "seconds": training_seconds + networks.prepared.label_seconds + answering,
        "answering seconds": answering,
        "surrogate": distribution_errors(truth, ours),
        "monte carlo": by_solver_in(training_seconds + networks.prepared.label_seconds + answering),
        "monte carlo, answering time": by_solver_in(answering),
    }
