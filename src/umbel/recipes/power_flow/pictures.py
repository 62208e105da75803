"""The pictures of a power flow study: bands of voltages, flows, violations on the grid, errors far from training."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from umbel.methods.power_flow import PowerFlowModel
from umbel.methods.power_flow_predictor import PowerFlowPredictor
from umbel.power_flow import Limits, analyse, branch_values, greatest_errors_pu
from umbel.recipes.power_flow.figures import (
    error_against,
    flow_scatter,
    quantile_bands,
    save,
    standardised_distance,
    violation_map,
)
from umbel.recipes.power_flow.networks import GUARDED, Networks

PICTURES = (
    ("voltages.png", "Voltages of every bus", "between which |V| each bus is, by the network and by the solver"),
    ("flows.png", "Flows of every branch", "active power of branches by the network against the solver's, and errors"),
    ("violations.png", "Where limits are broken", "the grid, coloured by the probability of a violation"),
    ("distance.png", "Errors far from training", "greatest error of |V| against the distance from training"),
)
"""File, heading, and what it shows."""
_MOST_FLOWS = 400


def draw(out: Path, networks: Networks, model: PowerFlowModel) -> None:
    """Draw what is not there yet.

    Args:
        out: The study's folder.
        networks: Of the study.
        model: Of seed 0.
    """
    makers = (_voltages, _flows, _violations, _distance)
    for (file, _, _), make in zip(PICTURES, makers, strict=True):
        if not (out / file).exists():
            save(make(networks, model), out / file)


def _voltages(networks: Networks, model: PowerFlowModel) -> Figure:
    settings, truth = networks.settings, networks.truths["test"]
    ours = networks.states(model, GUARDED, "test").magnitude
    return quantile_bands(truth.grid, ours, truth.states.magnitude, settings.low, settings.high)


def _flows(networks: Networks, model: PowerFlowModel) -> Figure:
    truth = networks.truths["test"]
    ours, _ = branch_values(truth.grid, networks.states(model, GUARDED, "test"))
    some = np.linspace(0, len(ours) - 1, min(_MOST_FLOWS, len(ours))).astype(int)
    return flow_scatter(truth.grid, ours[some], truth.flows[some])


def _violations(networks: Networks, model: PowerFlowModel) -> Figure:
    settings, truth = networks.settings, networks.truths["test"]
    limits = Limits(settings.low, settings.high, settings.loading)
    found = analyse(truth.grid, networks.states(model, GUARDED, "test"), limits)
    by_branch = np.full(len(truth.grid.branches), np.nan)
    by_branch[found.limited] = found.branch_violation.value
    return violation_map(truth.grid, found.bus_violation.value, by_branch)


def _distance(networks: Networks, model: PowerFlowModel) -> Figure:
    samples, prepared = networks.prepared.samples, networks.prepared
    rows = samples.split["test"]
    predict = PowerFlowPredictor(model, GUARDED)
    groups = {"test days": [(samples.p_mw[rows], samples.q_mvar[rows], networks.truths["test"].states)]}
    for scenario in prepared.scenarios:
        groups.setdefault(scenario.name, []).append((scenario.p_mw, scenario.q_mvar, scenario.truth))
    drawn = {}
    for name, parts in groups.items():
        distances = [_from_training(networks, p, q) for p, q, _ in parts]
        errors = [greatest_errors_pu(predict(p, q), truth) for p, q, truth in parts]
        both = np.concatenate(distances), np.concatenate(errors)
        known = np.isfinite(both[1])
        drawn[name] = (both[0][known], both[1][known])
    x_label = "distance of the injections from the training mean, in spreads"
    return error_against(drawn, x_label, "greatest error of |V| in pu")


def _from_training(networks: Networks, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    samples = networks.prepared.samples
    train = samples.split["train"]
    given = ((p, q), (samples.p_mw[train], samples.q_mvar[train]))
    both, known = (np.concatenate(parts, axis=1)[:, samples.columns] for parts in given)
    return standardised_distance(known, both)
