"""Solved power flows of a grid as a data set: injections in, voltage magnitudes and angles out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from umbel.core import Batch, Task, UmbelError
from umbel.data.source import MultiTaskData, TensorSource
from umbel.grids import Grid, Injections, Solved

SPLITS = ("train", "validation", "test")
MAGNITUDE, ANGLE = "magnitude", "angle"
_CONSTANT = 1e-7  # of the spread in training: less is the rounding of the solver


@dataclass(frozen=True, eq=False)
class GridSamples:
    """Power flows of one grid that a solver solved, dealt to splits.

    Attributes:
        grid: Of n buses.
        p_mw: [rows, n], injected active power.
        q_mvar: [rows, n], injected reactive power.
        voltages: Complex [rows, n], per unit; no NaN.
        day: [rows], what is dealt to a split as a whole.
        time: [rows], the step of the profiles.
        split: Split -> rows.
        unsolved: Split -> rows that the solver could not solve, which are in none.
        note: Where the injections come from.
        warnings: What a reader must know.
    """

    grid: Grid
    p_mw: NDArray[np.float64]
    q_mvar: NDArray[np.float64]
    voltages: NDArray[np.complex128]
    day: NDArray[np.int64]
    time: NDArray[np.int64]
    split: Mapping[str, NDArray[np.int64]]
    unsolved: Mapping[str, int]
    note: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in SPLITS:
            if len(self.split[name]) < 2:
                raise UmbelError(
                    f"{self.grid.name}: {len(self.split[name])} solved power flow(s) for {name}; take more rows"
                )

    @classmethod
    def of(cls, grid: Grid, injected: Injections, solved: Solved, seed: int = 0) -> "GridSamples":
        """Dealt to splits by whole days, 70 %, 10 % and 20 % of them; rows without a solution are counted and left out.

        Args:
            grid: That was solved.
            injected: Of all rows.
            solved: What came of them.
            seed: Of the choice of days.
        """
        parts = dict(zip(SPLITS, injected.split(seed=seed), strict=True))
        place = np.cumsum(solved.converged) - 1
        kept = {name: place[rows[solved.converged[rows]]] for name, rows in parts.items()}
        good = injected.chosen(solved.converged)
        return cls(
            grid,
            good.p_mw,
            good.q_mvar,
            solved.voltages[solved.converged],
            good.day,
            good.time,
            kept,
            {name: int((~solved.converged[rows]).sum()) for name, rows in parts.items()},
            injected.note,
            injected.warnings,
        )

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Which of [p_mw, q_mvar] vary in training: those that are inputs."""
        rows = self.split["train"]
        spread = np.concatenate([values[rows].std(0) for values in (self.p_mw, self.q_mvar)])
        specified = np.ones(2 * len(self.grid), dtype=bool)
        specified[self.grid.slack] = False
        specified[len(self.grid) + np.append(self.grid.pv, self.grid.slack)] = False
        return np.flatnonzero((spread > 1e-9) & specified)

    @cached_property
    def varying(self) -> NDArray[np.int64]:
        """Buses whose voltage magnitude varies in training: those of the task "magnitude"."""
        spread = np.abs(self.voltages[self.split["train"]]).std(0)
        return self.grid.pq[spread[self.grid.pq] > _CONSTANT]

    @cached_property
    def varying_places(self) -> NDArray[np.int64]:
        """Where the varying buses stand among the grid's PQ buses."""
        return np.flatnonzero(np.isin(self.grid.pq, self.varying))

    @cached_property
    def links(self) -> NDArray[np.int64]:
        """Branches whose angle difference varies in training."""
        b, angles = self.grid.branches, self.angles[self.split["train"]]
        return np.flatnonzero((angles[:, b.from_bus] - angles[:, b.to_bus]).std(0) > _CONSTANT)

    @cached_property
    def angles(self) -> NDArray[np.float64]:
        """[rows, n], degrees, each within half a turn of the base case."""
        base = self.grid.base_voltages
        return np.rad2deg(np.angle(self.voltages * np.conj(base)) + np.angle(base))

    def inputs(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """What varies of the injections of some rows: float32 [rows, F], MW and MVAr."""
        both = np.concatenate([self.p_mw[rows], self.q_mvar[rows]], axis=1)[:, self.columns]
        return torch.tensor(both, dtype=torch.float32)

    def targets(self, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Magnitudes of the varying buses, and angles of all but the slack: float64, per unit and degrees."""
        magnitudes = np.abs(self.voltages[rows])[:, self.varying]
        return {
            MAGNITUDE: torch.tensor(magnitudes),
            ANGLE: torch.tensor(self.angles[rows][:, self.grid.not_slack]),
        }

    @cached_property
    def _sources(self) -> dict[str, TensorSource]:
        parts = self.split.items()
        return {name: TensorSource(Batch(self.inputs(rows), self.targets(rows))) for name, rows in parts}

    def data(self, tasks: tuple[Task, ...]) -> MultiTaskData:
        """The data set for tasks whose targets are "magnitude", "angle", or derived from them."""
        days = ", ".join(f"{len(np.unique(self.day[self.split[name]]))} for {name}" for name in SPLITS)
        lost = sum(self.unsolved.values())
        warnings = self.warnings
        if lost:
            total = lost + sum(len(self.split[name]) for name in SPLITS)
            warnings = (*warnings, f"{lost} of {total} power flows have no solution that the solver finds; left out.")
        return MultiTaskData(
            self.grid.name,
            f"Power flows of {self.grid.name} ({len(self.grid)} buses, {len(self.grid.branches)} branches)",
            tasks,
            **self._sources,
            input_shape=(len(self.columns),),
            note=f"{self.note}. Whole days in one split each: {days}.",
            warnings=warnings,
        )
