"""Chord steps of Newton's method: towards balance with one factorised Jacobian for all states."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import block_array, csr_array
from scipy.sparse.linalg import splu, spsolve_triangular
from torch import Tensor, nn

from umbel.errors import UmbelError
from umbel.grids.equations import jacobian
from umbel.grids.grid import Complexes, Grid

_DENSE_COLUMNS = 512  # of an inverse at a time, while it is made
_NOTHING = 1e-14


class ChordSteps(nn.Module):
    """x ← x - J⁻¹ (S(x) - S), with the Jacobian J of one state for all.

    Each step multiplies the error of a state near J's by a factor well below 1 (a linear rate, where Newton's own is
    quadratic). States that are far away, near the collapse of voltages, may move further off: look at
    `mismatch_mva` afterwards.

    J⁻¹ is kept as the *inverses of its two triangular factors*, which are sparse matrices: a grid is nearly a tree, and
    with an ordering of small fill each row of them holds the path to the root. So a step is three products with sparse
    matrices (Y, and the two), for a whole batch at once, without any loop over rows: for 1354 buses a twentieth of the
    operations of a dense inverse.

    States are columns here, [n, B], because sparse products want it so, and their rows are in `order`: PV buses, PQ
    buses, the slack; what is unknown is then a slice. Mismatches and states are in double precision, because small
    impedances magnify rounding; the solve is in float32, whose rounding is relative to the step.

    Args:
        grid: Of n buses.
        voltages: Complex [n], the state whose Jacobian is used: the mean of training states, say.

    Attributes:
        order: [n], the grid's buses in the order of rows here.

    Raises:
        UmbelError: A Jacobian that has no inverse.
    """

    order: Tensor

    def __init__(self, grid: Grid, voltages: Complexes) -> None:
        super().__init__()
        self.base_mva, self.buses, self.held = grid.base_mva, len(grid), len(grid.pv)
        order = np.append(grid.not_slack, grid.slack)
        y = grid.admittance[order][:, order]
        both = block_array([[y.real, -y.imag], [y.imag, y.real]]).tocsr()
        self.admittance = _torch_csr(both, torch.float64)
        self.factors = [_torch_csr(factor, torch.float32) for factor in _inverse_factors(grid, voltages)]
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def missing(self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor) -> Tensor:
        """Power that the states inject less what is specified, in per unit: float64 [unknowns, B].

        Active power at all buses but the slack, then reactive power at PQ buses.

        Args:
            magnitude: float64 [n, B], per unit, rows in `order`, as in all that follow.
            angle: float64 [n, B], radians.
            p_mw: float64 [n, B]; that of the slack is not looked at.
            q_mvar: Likewise; that of PV buses is not looked at either.
        """
        n, first = self.buses, self.held
        rectangular = magnitude.new_empty(2 * n, magnitude.shape[1])
        torch.mul(magnitude, angle.cos(), out=rectangular[:n])
        torch.mul(magnitude, angle.sin(), out=rectangular[n:])
        current = self.admittance @ rectangular
        real, imaginary, i_real, i_imaginary = rectangular[:n], rectangular[n:], current[:n], current[n:]
        missing = magnitude.new_empty(2 * n - 2 - first, magnitude.shape[1])
        p, q = missing[: n - 1], missing[n - 1 :]
        torch.mul(p_mw[:-1], -1 / self.base_mva, out=p).addcmul_(real[:-1], i_real[:-1])
        p.addcmul_(imaginary[:-1], i_imaginary[:-1])
        torch.mul(q_mvar[first:-1], -1 / self.base_mva, out=q).addcmul_(imaginary[first:-1], i_real[first:-1])
        q.addcmul_(real[first:-1], i_imaginary[first:-1], value=-1)
        return missing

    def solve(self, missing: Tensor) -> Tensor:
        """J⁻¹ times columns: float32 [unknowns, B]."""
        lower, upper = self.factors
        return upper @ (lower @ missing)

    @torch.no_grad()
    def forward(
        self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor, steps: int
    ) -> tuple[Tensor, Tensor]:
        """States after some steps; without gradients.

        Args:
            magnitude: float64 [n, B], per unit; those of the slack and of PV buses are kept.
            angle: float64 [n, B], radians; that of the slack is kept.
            p_mw: As in `missing`.
            q_mvar: Likewise.
            steps: 0 or more.
        """
        if steps:
            magnitude, angle = magnitude.clone(), angle.clone()
        angles = self.buses - 1
        for _ in range(steps):
            step = self.solve(self.missing(magnitude, angle, p_mw, q_mvar).float())
            angle[:-1] -= step[:angles]
            magnitude[self.held : -1] -= step[angles:]
        return magnitude, angle

    def mismatch_mva(self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor) -> Tensor:
        """The greatest apparent power that is missing at a bus, in MVA: [B]; as `GridEquations.mismatch_mva`."""
        squares = self.missing(magnitude, angle, p_mw, q_mvar).square_()
        squares[self.held : self.buses - 1] += squares[self.buses - 1 :]
        return self.base_mva * squares[: self.buses - 1].amax(0).sqrt()


def _inverse_factors(grid: Grid, voltages: Complexes) -> Sequence[csr_array]:
    """Two sparse matrices whose product is the inverse of the Jacobian; the permutations are in them."""
    try:
        factors = splu(
            jacobian(grid, voltages), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
    except RuntimeError:
        raise UmbelError(f"{grid.name}: the Jacobian of the mean state is singular") from None
    rows, columns = factors.perm_r, factors.perm_c
    lower = _sparse_inverse(csr_array(factors.L), lower=True)[:, rows]
    upper = _sparse_inverse(csr_array(factors.U), lower=False)[columns]
    return csr_array(lower), csr_array(upper)


def _sparse_inverse(triangle: csr_array, lower: bool) -> csr_array:
    """The inverse of a triangular matrix, some columns at a time."""
    n, parts = triangle.shape[0], []
    for start in range(0, n, _DENSE_COLUMNS):
        unit = np.zeros((n, min(_DENSE_COLUMNS, n - start)))
        unit[np.arange(start, start + unit.shape[1]), np.arange(unit.shape[1])] = 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats
            dense = spsolve_triangular(triangle, unit, lower=lower)
        dense[np.abs(dense) < _NOTHING] = 0.0
        parts.append(csr_array(dense))
    return csr_array(block_array([parts]))


def _torch_csr(matrix: csr_array, dtype: torch.dtype) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support is in beta|invariant checks)")
        return torch.sparse_csr_tensor(
            torch.tensor(matrix.indptr.astype(np.int64)),
            torch.tensor(matrix.indices.astype(np.int64)),
            torch.tensor(matrix.data, dtype=dtype),
            matrix.shape,
            check_invariants=False,
        )
