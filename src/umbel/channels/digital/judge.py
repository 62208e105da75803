"""Whether a classifier at the receiver names the class right."""

from collections.abc import Callable

import torch
from torch import Tensor

from umbel.channels.digital.rate_table import RateTable
from umbel.errors import UmbelError

_BATCH = 200

Classifier = Callable[[Tensor], Tensor]
"""Pictures [B, C, H, W], float in 0 to 1 -> logits [B, K]."""


class Judge:
    """Whether a classifier names the class right, for any picture at any quality; each is classified once."""

    def __init__(self, table: RateTable, classifier: Classifier, labels: Tensor, fallback: Tensor) -> None:
        """Remembers what to ask.

        Args:
            table: The pictures.
            classifier: Pictures [B, C, H, W], float in 0 to 1 -> logits [B, K]. Put it into evaluation mode first.
            labels: Classes, int64 [N].
            fallback: Colour of a lost picture, float [C].

        Raises:
            UmbelError: Not one label for each picture, or labels missing.
        """
        if labels.shape != (len(table),) or bool((labels < 0).any()):
            raise UmbelError(f"labels of shape {tuple(labels.shape)}: one class for each of {len(table)} pictures")
        self.table, self.classifier, self.labels = table, classifier, labels
        lost = fallback[None, :, None, None].expand(1, -1, *table.pictures.shape[1:3])
        self._lost_is_right = self._right(lost, labels)
        self._known = torch.full_like(table.sizes, -1, dtype=torch.int8)

    def right(self, choice: Tensor) -> Tensor:
        """Whether the received picture is named right, bool [N]; for -1 the lost picture's answer counts."""
        cells = [(i, rung) for i, rung in enumerate(choice.tolist()) if rung >= 0 and self._known[i, rung] < 0]
        for start in range(0, len(cells), _BATCH):
            batch = cells[start : start + _BATCH]
            images, rungs = torch.tensor(batch).unbind(1)
            pictures = torch.stack([self.table.decoded(image, rung) for image, rung in batch])
            self._known[images, rungs] = self._right(pictures, self.labels[images]).to(torch.int8)
        known = self._known.gather(1, choice.clamp(min=0)[:, None]).squeeze(1) > 0
        return torch.where(choice < 0, self._lost_is_right, known)

    def lost(self) -> Tensor:
        """Whether the lost picture's answer is right, bool [N]."""
        return self._lost_is_right

    def accuracy(self, pictures: Tensor) -> float:
        """Accuracy on received pictures [N, C, H, W], as from `SeparateChain.send`."""
        parts = zip(pictures.split(_BATCH), self.labels.split(_BATCH), strict=True)
        return float(torch.cat([self._right(*part) for part in parts]).double().mean())

    @torch.no_grad()
    def _right(self, pictures: Tensor, labels: Tensor) -> Tensor:
        return self.classifier(pictures).argmax(1).cpu() == labels
