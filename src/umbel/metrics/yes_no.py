"""F1 of yes/no answers whose 0/1 targets arrive as floats, so that NaN can stand for a missing one."""

from torch import Tensor
from torchmetrics.classification import BinaryF1Score


class YesNoF1(BinaryF1Score):
    """F1 of flat probabilities at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add answers [n] with their targets [n], 0.0 or 1.0."""
        super().update(preds, target.round().long())
