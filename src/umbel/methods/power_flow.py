"""Power flows predicted by a network: a linear map, what it leaves over, and steps of the exact equations.

Source: Chen, Zhang, "Variation-cognizant probabilistic power flow analysis via multi-task learning", 2022,
arXiv 2205.00598; residual form: the authors' abstract of "Physics-guided residual learning for probabilistic power
flow".
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from umbel.core import Learner, OneOf, OperatingPoint, PointModule, UmbelError, unknown
from umbel.data.grid_samples import ANGLE, MAGNITUDE
from umbel.methods.power_flow_frame import DIFFERENCE, PowerFlowFrame, as_outputs, fixed_tensors
from umbel.nn import LinearMap, seeded_start


class PowerFlowModel(PointModule):
    """Injections [B, F] in MW and MVAr -> raw predictions of "magnitude", "angle" and "difference".

        x ──► standardise ──┬──► linear map (fixed) ──────────────────────► + ──► magnitudes, angles ──► differences
                            └──► trunk ──┬─► head ─► modes of |V| (fixed) ──┤
                                         └─► head ─► modes of θ (fixed) ────┘

        y = A z + D_t H_t f(z),   then, `corrections` times:   v ← v - J⁻¹ (S(v) - S)

    The point's ``corrections`` is how many chord steps of the exact equations follow (`umbel.grids.ChordSteps`, J at
    the mean state of training); 0 in training and unless the point says otherwise.

    Differs from the paper (its abstract was at hand, its equations were not): the choice between linear map and network
    by the variation of |V| is kept, but the network adds to the linear map (residual form) and speaks through fixed
    modes; chord steps are ours.

    Args:
        frame: What was fitted before.
        width: Of the trunk's layers.
        depth: How many there are.
        seed: Of the random start.
    """

    def __init__(self, frame: PowerFlowFrame, width: int = 256, depth: int = 2, seed: int = 0) -> None:
        super().__init__()
        samples = frame.samples
        self.frame, self.grid = frame, samples.grid
        self.magnitudes = len(samples.varying)
        with seeded_start(seed, "trunk"):
            sizes = [len(samples.columns), *[width] * depth]
            layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
            self.encoder = nn.Sequential(*layers)
        outputs = {MAGNITUDE: self.magnitudes, ANGLE: len(self.grid.not_slack)}
        self.heads = nn.ModuleDict()
        for name, count in outputs.items():
            with seeded_start(seed, name):
                self.heads[name] = nn.Linear(width, count if frame.modes is None else len(frame.modes[name]))
            if frame.linear is not None or frame.sensitivities is not None:  # it starts as the linear part
                nn.init.zeros_(self.heads[name].weight)
                nn.init.zeros_(self.heads[name].bias)
        self.linear = None if frame.linear is None else LinearMap(frame.linear.matrices, frame.linear.bias).float()
        for name, value in fixed_tensors(frame).items():
            self.register_buffer(name, value, persistent=False)
        self.chord, self.sensitivities = frame.chord, frame.sensitivities

    def axes(self) -> Any:
        """Trained without corrections, evaluated with 0, 1 and 2."""
        return {"corrections": OneOf((0,), sweep=(0, 1, 2))}

    def forward(self, x: Tensor, point: OperatingPoint, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Raw predictions of all tasks, or of the named ones; float64 after corrections."""
        wanted = (MAGNITUDE, ANGLE, DIFFERENCE) if tasks is None else tuple(tasks)
        for name in wanted:
            if name not in (MAGNITUDE, ANGLE, DIFFERENCE):
                raise unknown("task", name, (MAGNITUDE, ANGLE, DIFFERENCE))
        raw = self._raw(x)
        if corrections := int(point.get("corrections", 0)):
            raw = self._as_raw(*self.corrected(*self._natural(raw), *self.specified(x), corrections))
        parts = {MAGNITUDE: raw[:, : self.magnitudes], ANGLE: raw[:, self.magnitudes :]}
        if DIFFERENCE in wanted:
            degrees = nn.functional.pad(parts[ANGLE] * self.scale[self.magnitudes :].to(raw.dtype), (0, 1))
            ends = self.ends
            parts[DIFFERENCE] = (degrees[:, ends[0]] - degrees[:, ends[1]]) / self.difference_scale.to(raw.dtype)
        return {name: parts[name] for name in wanted}

    def _raw(self, x: Tensor) -> Tensor:
        """Outputs in units of `scale` about `centre`, without corrections: [B, K]."""
        z = (x - self.input_centre) / self.input_scale
        hidden = self.encoder(z)
        parts = []
        for name in (MAGNITUDE, ANGLE):
            given, modes = self.heads[name](hidden), self.modes_of(name)
            parts.append(given if modes is None else given @ modes)
        parts[0] = parts[0] * self.by_network
        raw = torch.cat(parts, dim=1)
        if self.linear is not None:
            raw = raw + self.linear(z)
        if self.sensitivities is not None:
            p, q = (part[:, self.chord.order].T.contiguous() for part in self.specified(x))
            outputs = as_outputs(self.sensitivities(p, q).T, self.frame.samples)
            raw = raw + ((outputs - self.centre) / self.scale).float()
        return raw

    def modes_of(self, task: str) -> Tensor | None:
        """[k, outputs], what the head of a task speaks through; None where it does not."""
        return self._buffers.get(f"modes_{task}")

    def states(self, p_mw: Tensor, q_mvar: Tensor, corrections: int = 1) -> tuple[Tensor, Tensor]:
        """Voltage magnitudes (per unit) and angles (radians) of all buses: float64 [B, n].

        Args:
            p_mw: float64 [B, n], injected at every bus; that of the slack is not looked at.
            q_mvar: Likewise; looked at where |V| is not held.
            corrections: Chord steps.
        """
        x = torch.cat([p_mw, q_mvar], dim=1)[:, self.columns].float()
        magnitude, angle = self._natural(self._raw(x))
        return self.corrected(magnitude, angle, p_mw, q_mvar, corrections)

    def corrected(
        self, magnitude: Tensor, angle: Tensor, p_mw: Tensor, q_mvar: Tensor, steps: int
    ) -> tuple[Tensor, Tensor]:
        """States after some chord steps: float64 [B, n]."""
        if not steps:
            return magnitude, angle
        order = self.chord.order
        state = [part[:, order].T.contiguous() for part in (magnitude, angle, p_mw, q_mvar)]
        moved = self.chord(*state, steps)
        return tuple(part.T[:, order.argsort()] for part in moved)  # type: ignore[return-value]

    def specified(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All injections from the inputs and what did not vary in training: float64 [B, n] each."""
        both = self.usual.repeat(len(x), 1)
        both[:, self.columns] = x.double()
        return both[:, : len(self.grid)], both[:, len(self.grid) :]

    def _natural(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes (per unit) and angles (radians) of all buses."""
        values = raw.double() * self.scale + self.centre
        magnitude, angle = self.mean_magnitude.repeat(len(raw), 1), self.mean_angle.repeat(len(raw), 1)
        magnitude[:, self.varying] = values[:, : self.magnitudes]
        angle[:, self.not_slack] = values[:, self.magnitudes :].deg2rad()
        return magnitude, angle

    def _as_raw(self, magnitude: Tensor, angle: Tensor) -> Tensor:
        values = torch.cat([magnitude[:, self.varying], angle[:, self.not_slack].rad2deg()], dim=1)
        return (values - self.centre) / self.scale


def power_flow(
    frame: PowerFlowFrame, *, width: int = 256, depth: int = 2, difference: bool = True, seed: int = 0
) -> Learner:
    """A network for the power flows of one grid.

    Args:
        frame: Of `power_flow_frame`.
        width: Of the trunk.
        depth: Of the trunk.
        difference: Whether the angle differences over branches are a task, which any descent then weighs against the
            others.
        seed: Of the random start.

    Raises:
        UmbelError: A size below 1.
    """
    if width < 1 or depth < 1:
        raise UmbelError(f"power flow: a trunk of width {width} and depth {depth}; give at least 1 of both")
    tasks = frame.tasks if difference else frame.tasks[:-1]
    return Learner(PowerFlowModel(frame, width, depth, seed), tasks)
