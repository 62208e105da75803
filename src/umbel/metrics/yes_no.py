"""Metrics of yes/no answers whose 0/1 targets arrive as floats, so that NaN can stand for a missing one."""

from torch import Tensor
from torchmetrics.classification import BinaryAUROC, BinaryF1Score


class YesNoF1(BinaryF1Score):
    """F1 of flat probabilities at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add answers [n] with their targets [n], 0.0 or 1.0."""
        super().update(preds, target.round().long())


class YesNoAUROC(BinaryAUROC):
    """Area under the ROC curve, in 1,000 bins so that memory does not grow with the set."""

    def __init__(self) -> None:
        super().__init__(thresholds=1000, validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add answers [n] with their targets [n], 0.0 or 1.0."""
        super().update(preds, target.round().long())
