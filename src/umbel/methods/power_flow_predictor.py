"""A trained power flow network, laid out for speed: a batch of injections needs a few products with matrices."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.data.grid_samples import ANGLE, MAGNITUDE
from umbel.grids import Grid, States
from umbel.methods.power_flow import PowerFlowModel
from umbel.nn import LinearMap


class PowerFlowPredictor:
    """What `PowerFlowModel.states` gives, several times as fast: a `Predict`.

    Standardisation and units are multiplied into the matrices; states are columns, as sparse products want them; rows
    are taken in chunks that stay in the processor's cache. The network is in float32, states are in double precision.

    Args:
        model: Trained. Later changes of its weights are not seen.
        corrections: Chord steps after the network.
        chunk: Rows at a time.

    Raises:
        UmbelError: Fewer than 0 corrections, or than 1 row.
    """

    def __init__(self, model: PowerFlowModel, corrections: int = 1, chunk: int = 128) -> None:
        if corrections < 0 or chunk < 1:
            raise UmbelError(f"{corrections} corrections, {chunk} rows at a time; give at least 0 and 1")
        self.grid: Grid = model.grid
        self.corrections, self.chunk, self.chord = corrections, chunk, model.chord
        self.order = self.chord.order.numpy()
        self._back = np.argsort(self.order)
        self._columns = model.columns.numpy()
        with torch.no_grad():
            self._trunk(model)
            self._outputs(model)
        ends = abs(self.grid.base_voltages), np.angle(self.grid.base_voltages)
        self._magnitude, self._angle = (torch.tensor(part[self.order])[:, None] for part in ends)

    def _trunk(self, model: PowerFlowModel) -> None:
        """Layers of the trunk, and one for both heads, as (weight, bias)."""
        layers = [part for part in model.encoder if isinstance(part, nn.Linear)]
        weights = [(layer.weight.double(), layer.bias.double()) for layer in layers]
        weights[0] = weights[0][0] / model.input_scale, weights[0][1]
        heads = [model.heads[name] for name in (ANGLE, MAGNITUDE)]
        self._squeezed = [head.out_features for head in heads]
        weights.append((torch.cat([h.weight for h in heads]).double(), torch.cat([h.bias for h in heads]).double()))
        self._layers = [(w.float().contiguous(), b.float()[:, None].contiguous()) for w, b in weights]
        self._centre = model.input_centre[:, None]

    def _outputs(self, model: PowerFlowModel) -> None:
        """From what heads and linear map give to unknowns: angles (radians), then magnitudes of all PQ buses."""
        n, held, m = len(self.grid), len(self.grid.pv), model.magnitudes
        place = np.empty(n, dtype=np.int64)
        place[self.order] = np.arange(n)
        rows = torch.tensor(place[model.varying.numpy()] - held)  # among magnitudes
        by_angle, by_magnitude = model.scale[m:].deg2rad(), model.scale[:m]
        spread = by_magnitude.new_zeros(n - 1 - held, m)
        spread[rows, torch.arange(m)] = by_magnitude
        self._from_modes = []
        for name, unit in ((ANGLE, torch.diag(by_angle)), (MAGNITUDE, spread * model.by_network)):
            modes = model.modes_of(name)
            self._from_modes.append((unit if modes is None else unit @ modes.T.double()).float().contiguous())
        unit = torch.zeros(2 * n - 2 - held, m + n - 1, dtype=torch.float64)
        unit[: n - 1, m:], unit[n - 1 :, :m] = torch.diag(by_angle), spread
        usual = model.mean_magnitude[self.order][held:-1].clone()
        usual[rows] = model.centre[:m]
        bias = torch.cat([model.centre[m:].deg2rad(), usual])
        self._linear: list[Tensor] = []
        self._sensitivities = model.sensitivities
        if isinstance(model.linear, LinearMap):
            *first, last = (matrix.double() for matrix in model.linear.matrices)
            bias = bias + unit @ model.linear.bias.double()
            parts = [*first, last @ unit.T]
            parts[0] = parts[0] / model.input_scale[:, None]
            self._linear = [part.T.float().contiguous() for part in parts]
        self._bias = bias.float()[:, None].contiguous()

    def __call__(self, p_mw: NDArray[np.float64], q_mvar: NDArray[np.float64]) -> States:
        """States of all rows.

        Args:
            p_mw: [rows, n], injected; that of the slack is not looked at.
            q_mvar: Likewise; looked at where |V| is not held.
        """
        return self.guarded(p_mw, q_mvar, mismatch=False)[0]

    def guarded(
        self, p_mw: NDArray[np.float64], q_mvar: NDArray[np.float64], mismatch: bool = True
    ) -> tuple[States, NDArray[np.float64]]:
        """States of all rows, and the greatest power that a bus of each misses, in MVA: [rows].

        Args:
            p_mw: As in a call.
            q_mvar: Likewise.
            mismatch: Whether the second is computed at all; NaN otherwise.
        """
        rows, n = p_mw.shape
        states = np.empty((2, rows, n))
        missing = np.full(rows, np.nan)
        for start in range(0, rows, self.chunk):
            part = slice(start, min(start + self.chunk, rows))
            p, q = torch.from_numpy(p_mw[part]), torch.from_numpy(q_mvar[part])
            magnitude, angle, ordered = self._chunk(p, q, self.corrections > 0 or mismatch)
            if mismatch:
                missing[part] = self.chord.mismatch_mva(magnitude, angle, *ordered).numpy()
            states[0, part] = magnitude.numpy()[self._back].T
            states[1, part] = angle.numpy()[self._back].T
        return States(*states), missing

    @torch.no_grad()
    def _chunk(self, p_mw: Tensor, q_mvar: Tensor, ordered: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Magnitudes and angles [n, B] in the order of the chord steps, and injections likewise."""
        both = torch.cat([p_mw, q_mvar], dim=1)
        x = both.T[self._columns].float() - self._centre
        injected = [part.T[self.order] for part in (p_mw, q_mvar)] if ordered or self._sensitivities else []
        unknown = self._unknown(x, injected)
        n, held = len(self.grid), self.chord.held
        magnitude = self._magnitude.repeat(1, x.shape[1])
        angle = self._angle.repeat(1, x.shape[1])
        angle[:-1] = unknown[: n - 1]
        magnitude[held:-1] = unknown[n - 1 :]
        if self.corrections:
            magnitude, angle = self.chord(magnitude, angle, *injected, self.corrections)
        return magnitude, angle, injected

    def _unknown(self, x: Tensor, injected: list[Tensor]) -> Tensor:
        """Angles and magnitudes of PQ buses: [unknowns, B]."""
        hidden = x
        for number, (weight, bias) in enumerate(self._layers):
            hidden = torch.addmm(bias, weight, hidden)
            if number + 1 < len(self._layers):
                hidden = nn.functional.silu(hidden, inplace=True)
        if self._linear:
            *first, last = self._linear
            given = first[0] @ x if first else x
            unknown = torch.addmm(self._bias, last, given)
        elif self._sensitivities is not None:
            unknown = self._sensitivities(*injected)
        else:
            unknown = self._bias.repeat(1, x.shape[1])
        angles = len(self.grid) - 1
        parts = zip((slice(angles), slice(angles, None)), hidden.split(self._squeezed), self._from_modes, strict=True)
        for rows, given, modes in parts:
            if unknown.dtype == torch.float32:
                unknown[rows].addmm_(modes, given)
            else:
                unknown[rows] += modes @ given
        return unknown
