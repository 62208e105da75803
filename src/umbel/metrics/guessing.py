"""How well one label tells another."""

import torch
from torch import Tensor

from umbel.core import UmbelError


def guess_accuracy(known: Tensor, wanted: Tensor) -> float:
    """Accuracy of the best guess of one class from another: 1 where the known one determines the wanted one.

    Among the samples of each known class the commonest wanted class is guessed. With a known class that is always the
    same, it is the part of the commonest wanted class: what a guess is right for without knowing anything.

    Args:
        known: Classes, int64 [N], from 0.
        wanted: Likewise, of the same samples.

    Raises:
        UmbelError: No sample, other shapes, or a class below 0 (leave samples without a label out).
    """
    if known.ndim != 1 or known.shape != wanted.shape or not len(known):
        raise UmbelError(f"guess accuracy: labels of shapes {tuple(known.shape)} and {tuple(wanted.shape)}; give [N]")
    if int(known.min()) < 0 or int(wanted.min()) < 0:
        raise UmbelError("guess accuracy: a label is missing; leave samples without both labels out")
    counts = torch.zeros(int(known.max()) + 1, int(wanted.max()) + 1, dtype=torch.int64)
    counts.index_put_((known.long(), wanted.long()), torch.ones(len(known), dtype=torch.int64), accumulate=True)
    return float(counts.max(1).values.sum()) / len(known)
