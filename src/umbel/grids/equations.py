"""The exact equations of power flow on states: branch flows, injections, and how far a state is from balance.

    I_f = ff V_f + ft V_t,    I_t = tf V_f + tt V_t,    S_f = V_f conj(I_f),    S_t = V_t conj(I_t)
    S_i = sum of S over the ends of branches at bus i + |V_i|² conj(shunt_i)

Taps, phase shifts and charging are in the two-ports. All functions can be differentiated.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import block_array, csc_array, diags_array
from torch import Tensor, nn

from umbel.grids.grid import Complexes, Grid, Reals


class Flows(NamedTuple):
    """Power that enters each branch at its two ends, in MW and MVAr: each [B, branches]."""

    p_from: Tensor
    q_from: Tensor
    p_to: Tensor
    q_to: Tensor


class GridEquations(nn.Module):
    """The equations of one grid, for states of a type and on a device.

    Double precision is the default for a reason: a branch of very small impedance turns the rounding of a float32 angle
    into tenths of a megawatt.

    Args:
        grid: Of n buses.
        dtype: Of states and results.
    """

    from_bus: Tensor
    to_bus: Tensor
    ff_real: Tensor
    ff_imaginary: Tensor
    ft_real: Tensor
    ft_imaginary: Tensor
    tf_real: Tensor
    tf_imaginary: Tensor
    tt_real: Tensor
    tt_imaginary: Tensor
    shunt_real: Tensor
    shunt_imaginary: Tensor
    active: Tensor
    reactive: Tensor
    most_from: Tensor
    most_to: Tensor

    def __init__(self, grid: Grid, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        b, kv = grid.branches, grid.bus_kv
        self.base_mva = grid.base_mva
        self._keep("from_bus", b.from_bus)
        self._keep("to_bus", b.to_bus)
        for name in ("ff", "ft", "tf", "tt"):
            value = getattr(b, name)
            self._keep(f"{name}_real", value.real, dtype)
            self._keep(f"{name}_imaginary", value.imag, dtype)
        self._keep("shunt_real", grid.shunts.real, dtype)
        self._keep("shunt_imaginary", grid.shunts.imag, dtype)
        self._keep("most_from", _most_per_unit(b.limit_ka, kv[b.from_bus], grid.base_mva), dtype)
        # A limit in kA is that of the from side; through a transformer the current scales with the nominal voltages.
        at_to = b.limit_ka * kv[b.from_bus] / kv[b.to_bus]
        self._keep("most_to", _most_per_unit(at_to, kv[b.to_bus], grid.base_mva), dtype)
        active, reactive = np.ones(len(grid)), np.zeros(len(grid))
        active[grid.slack], reactive[grid.pq] = 0.0, 1.0
        self._keep("active", active, dtype)
        self._keep("reactive", reactive, dtype)

    def _keep(self, name: str, values: np.ndarray, dtype: torch.dtype | None = None) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=dtype), persistent=False)

    def _currents(self, magnitude: Tensor, angle: Tensor) -> tuple[Tensor, ...]:
        """Real and imaginary voltages and currents at both ends of each branch, in per unit."""
        real, imaginary = magnitude * angle.cos(), magnitude * angle.sin()
        fr, fi = real[:, self.from_bus], imaginary[:, self.from_bus]
        tr, ti = real[:, self.to_bus], imaginary[:, self.to_bus]
        from_r = self.ff_real * fr - self.ff_imaginary * fi + self.ft_real * tr - self.ft_imaginary * ti
        from_i = self.ff_real * fi + self.ff_imaginary * fr + self.ft_real * ti + self.ft_imaginary * tr
        to_r = self.tf_real * fr - self.tf_imaginary * fi + self.tt_real * tr - self.tt_imaginary * ti
        to_i = self.tf_real * fi + self.tf_imaginary * fr + self.tt_real * ti + self.tt_imaginary * tr
        return fr, fi, tr, ti, from_r, from_i, to_r, to_i

    def branch_powers(self, magnitude: Tensor, angle: Tensor) -> Flows:
        """Power into each branch at both ends.

        Args:
            magnitude: [B, n], per unit.
            angle: [B, n], radians.
        """
        fr, fi, tr, ti, from_r, from_i, to_r, to_i = self._currents(magnitude, angle)
        base = self.base_mva
        return Flows(
            base * (fr * from_r + fi * from_i),
            base * (fi * from_r - fr * from_i),
            base * (tr * to_r + ti * to_i),
            base * (ti * to_r - tr * to_i),
        )

    def loading(self, magnitude: Tensor, angle: Tensor) -> Tensor:
        """Current over what a branch may carry, the greater of its two ends: [B, branches]; NaN without a limit."""
        *_, from_r, from_i, to_r, to_i = self._currents(magnitude, angle)
        return torch.maximum(torch.hypot(from_r, from_i) / self.most_from, torch.hypot(to_r, to_i) / self.most_to)

    def injected(self, magnitude: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
        """What must be injected at every bus for this state: MW and MVAr, each [B, n]."""
        flows = self.branch_powers(magnitude, angle)
        squared = self.base_mva * magnitude.square()
        p = squared * self.shunt_real
        q = -squared * self.shunt_imaginary
        p = p.index_add(1, self.from_bus, flows.p_from).index_add(1, self.to_bus, flows.p_to)
        q = q.index_add(1, self.from_bus, flows.q_from).index_add(1, self.to_bus, flows.q_to)
        return p, q

    def mismatches(self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor) -> tuple[Tensor, Tensor]:
        """Injected by the state less what is specified: MW and MVAr, each [B, n]; 0 where nothing is specified.

        Active power is specified everywhere but at the slack, reactive power where |V| is not.
        """
        p, q = self.injected(magnitude, angle)
        return (p - p_mw) * self.active, (q - q_mvar) * self.reactive

    def mismatch_mva(self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor) -> Tensor:
        """The greatest apparent power that is missing at a bus, in MVA: [B]."""
        return torch.hypot(*self.mismatches(magnitude, angle, p_mw, q_mvar)).amax(1)


def _most_per_unit(limit_ka: Reals, kv: Reals, base_mva: float) -> Reals:
    """A limit of the current in per unit, at a side of this nominal voltage."""
    return limit_ka * np.sqrt(3.0) * kv / base_mva


def jacobian(grid: Grid, voltages: Complexes) -> csc_array:
    """How injections move with the state, in per unit and radians, at one state.

    Rows: active power at `grid.not_slack`, then reactive power at `grid.pq`. Columns: angles at `grid.not_slack`, then
    magnitudes at `grid.pq`.

    Args:
        grid: Of n buses.
        voltages: Complex [n].
    """
    y, unknown, pq = grid.admittance, grid.not_slack, grid.pq
    current = y @ voltages
    v, i, direction = (diags_array(x) for x in (voltages, current, voltages / np.abs(voltages)))
    by_angle = (1j * v @ (i - y @ v).conj()).tocsr()
    by_magnitude = (v @ (y @ direction).conj() + i.conj() @ direction).tocsr()
    blocks = [
        [by_angle[unknown][:, unknown].real, by_magnitude[unknown][:, pq].real],
        [by_angle[pq][:, unknown].imag, by_magnitude[pq][:, pq].imag],
    ]
    return csc_array(block_array(blocks))
