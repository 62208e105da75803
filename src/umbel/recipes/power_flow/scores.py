"""How good predicted states are: of buses, of branches, and of what operators read off their distribution."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from umbel.data.grid_samples import GridSamples
from umbel.grids import Grid, States
from umbel.power_flow import branch_values

DRAWS = 100
"""Bootstrap draws of test days; the same for every arm and seed, so that their ratios are paired."""
MOVING_MW, MOVING_PU = 0.1, 1e-5
"""Branches and buses that vary less than this are left out of relative errors."""
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Truth:
    """Solved power flows that predictions are compared with.

    Attributes:
        grid: Of n buses.
        states: [rows, n]; without NaN.
        varying: Buses that are counted.
        day: [rows].
        low: The smallest |V| that is allowed.
        high: The greatest.
    """

    grid: Grid
    states: States
    varying: np.ndarray
    day: np.ndarray
    low: float
    high: float

    @classmethod
    def of(cls, samples: GridSamples, split: str, low: float, high: float) -> "Truth":
        """That of a split."""
        rows = samples.split[split]
        return cls(samples.grid, States.of(samples.voltages[rows]), samples.varying, samples.day[rows], low, high)

    @cached_property
    def flows(self) -> np.ndarray:
        """[rows, branches], MW at the from side."""
        return branch_values(self.grid, self.states)[0]

    @cached_property
    def moving(self) -> np.ndarray:
        """Branches whose flow varies."""
        return self.flows.std(0) > MOVING_MW

    @cached_property
    def magnitudes(self) -> np.ndarray:
        """[rows, varying buses]."""
        return self.states.magnitude[:, self.varying]

    @cached_property
    def weights(self) -> np.ndarray:
        """[draws, days]: how often each day is drawn."""
        days = len(np.unique(self.day))
        drawn = np.random.default_rng(0).integers(days, size=(DRAWS, days))
        return np.stack([np.bincount(row, minlength=days) for row in drawn]).astype(float)

    @cached_property
    def places(self) -> np.ndarray:
        """[rows], the place of each row's day."""
        return np.unique(self.day, return_inverse=True)[1]

    def by_day(self, values: np.ndarray) -> np.ndarray:
        """[days, ...]: sums over the rows of each day."""
        sums = np.zeros((self.weights.shape[1], *values.shape[1:]))
        np.add.at(sums, self.places, values)
        return sums


@dataclass(frozen=True, eq=False)
class Off:
    """By how much predicted states are off.

    Attributes:
        truth: Solved.
        states: Predicted, of the same rows.
    """

    truth: Truth
    states: States

    @cached_property
    def predicted(self) -> np.ndarray:
        """[rows, varying buses], predicted magnitudes."""
        return self.states.magnitude[:, self.truth.varying]

    @cached_property
    def magnitudes(self) -> np.ndarray:
        """[rows, varying buses], pu."""
        return self.predicted - self.truth.magnitudes

    @cached_property
    def angles(self) -> np.ndarray:
        """[rows, n], degrees."""
        return np.rad2deg(_turned(self.states.angle - self.truth.states.angle))

    @cached_property
    def flows(self) -> np.ndarray:
        """[rows, branches], MW at the from side."""
        return branch_values(self.truth.grid, self.states)[0] - self.truth.flows


def score(off: Off) -> Metrics:
    """All metrics: task -> metric -> value."""
    truth, angles, flows = off.truth, off.angles, off.flows
    b = truth.grid.branches
    differences = angles[:, b.from_bus] - angles[:, b.to_bus]
    relative = np.sqrt((flows[:, truth.moving] ** 2).mean(0)) / truth.flows[:, truth.moving].std(0)
    return {
        "magnitude": {"RMSE": _rms(off.magnitudes), "greatest": float(np.abs(off.magnitudes).max())},
        "angle": {"RMSE": _rms(angles)},
        "difference": {"RMSE": _rms(differences)},
        "flow": {"nRMSE": float(relative.mean()), "RMSE": _rms(flows)},
        "distribution": distribution_errors(truth, off.predicted),
    }


def distribution_errors(truth: Truth, magnitudes: np.ndarray) -> dict[str, float]:
    """How far the distribution of |V| is off: of another sample of states [any rows, varying buses], too."""
    true = truth.magnitudes
    spread = true.std(0)
    moves = spread > MOVING_PU
    ours, theirs = (_quantiles(part) for part in (magnitudes, true))
    outside = [100 * ((part < truth.low) | (part > truth.high)).mean(0) for part in (magnitudes, true)]
    return {
        "std error": float(100 * np.abs(magnitudes.std(0)[moves] / spread[moves] - 1).mean()),
        "quantile error": float(np.abs(ours - theirs).max()),
        "mean quantile error": float(np.abs(ours - theirs).mean()),
        "mean error": float(np.abs(magnitudes.mean(0) - true.mean(0)).max()),
        "violation error": float(np.abs(outside[0] - outside[1]).max()),
    }


def on_drawn_days(off: Off, quantiles: bool) -> dict[str, list[float]]:
    """Metrics on `DRAWS` draws of whole days with replacement: name -> a number for each draw, to five digits.

    Args:
        off: On the test days.
        quantiles: Whether errors of quantiles are among them, which takes longest.
    """
    truth = off.truth
    w, counts = truth.weights, truth.by_day(np.ones(len(truth.day)))
    rows = w @ counts
    flows = off.flows[:, truth.moving]
    by_branch = np.sqrt((w @ truth.by_day(flows**2)) / rows[:, None]) / truth.flows[:, truth.moving].std(0)
    columns = {
        "magnitude": np.sqrt((w @ truth.by_day((off.magnitudes**2).mean(1))) / rows),
        "angle": np.sqrt((w @ truth.by_day((off.angles**2).mean(1))) / rows),
        "flow": by_branch.mean(1),
        "std error": 100 * _std_errors(truth, off.predicted, rows),
    }
    if quantiles:
        columns["quantile error"] = _quantile_errors(truth, off.predicted)
    return {name: [float(f"{value:.5g}") for value in values] for name, values in columns.items()}


def _std_errors(truth: Truth, magnitudes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean relative error of the standard deviation in each draw."""
    moves = truth.magnitudes.std(0) > MOVING_PU

    def spread(values: np.ndarray) -> np.ndarray:
        centred = values[:, moves] - truth.magnitudes[:, moves].mean(0)
        mean = truth.weights @ truth.by_day(centred) / rows[:, None]
        return np.sqrt(np.maximum(truth.weights @ truth.by_day(centred**2) / rows[:, None] - mean**2, 0.0))

    true = spread(truth.magnitudes)
    return np.abs(spread(magnitudes) / np.maximum(true, 1e-12) - 1).mean(1)


def _quantile_errors(truth: Truth, magnitudes: np.ndarray) -> np.ndarray:
    """Greatest error of the 1 and 99 % points over buses in each draw."""
    days = [np.flatnonzero(truth.places == day) for day in range(truth.weights.shape[1])]
    errors = []
    for drawn in truth.weights.astype(int):
        rows = np.concatenate([np.tile(days[day], times) for day, times in enumerate(drawn) if times])
        errors.append(np.abs(_quantiles(magnitudes[rows]) - _quantiles(truth.magnitudes[rows])).max())
    return np.array(errors)


def _quantiles(values: np.ndarray) -> np.ndarray:
    """1 and 99 % points of each column, without interpolation: [2, columns]."""
    places = [int(0.01 * (len(values) - 1)), int(np.ceil(0.99 * (len(values) - 1)))]
    return np.partition(values, places, axis=0)[places]


def _turned(radians: np.ndarray) -> np.ndarray:
    """Within half a turn."""
    return np.angle(np.exp(1j * radians)) if np.abs(radians).max() > np.pi else radians


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
