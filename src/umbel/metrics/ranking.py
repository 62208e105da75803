"""How well scores order: area under the ROC curve and average precision, label by label, exact; rank correlation."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics import Metric

from umbel.arguments import any_number, instance, tensors, whole_number
from umbel.core import UmbelError

_LABEL_BIT = 33  # a code is label * 2^33 + key
_OFFSET = 1 << 31  # keys of float32 scores are 0 to 2^32 - 1, in the order of the scores
_NAN = 1 << 32
_COARSEST = 20  # bits of a key that may be dropped; three bits of the mantissa are left
_CODE, _YES, _NO, _DROPPED = range(4)


class RankingTable(Metric):
    """Counts of yes and no for each label and score, from which what depends on their order alone is computed.

    The state is a table: one row for each distinct pair of label and float32 score. Tables of several batches or
    processes add up to that of all samples, so the value does not depend on how samples are shared out. Where there
    are more than `distinct` rows, the last bits of all scores are dropped until there are not; scores that then agree
    are tied, which counts each of their pairs as half right. With d bits dropped, only scores are tied that differ by
    less than 2^(d - 23) of their size. Up to `distinct` rows nothing is dropped and the value is exact.

    Args:
        distinct: The most rows that are kept; 32 bytes each.
        **settings: Of torchmetrics.

    Raises:
        UmbelError: `distinct` is no whole number from 1.
    """

    is_differentiable = False
    higher_is_better: bool | None = True
    full_state_update = False
    ranks_outputs = True  # `Task.update` gives raw scores, with the outputs apart

    tables: list[Tensor]

    def __init__(self, distinct: int = 2**20, **settings: Any) -> None:
        super().__init__(**settings)
        self.distinct = whole_number(distinct, "a ranking: distinct", least=1)
        self.add_state("tables", [], dist_reduce_fx="cat")

    def add(self, codes: Tensor, yes: Tensor) -> None:
        """Add samples.

        Args:
            codes: Of `codes_of`, [n].
            yes: Whether each is a yes, [n].
        """
        yes = yes.long()
        self.tables.append(torch.stack([codes, yes, 1 - yes, torch.zeros_like(codes)], 1))
        if sum(map(len, self.tables)) > 2 * self.distinct:
            self.tables = [self.merged()]

    def sync(self, *arguments: Any, **settings: Any) -> None:
        """Exchange the tables; a process without any label gives one without rows."""
        self.tables = [self.merged()]
        super().sync(*arguments, **settings)

    def merged(self) -> Tensor:
        """One table [rows, 4] of all, sorted by label and score: code, yes, no, bits dropped."""
        tables = [self.tables] if isinstance(self.tables, Tensor) else self.tables
        rows = torch.cat([torch.zeros(0, 4, dtype=torch.int64, device=self.device), *tables])
        dropped = int(rows[:, _DROPPED].max()) if len(rows) else 0
        while True:
            codes, place = torch.unique(rows[:, _CODE] >> dropped << dropped, return_inverse=True)
            counts = codes.new_zeros(len(codes), 2).index_add_(0, place, rows[:, _YES : _NO + 1])
            rows = torch.cat([codes[:, None], counts, torch.full_like(codes, dropped)[:, None]], 1)
            if len(rows) <= self.distinct or dropped == _COARSEST:
                return rows
            dropped += 1

    def columns(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Label, key of the score, and counts of yes and no (float64), a row for each distinct pair, sorted."""
        rows = self.merged()
        code = rows[:, _CODE]
        return code >> _LABEL_BIT, code & ((1 << _LABEL_BIT) - 1), rows[:, _YES].double(), rows[:, _NO].double()


class _Ranking(RankingTable):
    """A number of each label, and their mean.

    Args:
        pooled: Over all answers of all labels together, instead of the mean over labels.
        distinct: Of `RankingTable`.
        **settings: Of torchmetrics.
    """

    def __init__(self, pooled: bool = False, distinct: int = 2**20, **settings: Any) -> None:
        super().__init__(distinct, **settings)
        self.pooled = pooled

    def update(self, scores: Tensor, target: Tensor) -> None:
        """Add samples.

        Args:
            scores: [n, K], or [n] for one label; greater is more likely yes. Logits are best: probabilities that
                float32 rounds to 1 are tied.
            target: Likewise; 1 is yes, 0 no, NaN missing.

        Raises:
            UmbelError: Other shapes.
        """
        tensors("a ranking", scores=scores, target=target)
        if scores.shape != target.shape or scores.ndim not in (1, 2):
            raise UmbelError(
                f"a ranking: scores of shape {list(scores.shape)}, target {list(target.shape)}; give [n, K] of both"
            )
        scores, target = (x.reshape(len(x), -1) for x in (scores, target))
        labels = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        known = ~torch.isnan(target)
        self.add(codes_of(scores[known], labels[known] * (not self.pooled)), target[known] >= 0.5)

    def compute(self) -> Tensor:
        """The mean over the labels for which it is defined; NaN where there is none."""
        values = [self._of_label(table) for table in self._by_label()]
        defined = [value for value in values if value is not None]
        return torch.stack(defined).mean() if defined else torch.tensor(torch.nan, dtype=torch.float64)

    def _by_label(self) -> Iterator[Tensor]:
        rows = self.merged()
        _, sizes = torch.unique_consecutive(rows[:, _CODE] >> _LABEL_BIT, return_counts=True)
        yield from rows.split(sizes.tolist())

    def _of_label(self, table: Tensor) -> Tensor | None:
        """The value for one label; None where it is not defined, NaN where a score is."""
        yes, no = table[:, _YES].double(), table[:, _NO].double()
        if not self._is_defined(float(yes.sum()), float(no.sum())):
            return None
        if nan_in(table[:, _CODE]):
            return yes.new_tensor(torch.nan)
        return self._value(yes, no)

    def _is_defined(self, yes: float, no: float) -> bool:
        raise NotImplementedError

    def _value(self, yes: Tensor, no: Tensor) -> Tensor:
        """From the counts at each distinct score, the lowest first."""
        raise NotImplementedError


class AreaUnderROC(_Ranking):
    """Area under the ROC curve: how often a yes scores above a no, ties counted half. The mean over labels.

        AUROC = (1 / P N) Σ over yes i, no j of  [s_i > s_j] + ½ [s_i = s_j]

    As scikit-learn's `roc_auc_score(..., average="macro")`; a label of which only yes or only no is known has no
    area and is left out. With more than `distinct` scores the error is at most half of the part of pairs that are tied
    by rounding. See `_Ranking` for the arguments.
    """

    def _is_defined(self, yes: float, no: float) -> bool:
        return yes > 0 and no > 0

    def _value(self, yes: Tensor, no: Tensor) -> Tensor:
        return area_of_counts(yes, no)


class AveragePrecision(_Ranking):
    """Average precision: the precision at each score, weighted by the yes that are reached there. The mean over labels.

        AP = Σ over scores s, falling, of  (yes at s / P) · (yes at s or above / all at s or above)

    As scikit-learn's `average_precision_score(..., average="macro")`; a label without any yes is left out. See
    `_Ranking` for the arguments.
    """

    def _is_defined(self, yes: float, no: float) -> bool:
        return yes > 0

    def _value(self, yes: Tensor, no: Tensor) -> Tensor:
        yes, all_of_score = yes.flip(0), (yes + no).flip(0)
        return (yes * yes.cumsum(0) / all_of_score.cumsum(0)).sum() / yes.sum()


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation of two lists, equal values sharing their mean rank.

    NaN where fewer than two pairs are left, or one list has equal values only. Pairs with a NaN are left out.

    Args:
        one: A number for each thing.
        other: Another number for each, in the same order.

    Raises:
        UmbelError: Another number of them, or what is no number.
    """
    first, second = (_numbers(values) for values in (one, other))
    if len(first) != len(second):
        raise UmbelError(f"a rank correlation of {len(first)} and {len(second)} numbers; give as many of both")
    known = ~(np.isnan(first) | np.isnan(second))
    first, second = rankdata(first[known]), rankdata(second[known])
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _numbers(values: Sequence[float]) -> Any:
    instance(values, Iterable, "a side of a rank correlation", "a list of numbers")
    return np.array([any_number(value, "a number of a rank correlation") for value in values], dtype=float)


def codes_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Whole numbers in the order of (label, score), int64 [n]."""
    return (labels << _LABEL_BIT) + keys_of(scores)


def keys_of(scores: Tensor) -> Tensor:
    """Whole numbers in the order of scores as float32: their bits, read as a signed magnitude; NaN is above all."""
    bits = scores.float().contiguous().view(torch.int32).long()
    keys = torch.where(bits >= 0, bits, -(bits & 0x7FFFFFFF)) + _OFFSET
    return torch.where(torch.isnan(scores), _NAN, keys)


def nan_in(codes: Tensor) -> bool:
    """Whether a score is NaN, from codes or keys."""
    return bool((codes & _NAN).any())


def area_of_counts(yes: Tensor, no: Tensor) -> Tensor:
    """Area under the ROC curve, from counts at each distinct score, the lowest first."""
    below = no.cumsum(0) - no
    return (yes * (below + no / 2)).sum() / (yes.sum() * no.sum())
