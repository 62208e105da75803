"""What is fitted in closed form before a network for power flows is trained, and what its outputs mean."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umbel.arguments import one_of
from umbel.core import Task
from umbel.data.grid_samples import ANGLE, MAGNITUDE, GridSamples
from umbel.grids import ChordSteps, Grid, Sensitivities
from umbel.nn import LinearMap, principal_components, ridge
from umbel.tasks import regression

DIFFERENCE = "difference"
"""Task of the angle differences over branches, which active power follows."""
Linear = Literal["ridge", "sensitivities", "none"]
_LEAST_SCALE = 1e-9
_ROWS = 256  # at a time, through the equations


@dataclass(frozen=True, eq=False)
class PowerFlowFrame:
    """What is fitted before a network is trained. Outputs are those of "magnitude", then those of "angle".

    Attributes:
        samples: What it was fitted to.
        input_centre: [F], of the training inputs.
        input_scale: [F], their spread.
        centre: [K], of the training targets.
        scale: [K], of one unit of the loss: what the linear part leaves over, or the targets' spread without it.
        difference_scale: [branches of `samples.links`], likewise of the angle differences.
        linear: Standardised inputs -> outputs in units of `scale` ("ridge"); None for "sensitivities" and "none".
        chord: Chord steps about the mean state of training.
        chord_state: Complex [n], that state.
        sensitivities: Those of the mean state, where they are the linear part.
        modes: Task -> [k, outputs], the principal components of what the network has to give; None: each output has a
            weight of its own.
        by_network: [outputs of "magnitude"], whether the network takes part; the linear part alone does the others.
    """

    samples: GridSamples
    input_centre: Tensor
    input_scale: Tensor
    centre: Tensor
    scale: Tensor
    difference_scale: Tensor
    linear: LinearMap | None
    chord: ChordSteps
    chord_state: NDArray[np.complex128]
    sensitivities: Sensitivities | None
    modes: dict[str, Tensor] | None
    by_network: NDArray[np.bool_]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those of magnitudes in per unit, of angles and of their differences in degrees."""
        samples, magnitudes = self.samples, len(self.samples.varying)
        grid, links = samples.grid, samples.links
        buses = [grid.bus_names[bus] for bus in samples.varying]
        angles = regression(ANGLE, len(grid.not_slack), self.centre[magnitudes:], self.scale[magnitudes:], unit="°")
        ends = torch.tensor(end_places(grid, links))

        def over_branches(batch: Any) -> Tensor:
            padded = nn.functional.pad(batch.targets[ANGLE], (0, 1), value=slack_angle(grid))
            return padded[:, ends[0]] - padded[:, ends[1]]

        padded = nn.functional.pad(self.centre[magnitudes:], (0, 1), value=slack_angle(grid))
        usual = padded[ends[0]] - padded[ends[1]]
        differences = regression(DIFFERENCE, len(links), usual, self.difference_scale, unit="°")
        return (
            regression(MAGNITUDE, magnitudes, self.centre[:magnitudes], self.scale[:magnitudes], buses, unit="pu"),
            angles,
            replace(differences, target=over_branches),
        )


def slack_angle(grid: Grid) -> float:
    """Of the slack's voltage, in degrees."""
    return float(np.rad2deg(np.angle(grid.base_voltages[grid.slack])))


def end_places(grid: Grid, links: NDArray[np.int64]) -> NDArray[np.int64]:
    """[2, links]: where the angles of both ends stand in the task's outputs; the slack's stands behind them."""
    place = np.empty(len(grid), dtype=np.int64)
    place[grid.not_slack] = np.arange(len(grid.not_slack))
    place[grid.slack] = len(grid.not_slack)
    return np.stack([place[grid.branches.from_bus[links]], place[grid.branches.to_bus[links]]])


def mean_state(samples: GridSamples) -> NDArray[np.complex128]:
    """Mean magnitudes and mean angles of training, with the magnitudes that generators hold and the slack as given.

    Not the mean of complex voltages: where angles vary, that is shorter than any of them, and a bus that hardly varies
    would be off by more than it ever is.
    """
    grid, train = samples.grid, samples.split["train"]
    magnitude = np.abs(grid.base_voltages)
    magnitude[grid.pq] = np.abs(samples.voltages[train]).mean(0)[grid.pq]
    voltages = magnitude * np.exp(1j * np.deg2rad(samples.angles[train].mean(0)))
    voltages[grid.slack] = grid.base_voltages[grid.slack]
    return voltages


def by_sensitivities(sensitivities: Sensitivities, samples: GridSamples, rows: NDArray[np.int64]) -> Tensor:
    """Outputs (per unit, degrees) of the equations made linear: float64 [rows, K]."""
    order = sensitivities.chord.order.numpy()
    parts = []
    for start in range(0, len(rows), _ROWS):
        chosen = rows[start : start + _ROWS]
        p, q = (torch.tensor(values[chosen][:, order].T) for values in (samples.p_mw, samples.q_mvar))
        parts.append(sensitivities(p, q).T)
    return as_outputs(torch.cat(parts), samples)


def as_outputs(unknown: Tensor, samples: GridSamples) -> Tensor:
    """From angles (radians) of all but the slack and magnitudes of PQ buses to outputs: [rows, K]."""
    angles = len(samples.grid.not_slack)
    magnitudes = unknown[:, angles + samples.varying_places]
    return torch.cat([magnitudes, unknown[:, :angles].rad2deg()], dim=1)


def power_flow_frame(
    samples: GridSamples,
    *,
    linear: Linear = "ridge",
    rank: int | None = None,
    steady: bool = False,
    modes: int | None = 64,
    tolerance: float = 1e-6,
) -> PowerFlowFrame:
    """Fit what needs no network: moments, the linear part, the modes, and which buses need more than the linear part.

    The linear part is ridge regression, its penalty chosen on validation, or the equations made linear at the mean
    state, whose sparse matrices are quicker on large grids. Modes are the principal components of what it leaves over
    in training, in units of each output's own remainder: errors of a network that speaks through modes keep to the
    grid's own patterns, which keeps the flows of branches with small impedance right.

    Args:
        samples: Training and validation rows are looked at.
        linear: "ridge", "sensitivities" or "none"; without it the network does all, in units of the targets' spread.
        rank: Of ridge's map; None leaves it whole. Large grids are quicker with a few hundred.
        steady: Whether ridge serves steady buses *instead* of the network, and the network does the others alone, as
            the paper's abstract has it; otherwise the network adds to the linear part.
        modes: Of each task; None gives each output weights of its own.
        tolerance: A bus whose |V| varies less than some amount is steady: left to the linear part. The amount is the
            largest for which the linear part's error on validation stays below this for all such buses. Per unit.
            Without a linear part the network does all.

    Raises:
        UmbelError: Another linear part.
    """
    kind = one_of(linear, "linear part", get_args(Linear))
    train, validation = (samples.split[name] for name in ("train", "validation"))
    x, x_validation = samples.inputs(train).double(), samples.inputs(validation).double()
    y, y_validation = (torch.cat(list(samples.targets(rows).values()), 1) for rows in (train, validation))
    input_centre, input_scale = x.mean(0), x.std(0)
    x, x_validation = (x - input_centre) / input_scale, (x_validation - input_centre) / input_scale
    centre, spread = y.mean(0), y.std(0).clamp(min=_LEAST_SCALE)
    state = mean_state(samples)
    chord = ChordSteps(samples.grid, state)
    sensitivities = Sensitivities(chord, state) if kind == "sensitivities" else None
    fitted = None
    guess, guess_validation = centre.expand_as(y), centre.expand_as(y_validation)
    if sensitivities is not None:
        guess, guess_validation = (by_sensitivities(sensitivities, samples, rows) for rows in (train, validation))
    if kind == "ridge":
        fitted = ridge(x, (y - centre) / spread, x_validation, (y_validation - centre) / spread, rank)
        guess, guess_validation = fitted(x) * spread + centre, fitted(x_validation) * spread + centre
    magnitudes = len(samples.varying)
    by_network = np.ones(magnitudes, dtype=bool)
    if kind != "none":
        error = (guess_validation - y_validation)[:, :magnitudes].square().mean(0).sqrt()
        by_network = _needs_network(spread[:magnitudes].numpy(), error.numpy(), tolerance)
    alone = torch.cat([torch.tensor(~by_network), torch.full((y.shape[1] - magnitudes,), False)])
    served = alone if steady else torch.full_like(alone, kind != "none")
    left = torch.where(served, y - guess, y - centre)
    scale = left.square().mean(0).sqrt().clamp(min=_LEAST_SCALE)
    left = torch.where(alone, 0.0, left / scale)
    return PowerFlowFrame(
        samples,
        input_centre,
        input_scale,
        centre,
        scale,
        _difference_scale(samples, left, scale),
        None if fitted is None else _in_units(fitted, torch.where(served, spread / scale, 0.0)),
        chord,
        state,
        sensitivities,
        None if modes is None else _modes(left, magnitudes, modes),
        by_network,
    )


def _in_units(fitted: LinearMap, factor: Tensor) -> LinearMap:
    """A linear map whose outputs are multiplied by factors."""
    return LinearMap([*fitted.matrices[:-1], fitted.matrices[-1] * factor], fitted.bias * factor)


def _modes(left: Tensor, magnitudes: int, count: int) -> dict[str, Tensor]:
    parts = {MAGNITUDE: left[:, :magnitudes], ANGLE: left[:, magnitudes:]}
    return {name: principal_components(part, count) for name, part in parts.items()}


def _difference_scale(samples: GridSamples, left: Tensor, scale: Tensor) -> Tensor:
    """Of what is left over of the angle differences."""
    magnitudes = len(samples.varying)
    ends = torch.tensor(end_places(samples.grid, samples.links))
    padded = nn.functional.pad(left[:, magnitudes:] * scale[magnitudes:], (0, 1))
    return (padded[:, ends[0]] - padded[:, ends[1]]).square().mean(0).sqrt().clamp(min=_LEAST_SCALE)


def _needs_network(variation: NDArray[np.float64], error: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """All buses from the least varying one on that the linear part gets wrong by more than the tolerance."""
    order = np.argsort(variation, kind="stable")
    wrong = np.flatnonzero(error[order] > tolerance)
    needs = np.zeros(len(variation), dtype=bool)
    needs[order[wrong[0] :] if len(wrong) else []] = True
    return needs


def fixed_tensors(frame: PowerFlowFrame) -> dict[str, Tensor]:
    """Everything of a frame that a model keeps beside its weights."""
    samples = frame.samples
    grid, train = samples.grid, samples.split["train"]
    usual = np.concatenate([samples.p_mw[train].mean(0), samples.q_mvar[train].mean(0)])
    fixed = {
        "input_centre": frame.input_centre.float(),
        "input_scale": frame.input_scale.float(),
        "centre": frame.centre,
        "scale": frame.scale,
        "difference_scale": frame.difference_scale,
        "by_network": torch.tensor(frame.by_network, dtype=torch.float32),
        "columns": torch.tensor(samples.columns),
        "varying": torch.tensor(samples.varying),
        "not_slack": torch.tensor(grid.not_slack),
        "ends": torch.tensor(end_places(grid, samples.links)),
        "mean_magnitude": torch.tensor(np.abs(frame.chord_state)),
        "mean_angle": torch.full((len(grid),), np.deg2rad(slack_angle(grid)), dtype=torch.float64),
        "usual": torch.tensor(usual),
    }
    if frame.modes is not None:
        fixed |= {f"modes_{name}": modes.float() for name, modes in frame.modes.items()}
    return fixed
