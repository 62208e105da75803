"""The exact equations against pandapower's results, against each other, and against automatic differentiation."""

import numpy as np
import pytest
import torch

from umbel.grids import ChordSteps, Flows, GridEquations, Sensitivities, Solver, jacobian


def _base(grid):
    return tuple(torch.tensor(part)[None] for part in (np.abs(grid.base_voltages), np.angle(grid.base_voltages)))


def _moved(grid, rows, seed=0, spread=0.1):
    """Injections about the base case, and what the solver finds."""
    generator = np.random.default_rng(seed)
    p, q = (
        base * (1 + spread * generator.standard_normal((rows, len(grid))))
        for base in (grid.base_p_mw, grid.base_q_mvar)
    )
    return p, q, Solver(grid).solve(p, q).states


@pytest.mark.parametrize("name", ["case14", "case30", "case118"])
def test_flows_and_loadings_are_those_of_pandapower(name, case, grids):
    from umbel.grids.extra import from_extra, quiet

    net, grid = case(name), grids(name)
    with quiet():
        from_extra("pandapower", "tests").runpp(net, numba=False, tolerance_mva=1e-9, calculate_voltage_angles=True)
    equations = GridEquations(grid)
    flows = equations.branch_powers(*_base(grid))
    assert isinstance(flows, Flows)
    for kind, table, ends in (("line", net.res_line, ("from", "to")), ("trafo", net.res_trafo, ("hv", "lv"))):
        of_kind = np.array(grid.branches.kinds) == kind
        expected = table.loc[grid.branches.rows[of_kind]]
        for end, p, q in ((ends[0], flows.p_from, flows.q_from), (ends[1], flows.p_to, flows.q_to)):
            np.testing.assert_allclose(p[0].numpy()[of_kind], expected[f"p_{end}_mw"], atol=1e-6)
            np.testing.assert_allclose(q[0].numpy()[of_kind], expected[f"q_{end}_mvar"], atol=1e-6)
    lines = np.array(grid.branches.kinds) == "line"
    loading = equations.loading(*_base(grid))[0].numpy()[lines]
    expected = net.res_line.loading_percent.loc[grid.branches.rows[lines]].to_numpy() / 100
    known = np.isfinite(loading)
    np.testing.assert_allclose(loading[known], expected[known], rtol=1e-6)
    assert known.any() == (name == "case30")  # the others have no limits


def test_a_solution_balances_and_another_state_does_not(grids):
    grid = grids("case118")
    p, q, states = _moved(grid, 5)
    equations = GridEquations(grid)
    given = [torch.tensor(part) for part in (states.magnitude, states.angle, p, q)]
    assert equations.mismatch_mva(*given).max() < 1e-6
    given[1][0, grid.pq[0]] += 1e-3
    missing = equations.mismatch_mva(*given)
    assert missing[0] > 0.1
    assert missing[1:].max() < 1e-6
    given[2][1, grid.slack] += 50.0  # what the slack injects is not specified
    given[3][1, grid.pv[0]] += 50.0
    assert equations.mismatch_mva(*given)[1] < 1e-6


def test_the_jacobian_is_the_derivative_of_the_injections(grids):
    grid = grids("case30")
    magnitude, angle = _base(grid)
    equations, unknown, pq = GridEquations(grid), torch.tensor(grid.not_slack), torch.tensor(grid.pq)

    def injected(x):
        angles = angle.index_copy(1, unknown, x[None, : len(unknown)])
        magnitudes = magnitude.index_copy(1, pq, x[None, len(unknown) :])
        p, q = equations.injected(magnitudes, angles)
        return torch.cat([p[0, unknown], q[0, pq]]) / grid.base_mva

    x = torch.cat([angle[0, unknown], magnitude[0, pq]])
    expected = torch.autograd.functional.jacobian(injected, x).numpy()
    np.testing.assert_allclose(jacobian(grid, grid.base_voltages).toarray(), expected, atol=1e-10)


def _columns(chord, *parts):
    return [torch.tensor(part[:, chord.order.numpy()].T.copy()) for part in parts]


def test_chord_steps_reach_what_the_solver_finds(grids):
    grid = grids("case118")
    p, q, states = _moved(grid, 4)
    chord = ChordSteps(grid, grid.base_voltages)
    start = np.tile(grid.base_voltages, (4, 1))
    begin = _columns(chord, np.abs(start), np.angle(start), p, q)
    errors = []
    for steps in (0, 1, 2, 12):
        magnitude, _ = chord(*begin, steps)
        back = magnitude.T[:, chord.order.argsort()].numpy()
        errors.append(np.abs(back - states.magnitude).max())
        np.testing.assert_array_equal(back[:, grid.pv], np.abs(start)[:, grid.pv])
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[3] < 1e-9


def test_a_chord_step_solves_with_the_jacobian(grids):
    grid = grids("case118")
    chord = ChordSteps(grid, grid.base_voltages)
    right = np.random.default_rng(0).standard_normal((len(grid.not_slack) + len(grid.pq), 3))
    expected = np.linalg.solve(jacobian(grid, grid.base_voltages).toarray(), right)
    given = chord.solve(torch.tensor(right, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())
    stored = sum(factor.values().numel() for factor in chord.factors)
    assert stored < 0.6 * len(right) ** 2  # it pays because these are sparse


def test_chord_steps_take_the_mismatch_of_the_equations(grids):
    grid = grids("case30")
    p, q, _ = _moved(grid, 6)
    chord, equations = ChordSteps(grid, grid.base_voltages), GridEquations(grid)
    state = np.tile(grid.base_voltages, (6, 1))
    ours = chord.mismatch_mva(*_columns(chord, np.abs(state), np.angle(state), p, q))
    theirs = equations.mismatch_mva(*(torch.tensor(part) for part in (np.abs(state), np.angle(state), p, q)))
    torch.testing.assert_close(ours, theirs)


def test_sensitivities_are_the_first_chord_step(grids):
    grid = grids("case118")
    p, q, _ = _moved(grid, 3)
    chord = ChordSteps(grid, grid.base_voltages)
    state = np.tile(grid.base_voltages, (3, 1))
    columns = _columns(chord, np.abs(state), np.angle(state), p, q)
    magnitude, angle = chord(*columns, 1)
    unknown = Sensitivities(chord, grid.base_voltages)(*columns[2:])
    torch.testing.assert_close(unknown, torch.cat([angle[:-1], magnitude[chord.held : -1]]), rtol=0, atol=1e-7)
