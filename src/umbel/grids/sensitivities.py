"""The equations of power flow made linear at one state: what changes per megawatt, without any data to learn from."""

import numpy as np
import torch
from torch import Tensor, nn

from umbel.grids.chord import ChordSteps
from umbel.grids.grid import Complexes


class Sensitivities(nn.Module):
    """u = u₀ - J⁻¹ (S(u₀) - S): the first chord step from one state, at the cost of its solve alone.

    Args:
        chord: Whose J; its state should be the same.
        voltages: Complex [n], the state u₀ in the order of the grid's buses.
    """

    state: Tensor
    injected: Tensor

    def __init__(self, chord: ChordSteps, voltages: Complexes) -> None:
        super().__init__()
        self.chord = chord
        ordered = voltages[chord.order.cpu().numpy()]
        magnitude, angle = (torch.tensor(part)[:, None] for part in (np.abs(ordered), np.angle(ordered)))
        nothing = torch.zeros_like(magnitude)
        self.register_buffer("injected", chord.missing(magnitude, angle, nothing, nothing), persistent=False)
        self.register_buffer("state", torch.cat([angle[:-1], magnitude[chord.held : -1]]), persistent=False)

    def forward(self, p_mw: Tensor, q_mvar: Tensor) -> Tensor:
        """Angles (radians) of all buses but the slack, then magnitudes (per unit) of PQ buses: float64 [unknowns, B].

        Args:
            p_mw: float64 [n, B], rows in `chord.order`.
            q_mvar: Likewise.
        """
        specified = torch.cat([p_mw[:-1], q_mvar[self.chord.held : -1]]) / self.chord.base_mva
        return self.state - self.chord.solve((self.injected - specified).float())
