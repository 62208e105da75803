"""Power flow networks: what they start as, what their tasks mean, and that the quick layout gives the same."""

from functools import partial

import numpy as np
import pytest
import torch

from umbel.core import OperatingPoint, UmbelError
from umbel.data import GridSamples
from umbel.grids import GridEquations, Solver, States
from umbel.methods import (
    MeanState,
    PowerFlowFrame,
    PowerFlowModel,
    PowerFlowPredictor,
    QuadraticModel,
    StepsFromMean,
    power_flow,
    power_flow_frame,
    predictor,
    ridge_alone,
)
from umbel.methods.power_flow_predictor import rows_at_once
from umbel.power_flow import balanced

KINDS = {
    "ridge": {},
    "reduced": {"rank": 4},
    "sensitivities": {"linear": "sensitivities"},
    "alone": {"linear": "none"},
    "alone, free": {"linear": "none", "modes": None},
    "free": {"modes": None},
    "steady": {"steady": True, "tolerance": 2e-5, "modes": None},
}


@pytest.fixture(scope="module")
def samples():
    pytest.importorskip("pandapower")
    from umbel.grids import drawn_profiles, grid_of, injections, open_network

    net = open_network("case14")
    grid = grid_of(net)
    drawn = injections(net, grid, drawn_profiles(400, spread=0.3))
    return GridSamples.of(grid, drawn, Solver(grid).solve(drawn.p_mw, drawn.q_mvar))


@pytest.fixture(scope="module")
def frame(samples):
    return power_flow_frame(samples, modes=8)


def _shaken(learner):
    """With heads that give something."""
    torch.manual_seed(0)
    for head in learner.model.heads.values():
        torch.nn.init.normal_(head.weight, std=0.05)
    return learner


def _rows(samples, split="test"):
    rows = samples.split[split]
    return samples.p_mw[rows], samples.q_mvar[rows], States.of(samples.voltages[rows])


def _off(states, truth, samples):
    return np.sqrt(((states.magnitude - truth.magnitude)[:, samples.varying] ** 2).mean())


def test_splits_share_no_day_and_inputs_leave_out_what_is_not_specified(samples):
    days = [set(samples.day[samples.split[name]].tolist()) for name in ("train", "validation", "test")]
    assert not (days[0] & days[1] | days[0] & days[2] | days[1] & days[2])
    grid, n = samples.grid, len(samples.grid)
    assert grid.slack not in samples.columns
    assert not set(samples.columns.tolist()) & {n + bus for bus in [grid.slack, *grid.pv]}
    assert set(samples.varying.tolist()) <= set(grid.pq.tolist())


def test_power_flows_without_a_solution_are_counted_and_left_out(samples):
    from umbel.grids import Injections, Solved

    rows = 40
    good = np.ones(rows, bool)
    good[[3, 17]] = False
    voltages = np.where(good[:, None], samples.voltages[:rows], np.nan)
    solved = Solved(voltages, good, np.ones(rows, np.int64), 0.0)
    drawn = Injections(samples.p_mw[:rows], samples.q_mvar[:rows], np.arange(rows), np.arange(rows), 0, "drawn")
    kept = GridSamples.of(samples.grid, drawn, solved)
    assert sum(kept.unsolved.values()) == 2
    assert sum(len(part) for part in kept.split.values()) == 38
    assert np.isfinite(kept.voltages).all()
    tasks = power_flow_frame(kept, modes=2).tasks
    assert "2 of 40" in kept.data(tasks).warnings[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_quick_layout_gives_the_states_of_the_model(kind, samples):
    options = {"modes": 8, **KINDS[kind]}
    model = _shaken(power_flow(power_flow_frame(samples, **options), width=16)).model
    p, q, _ = _rows(samples)
    for corrections in (0, 2):
        with torch.no_grad():
            magnitude, angle = model.states(torch.tensor(p), torch.tensor(q), corrections)
        quick = PowerFlowPredictor(model, corrections, chunk=32)(p, q)
        np.testing.assert_allclose(quick.magnitude, magnitude.numpy(), atol=2e-6)
        np.testing.assert_allclose(quick.angle, angle.numpy(), atol=2e-6)


def test_rows_at_once_shrink_with_the_grid():
    assert [rows_at_once(buses) for buses in (9, 300, 1354, 20_000)] == [128, 128, 32, 32]


def test_a_trunk_in_bfloat16_adds_nearly_the_same(samples, frame):
    model = power_flow(frame, width=16).model
    torch.nn.init.normal_(model.heads["magnitude"].weight, std=1.0, generator=torch.Generator().manual_seed(0))
    p, q, _ = _rows(samples)
    linear, whole, coarse = (
        predict(p, q).magnitude
        for predict in (
            predictor(ridge_alone(frame), 0),
            PowerFlowPredictor(model, 0),
            PowerFlowPredictor(model, 0, trunk_type=torch.bfloat16),
        )
    )
    added = np.sqrt(((whole - linear) ** 2).mean())
    assert 0 < np.sqrt(((coarse - whole) ** 2).mean()) < 0.02 * added


@pytest.mark.parametrize("corrections", [0, 1])
def test_tasks_in_natural_units_are_the_states(corrections, samples, frame):
    learner = _shaken(power_flow(frame, width=16))
    batch = next(iter(samples.data(learner.tasks).test.batches(20)))
    raw = learner.predict(batch, OperatingPoint(corrections=corrections))
    decoded = {task.name: task.decode(raw[task.name]).detach().numpy() for task in learner.tasks}
    p, q, _ = _rows(samples)
    magnitude, angle = (
        part.detach().numpy() for part in learner.model.states(torch.tensor(p[:20]), torch.tensor(q[:20]), corrections)
    )
    b, links = samples.grid.branches, samples.links
    degrees = np.rad2deg(angle)
    np.testing.assert_allclose(decoded["magnitude"], magnitude[:, samples.varying], atol=1e-6)
    np.testing.assert_allclose(decoded["angle"], degrees[:, samples.grid.not_slack], atol=1e-4)
    expected = degrees[:, b.from_bus[links]] - degrees[:, b.to_bus[links]]
    np.testing.assert_allclose(decoded["difference"], expected, atol=1e-4)
    targets = {task.name: task.target_of(batch).numpy() for task in learner.tasks}
    true = samples.angles[samples.split["test"][:20]]
    np.testing.assert_allclose(targets["difference"], true[:, b.from_bus[links]] - true[:, b.to_bus[links]], atol=1e-9)


def test_a_network_starts_as_its_linear_part_whose_loss_is_one(samples, frame):
    learner = power_flow(frame)
    losses = learner.losses(samples.data(learner.tasks).train.samples, OperatingPoint(corrections=0))
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(1.0, rel=1e-3), name


def test_corrections_bring_states_nearer_and_balance_them(samples, frame):
    p, q, truth = _rows(samples)
    equations = GridEquations(samples.grid)
    errors, missing = [], []
    for corrections in (0, 1, 2):
        quick = PowerFlowPredictor(power_flow(frame).model, corrections)
        states, mismatch = quick.guarded(p, q)
        given = [torch.tensor(part) for part in (states.magnitude, states.angle, p, q)]
        np.testing.assert_allclose(mismatch, equations.mismatch_mva(*given).numpy(), rtol=1e-6, atol=1e-9)
        errors.append(_off(states, truth, samples))
        missing.append(mismatch.max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert missing[0] > 3 * missing[1] > 9 * missing[2]


def test_steps_from_the_mean_are_chord_steps_of_the_mean_state(samples, frame):
    p, q, _ = _rows(samples)
    for steps in (1, 3):
        slow = predictor(MeanState(frame), steps)(p, q)
        quick = StepsFromMean(frame, steps)(p, q)
        np.testing.assert_allclose(quick.magnitude, slow.magnitude, atol=1e-7)
        np.testing.assert_allclose(quick.angle, slow.angle, atol=1e-7)


def test_squares_do_better_than_ridge_alone(samples, frame):
    p, q, truth = _rows(samples)
    quadratic = QuadraticModel(frame, components=(2, 6))
    assert quadratic.components in (2, 6)
    alone = _off(predictor(ridge_alone(frame), 0)(p, q), truth, samples)
    assert _off(predictor(quadratic, 0)(p, q), truth, samples) < 0.95 * alone


def test_steady_buses_are_left_to_the_linear_part(samples):
    spread = np.abs(samples.voltages[samples.split["train"]]).std(0)[samples.varying]
    all_of_them = power_flow_frame(samples, tolerance=1e9)
    assert not all_of_them.by_network.any()
    some = power_flow_frame(samples, tolerance=2e-5)
    assert some.by_network.any()
    if not some.by_network.all():
        assert spread[~some.by_network].max() <= spread[some.by_network].min()
    model = _shaken(power_flow(all_of_them, width=8)).model
    p, q, _ = _rows(samples)
    alone = predictor(ridge_alone(all_of_them), 0)(p, q)
    np.testing.assert_allclose(PowerFlowPredictor(model, 0)(p, q).magnitude, alone.magnitude, atol=1e-7)


def test_modes_keep_what_a_network_adds_to_the_patterns_of_what_is_left(samples):
    frame = power_flow_frame(samples, modes=3)
    assert {name: tuple(modes.shape) for name, modes in frame.modes.items()} == {
        "magnitude": (3, len(samples.varying)),
        "angle": (3, len(samples.grid.not_slack)),
    }
    model = power_flow(frame, width=8).model
    torch.nn.init.normal_(model.heads["magnitude"].weight, std=100.0, generator=torch.Generator().manual_seed(0))
    p, q, _ = _rows(samples)
    added = PowerFlowPredictor(model, 0)(p, q).magnitude - predictor(ridge_alone(frame), 0)(p, q).magnitude
    assert np.linalg.matrix_rank(added[:, samples.varying], tol=1e-4 * np.abs(added).max()) <= 3


def test_what_cannot_be_built_is_refused(samples, frame):
    without = power_flow_frame(samples, linear="none")
    for wrong in (
        partial(power_flow, frame, width=0),
        partial(power_flow_frame, samples, linear="rigde"),
        partial(ridge_alone, without),
        partial(QuadraticModel, without),
        partial(PowerFlowPredictor, power_flow(frame).model, -1),
        partial(power_flow(frame).model, torch.zeros(1, len(samples.columns)), OperatingPoint(), ["flow"]),
    ):
        with pytest.raises(UmbelError):
            wrong()
    assert isinstance(power_flow(frame, difference=False).model, PowerFlowModel)
    assert [task.name for task in power_flow(frame, difference=False).tasks] == ["magnitude", "angle"]
    assert isinstance(frame, PowerFlowFrame)


def test_a_known_outage_is_corrected_by_its_own_equations(samples, frame):
    solver = Solver(samples.grid).without_branch(3)
    p, q, _ = _rows(samples)
    truth = solver.solve(p, q).states
    usual = PowerFlowPredictor(power_flow(frame).model, 0)
    errors, missing = [], []
    for steps in (0, 1, 2, 6):
        states, mismatch = usual.on(solver.grid, steps).guarded(p, q)
        errors.append(np.abs(states.magnitude - truth.magnitude).max())
        missing.append(mismatch.max())
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[3] < 1e-6
    assert missing[0] > 1.0
    assert missing[3] < 1e-3
    assert balanced(usual, GridEquations(solver.grid))(p, q)[1].max() == pytest.approx(missing[0])
    from umbel.grids import grid_of, open_network

    with pytest.raises(UmbelError, match="other buses"):
        usual.on(grid_of(open_network("case9")), 1)
