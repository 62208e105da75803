"""What physics knows of a picture, as a map: depth, reflected light. Proxies that a main task learns beside."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from umbel import losses
from umbel.arguments import one_of, real_number, text
from umbel.core import Task, UmbelError

_ERRORS = {"squared": losses.squared_error, "absolute": losses.absolute_error}


@dataclass(frozen=True)
class _Contrasted(Task):
    """A task of maps, to whose loss at each pixel the contrastive depth loss comes.

    It is no part of `loss`, which does not see where labels are missing.
    """

    contrast: float = 0.0

    def _element_losses(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        own, mask = super()._element_losses(prediction, target)
        return own + self.contrast * losses.contrastive_depth(prediction, target), mask


def proxy_map(name: str, contrast: float = 0.0, error: Literal["squared", "absolute"] = "squared") -> Task:
    """A map of one number at each pixel, 0 or more, as depth or reflected light. Metrics: MAE, RMSE.

    Prediction: raw, float [B, 1, H, W]; what is below 0 is read as 0. Target: likewise; NaN is missing, a pixel or
    the whole map of a sample. Loss of a pixel: its error and `contrast` times `losses.contrastive_depth`.

    Args:
        name: Name of the task.
        contrast: How much differences between neighbours count beside the values themselves; 0 leaves them out.
        error: "squared", or "absolute" for maps of which most is 0 and few spots are bright.

    Raises:
        UmbelError: A negative contrast, or another error.
    """
    text(name, "the name of a task")
    contrast = real_number(contrast, f"task {name!r}: contrast")
    if contrast < 0:
        raise UmbelError(f"task {name!r}: contrast is {contrast:g}; it must be 0 or more")
    loss = _ERRORS[one_of(error, f"error of task {name!r}", _ERRORS)]
    return _Contrasted(
        name=name,
        outputs=1,
        loss=loss,
        metrics={"MAE": MeanAbsoluteError, "RMSE": partial(MeanSquaredError, squared=False)},
        higher_is_better=False,
        output="map",
        decode=_not_below_0,
        kind="proxy map",
        contrast=contrast,
    )


def _not_below_0(raw: Tensor) -> Tensor:
    return raw.float().clamp(min=0)
