"""A grid as numbers: buses, branches and shunts in per unit, free of any program for power flows.

    Y V = I,     S = V conj(I) / 1,     Y from the branches' two-ports and the buses' shunts

Everything is in per unit of `base_mva` unless a name says otherwise; angles are in radians.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from umbel.errors import UmbelError

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Branches:
    """Lines and transformers as two-ports: [I_from; I_to] = [[ff, ft], [tf, tt]] [V_from; V_to].

    Taps, phase shifts and charging are in the four admittances.

    Attributes:
        from_bus: [branches], places of buses in the grid.
        to_bus: Likewise.
        ff: Complex [branches].
        ft: Likewise.
        tf: Likewise.
        tt: Likewise.
        limit_ka: [branches], the current that a branch may carry, at its from side; NaN where none is known.
        kinds: "line" or "trafo" for each.
        rows: [branches], index of each in its table of the network it comes from.
        names: For tables and pictures.
    """

    from_bus: Whole
    to_bus: Whole
    ff: Complexes
    ft: Complexes
    tf: Complexes
    tt: Complexes
    limit_ka: Reals
    kinds: tuple[str, ...]
    rows: Whole
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.from_bus)


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid of one topology, and its solved base case.

    Attributes:
        name: Of the network, as "case300".
        base_mva: Of the per-unit system.
        bus_names: For tables and pictures.
        bus_rows: [buses], index of each bus in the network it comes from.
        bus_kv: [buses], nominal voltage.
        shunts: Complex [buses], admittance to ground.
        branches: Those in service.
        slack: The one bus whose voltage is given, and which balances the rest.
        pv: Buses whose |V| is held by a generator (without limits of reactive power).
        pq: All others.
        base_voltages: Complex [buses], the solved base case.
        base_p_mw: [buses], what is injected in the base case; 0 at the slack.
        base_q_mvar: Likewise; 0 at the slack and at `pv`.
        layout: [buses, 2], where to draw the buses.

    Raises:
        UmbelError: Buses that no branch connects to the slack.
    """

    name: str
    base_mva: float
    bus_names: tuple[str, ...]
    bus_rows: Whole
    bus_kv: Reals
    shunts: Complexes
    branches: Branches
    slack: int
    pv: Whole
    pq: Whole
    base_voltages: Complexes
    base_p_mw: Reals
    base_q_mvar: Reals
    layout: Reals

    def __post_init__(self) -> None:
        alone = [name for name, reached in zip(self.bus_names, self._reached(), strict=True) if not reached]
        if alone:
            raise UmbelError(
                f"{self.name}: {len(alone)} buses ({', '.join(alone[:3])}, ...) are not connected to the slack; "
                "give each island a network of its own, or take its buses out of service"
            )

    def _reached(self) -> NDArray[np.bool_]:
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - of no use but here

        b, n = self.branches, len(self)
        links = coo_array((np.ones(len(b)), (b.from_bus, b.to_bus)), shape=(n, n))
        _, part = connected_components(links, directed=False)
        return part == part[self.slack]

    def __len__(self) -> int:
        return len(self.bus_names)

    @cached_property
    def admittance(self) -> csr_array:
        """Y, complex [buses, buses]."""
        b, n = self.branches, np.arange(len(self))
        rows = np.concatenate([b.from_bus, b.from_bus, b.to_bus, b.to_bus, n])
        columns = np.concatenate([b.from_bus, b.to_bus, b.from_bus, b.to_bus, n])
        return csr_array(coo_array((np.concatenate([b.ff, b.ft, b.tf, b.tt, self.shunts]), (rows, columns))))

    @cached_property
    def not_slack(self) -> Whole:
        """Buses whose angle is unknown: `pv`, then `pq`."""
        return np.concatenate([self.pv, self.pq])

    @cached_property
    def fingerprint(self) -> str:
        """A checksum of the topology and of all admittances: another one for every grid that solves differently."""
        b = self.branches
        parts = [b.from_bus, b.to_bus, self.pv, self.pq, np.array([self.slack])]
        held = np.abs(self.base_voltages[self.pv]), self.base_voltages[[self.slack]]  # set-points, not what is solved
        rounded = [np.round(x, 9) + 0.0 for x in (b.ff, b.ft, b.tf, b.tt, self.shunts, *held)]
        digest = hashlib.sha256()
        for part in [*parts, *rounded, np.array([self.base_mva])]:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]
