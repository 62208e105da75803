"""The strongest digital rival for the labels of several receivers: they are sent together or apart, as is better."""

from collections.abc import Mapping

import torch
from torch import Tensor

from umbel.channels.digital.label_genie import LabelGenie
from umbel.errors import UmbelError


class LabelCombinations:
    """A transmitter that classifies for several tasks and sends all labels in one transmission, at its best.

    Either the combination of all labels goes as one of the M that occur, over all uses, or each label in its even share
    of them; see `LabelGenie`. A combination that is lost is taken for any other with equal probability, so that a label
    may still be right when the combination is not.

    Attributes:
        labels: Task -> its label in each combination, int64 [M].
    """

    def __init__(self, samples: Mapping[str, Tensor]) -> None:
        """Finds the combinations that occur.

        Args:
            samples: Task -> labels of the same samples, int64 [N]; negative where one is missing.

        Raises:
            UmbelError: A task whose label is always the same: nothing needs to be sent.
        """
        targets = torch.stack(list(samples.values()), dim=1)
        table = targets[(targets >= 0).all(1)].unique(dim=0)
        self.labels = {name: table[:, index] for index, name in enumerate(samples)}
        for name, labels in self.labels.items():
            if len(labels.unique()) < 2:
                among = f"{'/'.join(samples)}: among the samples with all labels, {name!r}"
                raise UmbelError(f"{among} has fewer than two classes; choose tasks whose labels occur together")

    def accuracies(
        self, classifier_accuracies: Mapping[str, float], uses: int, snr_db: float, fading: str | None = None
    ) -> dict[str, float]:
        """Accuracy of every receiver, in the way with the larger sum.

        Args:
            classifier_accuracies: Task -> accuracy of the transmitter's classifier on clean pictures.
            uses: Channel uses in all.
            snr_db: Mean Es/N0 for each complex use.
            fading: None (AWGN) or "rayleigh" (one gain for each transmission, known to the receiver).

        Raises:
            UmbelError: No use; SNR is NaN; another fading.
        """
        ways = [self._together(classifier_accuracies, uses, snr_db, fading)]
        if share := uses // len(self.labels):
            genies = {name: LabelGenie(len(labels.unique()), share) for name, labels in self.labels.items()}
            ways.append({n: g.accuracy(classifier_accuracies[n], snr_db, fading) for n, g in genies.items()})
        return max(ways, key=lambda way: sum(way.values()))

    def _together(
        self, classifier_accuracies: Mapping[str, float], uses: int, snr_db: float, fading: str | None
    ) -> dict[str, float]:
        signals = len(next(iter(self.labels.values())))
        arrives = LabelGenie(signals, uses).success(snr_db, fading)
        way = {}
        for name, labels in self.labels.items():
            sizes, clean = labels.unique(return_counts=True)[1], classifier_accuracies[name]
            same = float((sizes * (sizes - 1)).sum()) / (signals * (signals - 1))
            right = arrives + (1 - arrives) * same
            way[name] = right * clean + (1 - right) * (1 - clean) / (len(sizes) - 1)
        return way
