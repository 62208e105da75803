"""What power flow networks are compared with, where it is no network: ridge, squares, and the equations alone."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from umbel.core import UmbelError
from umbel.methods.power_flow import PowerFlowModel
from umbel.methods.power_flow_frame import PowerFlowFrame
from umbel.nn import LinearMap, principal_components, ridge


def ridge_alone(frame: PowerFlowFrame) -> PowerFlowModel:
    """The linear part of a frame, with a network that gives nothing.

    Raises:
        UmbelError: The frame has no linear part.
    """
    if frame.linear is None and frame.sensitivities is None:
        raise UmbelError("a frame without a linear part predicts nothing before a network is trained")
    return PowerFlowModel(frame, width=1, depth=1)


class MeanState(PowerFlowModel):
    """The mean state of training for every row: with corrections, the solver that needs no training."""

    def __init__(self, frame: PowerFlowFrame) -> None:
        super().__init__(frame, width=1, depth=1)
        voltages = frame.chord_state
        self.register_buffer("magnitude", torch.tensor(np.abs(voltages)), persistent=False)
        self.register_buffer("angle", torch.tensor(np.angle(voltages)), persistent=False)

    def states(self, p_mw: Tensor, q_mvar: Tensor, corrections: int = 1) -> tuple[Tensor, Tensor]:
        """The mean state after chord steps, for each row."""
        rows = len(p_mw)
        start: Any = (self.magnitude.repeat(rows, 1), self.angle.repeat(rows, 1))
        return self.corrected(*start, p_mw, q_mvar, corrections)


class QuadraticModel(PowerFlowModel):
    """Ridge, and a second ridge on the squares and products of the inputs' first principal components.

        y = A z + B vec(c cᵀ),   c the components of z

    The polynomial chaos of order two of the power flow literature, cut to the directions that matter.

    Args:
        frame: With ridge as its linear part.
        components: Their number; of several, the one that is best on validation.

    Raises:
        UmbelError: The frame has another linear part.
    """

    def __init__(self, frame: PowerFlowFrame, components: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__(frame, width=1, depth=1)
        if self.linear is None:
            raise UmbelError("the quadratic model stands on ridge; give a frame with linear='ridge'")
        samples = frame.samples
        z, left = {}, {}
        for name in ("train", "validation"):
            rows = samples.split[name]
            z[name] = (samples.inputs(rows) - self.input_centre) / self.input_scale
            y = torch.cat(list(samples.targets(rows).values()), 1)
            with torch.no_grad():
                left[name] = (y - self.centre) / self.scale - self.linear(z[name])
        best = np.inf
        for count in components:
            lengths = principal_components(z["train"], count)
            directions = (lengths / lengths.square().sum(1, keepdim=True)).T.float()
            products = {name: self._products(part @ directions) for name, part in z.items()}
            fitted = ridge(products["train"], left["train"], products["validation"], left["validation"])
            error = float((fitted(products["validation"].double()) - left["validation"]).square().mean())
            if error < best:
                best, self._directions, self._squares = (
                    error,
                    directions,
                    LinearMap(fitted.matrices, fitted.bias).float(),
                )
                self.components = count

    @staticmethod
    def _products(c: Tensor) -> Tensor:
        """[B, k (k + 1) / 2], of all pairs."""
        first, second = torch.triu_indices(c.shape[1], c.shape[1])
        return c[:, first] * c[:, second]

    def _raw(self, x: Tensor) -> Tensor:
        z = (x - self.input_centre) / self.input_scale
        return self.linear(z) + self._squares(self._products(z @ self._directions))  # type: ignore[misc]
