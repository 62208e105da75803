"""What is fitted in closed form before a network for power flows is trained, and what its outputs mean."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from umbel.core import Task
from umbel.data.grid_samples import ANGLE, MAGNITUDE, GridSamples
from umbel.grids import Grid
from umbel.nn import LinearMap, principal_components, ridge
from umbel.tasks import regression

DIFFERENCE = "difference"
"""Task of the angle differences over branches, which active power follows."""
_LEAST_SCALE = 1e-9


@dataclass(frozen=True, eq=False)
class PowerFlowFrame:
    """What is fitted in closed form before a network is trained, and what the network's outputs mean.

    Outputs are those of "magnitude", then those of "angle".

    Attributes:
        samples: What it was fitted to.
        input_centre: [F], of the training inputs.
        input_scale: [F], their spread.
        centre: [K], of the training targets.
        scale: [K], of one unit of the loss: what the linear map leaves over, or the targets' spread without it.
        difference_scale: [branches of `samples.links`], likewise of the angle differences.
        linear: Standardised inputs -> outputs in units of `scale`; None where the network does all.
        modes: Task -> [k, outputs], the principal components of what the network has to give; None: each output has a
            weight of its own.
        by_network: [outputs of "magnitude"], whether the network takes part; the linear map alone does the others.
    """

    samples: GridSamples
    input_centre: Tensor
    input_scale: Tensor
    centre: Tensor
    scale: Tensor
    difference_scale: Tensor
    linear: LinearMap | None
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
        differences = regression(
            DIFFERENCE, len(links), padded[ends[0]] - padded[ends[1]], self.difference_scale, unit="°"
        )
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


def power_flow_frame(
    samples: GridSamples,
    *,
    residual: bool = True,
    rank: int | None = None,
    modes: int | None = 64,
    tolerance: float = 1e-6,
) -> PowerFlowFrame:
    """Fit what needs no network: moments, the linear map, the modes, and which buses need more than the linear map.

    The linear map is ridge regression, its penalty chosen on validation. Modes are the principal components of what it
    leaves over in training, in units of each output's own remainder: errors of a network that speaks through modes keep
    to the grid's own patterns, which keeps the flows of branches with small impedance right.

    Args:
        samples: Training and validation rows are looked at.
        residual: Whether there is a linear map; else the network does all, in units of the targets' spread.
        rank: Of the linear map; None leaves it whole. Large grids are quicker with a few hundred.
        modes: Of each task; None gives each output weights of its own.
        tolerance: A bus whose |V| varies less than some amount is left to the linear map; the amount is the largest for
            which the map's error on validation stays below this for all such buses. Per unit. Without a linear map
            the network does all.
    """
    train, validation = (samples.split[name] for name in ("train", "validation"))
    x, x_validation = samples.inputs(train).double(), samples.inputs(validation).double()
    y, y_validation = (torch.cat(list(samples.targets(rows).values()), 1) for rows in (train, validation))
    input_centre, input_scale = x.mean(0), x.std(0)
    x, x_validation = (x - input_centre) / input_scale, (x_validation - input_centre) / input_scale
    centre, spread = y.mean(0), y.std(0).clamp(min=_LEAST_SCALE)
    y, y_validation = (y - centre) / spread, (y_validation - centre) / spread
    magnitudes = len(samples.varying)
    linear, left, scale = None, y, spread
    by_network = np.ones(magnitudes, dtype=bool)
    if residual:
        fitted = ridge(x, y, x_validation, y_validation, rank)
        left = y - fitted(x)
        unit = left.square().mean(0).sqrt().clamp(min=_LEAST_SCALE)
        scale, left = spread * unit, left / unit
        linear = LinearMap([*fitted.matrices[:-1], fitted.matrices[-1] / unit], fitted.bias / unit)
        error = ((y_validation - fitted(x_validation)) * spread)[:, :magnitudes].square().mean(0).sqrt()
        by_network = _needs_network(spread[:magnitudes].numpy(), error.numpy(), tolerance)
    left = left * torch.cat([torch.tensor(by_network), torch.ones(y.shape[1] - magnitudes, dtype=torch.bool)])
    parts = {MAGNITUDE: left[:, :magnitudes], ANGLE: left[:, magnitudes:]}
    ends = torch.tensor(end_places(samples.grid, samples.links))
    padded = nn.functional.pad(left[:, magnitudes:] * scale[magnitudes:], (0, 1))
    differences = (padded[:, ends[0]] - padded[:, ends[1]]).square().mean(0).sqrt().clamp(min=_LEAST_SCALE)
    return PowerFlowFrame(
        samples,
        input_centre,
        input_scale,
        centre,
        scale,
        differences,
        linear,
        None if modes is None else {name: principal_components(part, modes) for name, part in parts.items()},
        by_network,
    )


def _needs_network(variation: NDArray[np.float64], error: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """All buses from the least varying one on that the linear map gets wrong by more than the tolerance."""
    order = np.argsort(variation, kind="stable")
    wrong = np.flatnonzero(error[order] > tolerance)
    needs = np.zeros(len(variation), dtype=bool)
    needs[order[wrong[0] :] if len(wrong) else []] = True
    return needs


def held_voltages(grid: Grid, mean: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The mean state with the magnitudes that generators hold, and the slack as it is given."""
    held = np.abs(grid.base_voltages) * np.exp(1j * np.angle(mean))
    held[grid.slack] = grid.base_voltages[grid.slack]
    return held


def fixed_tensors(frame: PowerFlowFrame) -> dict[str, Tensor]:
    """Everything of a frame that a model keeps beside its weights."""
    samples = frame.samples
    grid, train = samples.grid, samples.split["train"]
    mean = np.abs(samples.voltages[train]).mean(0)
    mean[np.append(grid.pv, grid.slack)] = np.abs(grid.base_voltages)[np.append(grid.pv, grid.slack)]
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
        "mean_magnitude": torch.tensor(mean),
        "mean_angle": torch.full((len(grid),), np.deg2rad(slack_angle(grid)), dtype=torch.float64),
        "usual": torch.tensor(usual),
    }
    if frame.modes is not None:
        fixed |= {f"modes_{name}": modes.float() for name, modes in frame.modes.items()}
    return fixed
