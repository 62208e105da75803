"""A trained power flow network, laid out for speed: a batch of injections needs a few products with matrices."""

import copy
import itertools
import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umbel.core import UmbelError
from umbel.data.grid_samples import ANGLE, MAGNITUDE
from umbel.grids import ChordSteps, Grid, Predict, Sensitivities, States
from umbel.methods.power_flow import PowerFlowModel
from umbel.methods.power_flow_frame import PowerFlowFrame
from umbel.nn import LinearMap

_ROWS = 512
_STATES = 45_000  # of buses in one chunk


def rows_at_once(buses: int) -> int:
    """Rows whose states stay in the processor's cache together: a power of two, 32 to 128.

    Products with matrices want many, and grids of a thousand buses want few.
    """
    return min(128, max(32, 2 ** int(math.log2(_STATES / buses))))


class _InChunks:
    """States of many rows, a chunk that stays in the processor's cache at a time; states are columns inside.

    Args:
        grid: Of n buses.
        chord: Its chord steps.
        corrections: Chord steps after what `_unknown` gives.
        chunk: Rows at a time; None: `rows_at_once`.

    Raises:
        UmbelError: Fewer than 0 corrections, or than 1 row.
    """

    def __init__(self, grid: Grid, chord: ChordSteps, corrections: int, chunk: int | None) -> None:
        chunk = rows_at_once(len(grid)) if chunk is None else chunk
        if corrections < 0 or chunk < 1:
            raise UmbelError(f"{corrections} corrections, {chunk} rows at a time; give at least 0 and 1")
        self.grid, self.chord, self.corrections, self.chunk = grid, chord, corrections, chunk
        self.order = chord.order.numpy()
        self._back = np.argsort(self.order)
        ends = abs(grid.base_voltages), np.angle(grid.base_voltages)
        self._magnitude, self._angle = (torch.tensor(part[self.order])[:, None] for part in ends)

    def _unknown(self, p_mw: Tensor, q_mvar: Tensor, injected: list[Tensor]) -> Tensor:
        """Angles of all buses but the slack, then magnitudes of PQ buses: [unknowns, B].

        Args:
            p_mw: [B, n], in the order of the grid.
            q_mvar: Likewise.
            injected: Both as [n, B], in the order of the chord steps.
        """
        raise NotImplementedError

    def on(self, grid: Grid, corrections: int) -> Self:
        """The same predictor whose corrections and mismatches are those of another grid with the same buses.

        For a known outage: the first guess is that of the usual grid, and the exact equations of the other one move it.

        Args:
            grid: With the same slack, PV and PQ buses.
            corrections: Chord steps, with the Jacobian of that grid at its base case.

        Raises:
            UmbelError: Another number or kind of buses, or fewer than 0 corrections.
        """
        same = (len(grid), grid.slack) == (len(self.grid), self.grid.slack)
        if not same or not (np.array_equal(grid.pv, self.grid.pv) and np.array_equal(grid.pq, self.grid.pq)):
            raise UmbelError(f"{grid.name} has other buses than {self.grid.name}; train a network for it")
        if corrections < 0:
            raise UmbelError(f"{corrections} corrections; give at least 0")
        other = copy.copy(self)
        other.corrections, other.chord = corrections, ChordSteps(grid, grid.base_voltages)
        return other

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
            magnitude, angle, injected = self._chunk(p, q)
            if mismatch:
                missing[part] = self.chord.mismatch_mva(magnitude, angle, *injected).numpy()
            states[0, part] = magnitude.numpy()[self._back].T
            states[1, part] = angle.numpy()[self._back].T
        return States(*states), missing

    @torch.no_grad()
    def _chunk(self, p_mw: Tensor, q_mvar: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Magnitudes and angles [n, B] in the order of the chord steps, and injections likewise."""
        injected = [part.T[self.order] for part in (p_mw, q_mvar)]
        unknown = self._unknown(p_mw, q_mvar, injected)
        magnitude = self._magnitude.repeat(1, len(p_mw))
        angle = self._angle.repeat(1, len(p_mw))
        angle[:-1] = unknown[: len(self.grid) - 1]
        magnitude[self.chord.held : -1] = unknown[len(self.grid) - 1 :]
        if self.corrections:
            magnitude, angle = self.chord(magnitude, angle, *injected, self.corrections)
        return magnitude, angle, injected


class PowerFlowPredictor(_InChunks):
    """What `PowerFlowModel.states` gives, several times as fast: a `Predict`.

    Standardisation and units are multiplied into the matrices; states are columns, as sparse products want them; rows
    are taken in chunks that stay in the processor's cache. The network is in float32, states are in double precision.

    Args:
        model: Trained. Later changes of its weights are not seen.
        corrections: Chord steps after the network.
        chunk: Rows at a time; None: `rows_at_once`.
        trunk_type: Of the trunk's products. In bfloat16 what the network adds is right to about a hundredth; it pays on
            processors that have instructions for it, and slows others down.

    Raises:
        UmbelError: Fewer than 0 corrections, or than 1 row.
    """

    def __init__(
        self,
        model: PowerFlowModel,
        corrections: int = 1,
        chunk: int | None = None,
        trunk_type: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(model.grid, model.chord, corrections, chunk)
        self._trunk_type = trunk_type
        self.chord_state = model.frame.chord_state
        self._columns = model.columns.numpy()
        with torch.no_grad():
            self._trunk(model)
            self._outputs(model)

    def tensors(self) -> dict[str, Tensor]:
        """All that is laid out, by name: what `of_tensors` makes the same predictor from."""
        layers = {f"layer_{at}_w": weight for at, (weight, _) in enumerate(self._layers)}
        layers |= {f"layer_{at}_b": bias for at, (_, bias) in enumerate(self._layers)}
        fixed = {
            "columns": torch.from_numpy(self._columns),
            "centre": self._centre,
            "bias": self._bias,
            "squeezed": torch.tensor(self._squeezed),
            "by_sensitivities": torch.tensor(self._sensitivities is not None),
        }
        several = {"from_modes": self._from_modes, "linear": self._linear}
        return (
            layers | fixed | {f"{name}_{at}": part for name, parts in several.items() for at, part in enumerate(parts)}
        )

    @classmethod
    def of_tensors(
        cls,
        grid: Grid,
        chord_state: NDArray[np.complex128],
        tensors: Mapping[str, Tensor],
        corrections: int = 1,
        chunk: int | None = None,
    ) -> "PowerFlowPredictor":
        """A predictor that was kept.

        Args:
            grid: Its grid.
            chord_state: As it was.
            tensors: Of `tensors`.
            corrections: Chord steps after the network.
            chunk: Rows at a time; None: `rows_at_once`.
        """
        new = cls.__new__(cls)
        chord = ChordSteps(grid, chord_state)
        _InChunks.__init__(new, grid, chord, corrections, chunk)
        new.chord_state = chord_state
        new._columns, new._squeezed = tensors["columns"].numpy(), tensors["squeezed"].tolist()
        new._centre, new._bias = tensors["centre"], tensors["bias"]
        new._sensitivities = Sensitivities(chord, chord_state) if tensors["by_sensitivities"] else None
        places = itertools.takewhile(lambda at: f"layer_{at}_w" in tensors, itertools.count())
        new._layers = [(tensors[f"layer_{at}_w"], tensors[f"layer_{at}_b"]) for at in places]
        new._trunk_type = new._layers[0][0].dtype
        new._from_modes = [tensors["from_modes_0"], tensors["from_modes_1"]]
        new._linear = [tensors[name] for name in ("linear_0", "linear_1") if name in tensors]
        return new

    def _trunk(self, model: PowerFlowModel) -> None:
        """Layers of the trunk, and one for both heads, as (weight, bias)."""
        layers = [part for part in model.encoder if isinstance(part, nn.Linear)]
        weights = [(layer.weight.double(), layer.bias.double()) for layer in layers]
        weights[0] = weights[0][0] / model.input_scale, weights[0][1]
        heads = [model.heads[name] for name in (ANGLE, MAGNITUDE)]
        self._squeezed = [head.out_features for head in heads]
        weights.append((torch.cat([h.weight for h in heads]).double(), torch.cat([h.bias for h in heads]).double()))
        kind = self._trunk_type
        self._layers = [(w.to(kind).contiguous(), b.to(kind)[:, None].contiguous()) for w, b in weights]
        self._centre = model.input_centre[:, None]

    def _outputs(self, model: PowerFlowModel) -> None:
        """From what heads and linear map give to unknowns: angles (radians), then magnitudes of all PQ buses."""
        n, held, m = len(self.grid), len(self.grid.pv), model.magnitudes
        rows = torch.tensor(model.frame.samples.varying_places)
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

    def _unknown(self, p_mw: Tensor, q_mvar: Tensor, injected: list[Tensor]) -> Tensor:
        x = torch.cat([p_mw, q_mvar], dim=1).T[self._columns].float() - self._centre
        hidden = x.to(self._trunk_type)
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
        parts = zip(
            (slice(angles), slice(angles, None)), hidden.float().split(self._squeezed), self._from_modes, strict=True
        )
        for rows, given, modes in parts:
            if unknown.dtype == torch.float32:
                unknown[rows].addmm_(modes, given)
            else:
                unknown[rows] += modes @ given
        return unknown


class StepsFromMean(_InChunks):
    """Chord steps from the mean state of training: what needs no network, at its own full speed.

    The first step is the equations made linear, at the cost of its solve alone.

    Args:
        frame: Whose mean state.
        steps: 1 or more.
        chunk: Rows at a time; None: `rows_at_once`.
    """

    def __init__(self, frame: PowerFlowFrame, steps: int, chunk: int | None = None) -> None:
        super().__init__(frame.samples.grid, frame.chord, steps - 1, chunk)
        self._sensitivities = Sensitivities(frame.chord, frame.chord_state)

    def _unknown(self, p_mw: Tensor, q_mvar: Tensor, injected: list[Tensor]) -> Tensor:
        return self._sensitivities(*injected)


def predictor(model: PowerFlowModel, corrections: int = 1) -> Predict:
    """The quickest `Predict` of a model: laid out for speed, or row by row of its own `states` where it is a variant.

    Args:
        model: Trained.
        corrections: Chord steps after the network.
    """
    if type(model) is PowerFlowModel:
        return PowerFlowPredictor(model, corrections)

    @torch.no_grad()
    def predict(p_mw: NDArray[np.float64], q_mvar: NDArray[np.float64]) -> States:
        chunks = [slice(start, start + _ROWS) for start in range(0, len(p_mw), _ROWS)]
        parts = [
            model.states(torch.from_numpy(p_mw[rows]), torch.from_numpy(q_mvar[rows]), corrections) for rows in chunks
        ]
        return States(*(torch.cat(some).double().numpy() for some in zip(*parts, strict=True)))

    return predict
