"""Branches as π circuits behind an ideal transformer, as programs for power flows want them.

ff = (y + s/2) / k² + rest,    ft = -y e^(jθ) / k,    tf = -y e^(-jθ) / k,    tt = y + s/2
"""

from dataclasses import dataclass

import numpy as np

from umbel.grids import Branches
from umbel.grids.grid import Complexes, Reals

_STRAIGHT = 1e-6  # radians; a smaller phase shift is rounding


@dataclass(frozen=True, eq=False)
class PiCircuits:
    """Series and shunt admittance of each branch, in per unit, behind a transformer at its from side.

    Attributes:
        series: y, complex [branches].
        shunt: s, of both ends together.
        ratio: k.
        shift: θ, radians.
        rest: Complex [branches], what is left at the from side; 0 for usual lines and transformers.
    """

    series: Complexes
    shunt: Complexes
    ratio: Reals
    shift: Reals
    rest: Complexes

    @classmethod
    def of(cls, branches: Branches) -> "PiCircuits":
        """The circuits of two-ports.

        A shift of θ and one of θ + 180° with -y are the same two-port. The one is taken whose y is that of a usual
        branch, so that models which read x and θ apart (direct current) see a transformer of 150° and not a negative
        reactance.
        """
        ratio = np.sqrt(np.abs(branches.tt / branches.ff))
        shift = np.angle(branches.ft / branches.tf) / 2
        series = -branches.tf * ratio * np.exp(1j * shift)
        turned = (series.imag > 0) & ((series.real < 0) | (np.abs(shift) > _STRAIGHT))
        shift = np.where(turned, shift - np.copysign(np.pi, shift), shift)
        series = np.where(turned, -series, series)
        return cls(series, 2 * (branches.tt - series), ratio, shift, branches.ff - branches.tt / ratio**2)
