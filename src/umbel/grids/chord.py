"""Chord steps of Newton's method: towards balance with one factorised Jacobian for all states."""

import numpy as np
import torch
from torch import Tensor, nn

from umbel.errors import UmbelError
from umbel.grids.equations import GridEquations, jacobian
from umbel.grids.grid import Complexes, Grid

LARGEST = 8000
"""Unknowns up to which the inverse is kept as a dense matrix: 256 MB in float32."""


class ChordSteps(nn.Module):
    """x ← x - J⁻¹ (S(x) - S), with the Jacobian J of one state for all.

    Each step multiplies the error of a state near J's by a factor well below 1 (a linear rate, where Newton's own is
    quadratic), and costs one product with a matrix, which a batch does at the speed of the machine. States that are far
    away, near the collapse of voltages, may move further off: look at `GridEquations.mismatch_mva` afterwards.

    Mismatches and states are in double precision, because small impedances magnify rounding; the product is in float32,
    whose rounding is relative to the step.

    Args:
        grid: Of n buses.
        voltages: Complex [n], the state whose Jacobian is used: the mean of training states, say.

    Raises:
        UmbelError: A grid that is too large for a dense inverse, or a Jacobian that has none.
    """

    inverse: Tensor
    unknown: Tensor
    pq: Tensor

    def __init__(self, grid: Grid, voltages: Complexes) -> None:
        super().__init__()
        unknowns = len(grid.not_slack) + len(grid.pq)
        if unknowns > LARGEST:
            raise UmbelError(f"{grid.name}: {unknowns} unknowns; chord steps take grids of up to {LARGEST}")
        try:
            inverse = np.linalg.inv(jacobian(grid, voltages).toarray()) / grid.base_mva
        except np.linalg.LinAlgError:
            raise UmbelError(f"{grid.name}: the Jacobian of the mean state is singular") from None
        self.equations = GridEquations(grid)
        self.register_buffer("inverse", torch.tensor(inverse.T, dtype=torch.float32).contiguous(), persistent=False)
        self.register_buffer("unknown", torch.tensor(grid.not_slack), persistent=False)
        self.register_buffer("pq", torch.tensor(grid.pq), persistent=False)

    def forward(
        self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor, steps: int
    ) -> tuple[Tensor, Tensor]:
        """States after some steps.

        Args:
            magnitude: float64 [B, n], per unit; those of the slack and of PV buses are kept.
            angle: float64 [B, n], radians; that of the slack is kept.
            p_mw: float64 [B, n], what is specified.
            q_mvar: Likewise.
            steps: 0 or more.
        """
        angles = len(self.unknown)
        for _ in range(steps):
            p, q = self.equations.mismatches(magnitude, angle, p_mw, q_mvar)
            missing = torch.cat([p[:, self.unknown], q[:, self.pq]], dim=1).float()
            step = (missing @ self.inverse).double()
            angle = angle.index_add(1, self.unknown, step[:, :angles], alpha=-1)
            magnitude = magnitude.index_add(1, self.pq, step[:, angles:], alpha=-1)
        return magnitude, angle
