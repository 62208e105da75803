"""Weights of classes, so that rare ones count as much as frequent ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from umbel.core import labelled


def balanced_weights(targets: Sequence[Tensor], classes: int) -> Tensor:
    """N / (C n_c) for each class c: what all samples of a class weigh together is the same for every class.

    This is scikit-learn's "balanced". A class without any label has weight 1.

    Args:
        targets: Class labels, any shape, in batches; negative is missing.
        classes: C.

    Returns:
        Double [C].
    """
    counts = torch.zeros(classes, dtype=torch.float64)
    for target in targets:
        counts += torch.bincount(target[labelled(target)].flatten(), minlength=classes)[:classes].double()
    return torch.where(counts > 0, counts.sum() / (classes * counts.clamp(min=1)), 1.0)


def weights_of(classes: Tensor, class_weights: Tensor) -> Tensor:
    """The weight of each label's class."""
    return class_weights.to(classes.device)[classes]
