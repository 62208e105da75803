"""Models that answer at once and are wrong by more: direct current, and one matrix learnt from solved rows."""

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from umbel.errors import UmbelError
from umbel.grids import Grid, States
from umbel.grids.grid import Reals
from umbel.nn import ridge
from umbel.power_flow.pi_circuits import PiCircuits


class DirectCurrent:
    """Power flow by a factorised B matrix: active power and angles only; |V| stays that of the base case.

        B θ = P - P_shift - G_shunt,    flows b (θ_f - θ_t - shift),    b = 1 / (x k)

    Args:
        grid: Of n buses.
    """

    def __init__(self, grid: Grid) -> None:
        circuits, b, n = PiCircuits.of(grid.branches), grid.branches, len(grid)
        weight = 1 / ((1 / circuits.series).imag * circuits.ratio)
        rows = np.concatenate([b.from_bus, b.to_bus, b.from_bus, b.to_bus])
        columns = np.concatenate([b.from_bus, b.to_bus, b.to_bus, b.from_bus])
        matrix = coo_array((np.concatenate([weight, weight, -weight, -weight]), (rows, columns)), shape=(n, n)).tocsc()
        self._unknown, self._grid = grid.not_slack, grid
        self._factors = splu(matrix[self._unknown][:, self._unknown])
        shifted = weight * circuits.shift
        self._fixed = -grid.shunts.real
        np.add.at(self._fixed, b.from_bus, shifted)
        np.add.at(self._fixed, b.to_bus, -shifted)

    def __call__(self, p_mw: Reals, q_mvar: Reals) -> States:
        """States [rows, n] from what is injected at every bus [rows, n]; reactive power changes nothing."""
        base = self._grid.base_voltages
        injected = p_mw[:, self._unknown] / self._grid.base_mva + self._fixed[self._unknown]
        angle = np.full(p_mw.shape, np.angle(base[self._grid.slack]))
        angle[:, self._unknown] += self._factors.solve(np.ascontiguousarray(injected.T)).T
        return States(np.broadcast_to(np.abs(base), p_mw.shape).copy(), angle)


class LinearPowerFlow:
    """Ridge regression from injections to the state; one matrix product answers.

    The product is taken in float32, of what differs from the mean of training, and the mean added in double precision.

    Args:
        p_mw: [rows, n], injected at every bus in training.
        q_mvar: Likewise.
        states: [rows, n]; rows that were not solved are left out.
        penalty: On the weights of standardised inputs.

    Raises:
        UmbelError: No solved row.
    """

    def __init__(self, p_mw: Reals, q_mvar: Reals, states: States, penalty: float = 10.0) -> None:
        solved = np.isfinite(states.magnitude).all(1)
        if not solved.any():
            raise UmbelError("none of the rows is solved; a linear model needs solved rows to learn from")
        inputs = np.concatenate([p_mw, q_mvar], 1)[solved]
        angle = states.angle[solved]
        turns = np.round((angle - angle[0]) / (2 * np.pi))  # angles near half a turn lie on one side
        targets = np.concatenate([states.magnitude[solved], angle - 2 * np.pi * turns], 1)
        spread = inputs.std(0)
        self._moves = np.flatnonzero(spread > 1e-9)
        self._centre, self._mean = inputs.mean(0)[self._moves], targets.mean(0)
        inputs = (inputs[:, self._moves] - self._centre) / spread[self._moves]
        x, y = torch.from_numpy(inputs), torch.from_numpy(targets - self._mean)
        (weights,) = ridge(x, y, x, y, ridges=[penalty]).matrices
        self._weights = (weights.numpy() / spread[self._moves, None]).astype(np.float32)

    def __call__(self, p_mw: Reals, q_mvar: Reals) -> States:
        """States [rows, n] from what is injected at every bus [rows, n]."""
        inputs = (np.concatenate([p_mw, q_mvar], 1)[:, self._moves] - self._centre).astype(np.float32)
        answers = (inputs @ self._weights).astype(np.float64) + self._mean
        buses = p_mw.shape[1]
        return States(answers[:, :buses], answers[:, buses:])
