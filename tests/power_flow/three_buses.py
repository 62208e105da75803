"""A grid of three buses, made by hand: a slack, a generator, a load; two lines and a transformer that shifts by 2°."""

from dataclasses import replace
from functools import cache

import numpy as np

from umbel.grids import Branches, Grid, Solver, States


@cache
def three_buses() -> Grid:
    series, charging = 1 / (0.01 + 0.1j), 0.02j
    ratio = 0.98 * np.exp(1j * np.deg2rad([0, 0, 2]))
    ratio[:2] = 1
    diagonal = np.full(3, series + charging)
    branches = Branches(
        np.array([0, 1, 0]), np.array([1, 2, 2]), diagonal / abs(ratio) ** 2, -series / ratio.conj(), -series / ratio,
        diagonal, np.array([0.5, np.nan, 0.4]), ("line", "line", "trafo"), np.array([0, 1, 0]), ("a", "b", "c"),
    )  # fmt: skip
    flat = np.array([1.02, 1.01, 1.0], complex)
    p, q = np.array([0.0, 40.0, -60.0]), np.array([0.0, 0.0, -20.0])
    grid = Grid(
        "three", 100.0, ("x", "y", "z"), np.arange(3), np.full(3, 110.0), np.array([0, 0, 0.01 + 0.05j]), branches,
        0, np.array([1]), np.array([2]), flat, p, q, np.zeros((3, 2)),
    )  # fmt: skip
    return replace(grid, base_voltages=Solver(grid).solve(p[None], q[None], start="flat").voltages[0])


def injections(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(p_mw, q_mvar), each [rows, 3], around the base case."""
    grid, generator = three_buses(), np.random.default_rng(seed)
    factors = 1 + 0.2 * generator.standard_normal((2, rows, 3))
    return grid.base_p_mw * factors[0], grid.base_q_mvar * factors[1]


@cache
def solved(rows: int, seed: int = 0) -> States:
    return Solver(three_buses()).solve(*injections(rows, seed)).states
