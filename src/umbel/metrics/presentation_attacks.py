"""Errors of a detector of presentation attacks, as ISO/IEC 30107-3 and the field name them.

Everywhere: scores are greater for what is surer live, and a sample is accepted as live where its score reaches the
threshold. Its kind is 0 for live (bona fide), k for an attack of the k-th type, negative where nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from umbel.arguments import names, one_of, real_number, tensors
from umbel.core import UmbelError
from umbel.metrics.ranking import RankingTable, area_of_counts, codes_of, keys_of, nan_in

Value = Literal["AUC", "EER", "HTER", "APCER", "BPCER", "ACER"]
"""What `PresentationAttackErrors` can give."""


class Threshold(NamedTuple):
    """Where attacks are accepted as often as live samples are refused.

    Attributes:
        value: Of the score; halfway between the two scores that it lies between.
        eer: The equal error rate: the mean of both rates there.
    """

    value: float
    eer: float


@dataclass(frozen=True)
class AttackErrors:
    """Error rates at one threshold; NaN where there is nothing to err in.

    Attributes:
        apcer_by_type: Type of attack -> part of its samples that are accepted as live; of the types that are there.
        apcer: The greatest of these: an attacker chooses the type that works.
        bpcer: Part of the live samples that are refused. Also called FRR, false rejection rate.
        far: Part of all attacks together that are accepted.
    """

    apcer_by_type: Mapping[str, float]
    apcer: float
    bpcer: float
    far: float

    @property
    def acer(self) -> float:
        """(APCER + BPCER) / 2."""
        return (self.apcer + self.bpcer) / 2

    @property
    def hter(self) -> float:
        """(FAR + FRR) / 2, half total error rate: as ACER, with all attacks together."""
        return (self.far + self.bpcer) / 2


class DetCurve(NamedTuple):
    """Both rates at every threshold that makes a difference, [m], the lowest first; all float64.

    Attributes:
        threshold: Of the score. The first accepts all, the last nothing.
        far: Part of the attacks that are accepted; falls.
        frr: Part of the live samples that are refused; rises.
    """

    threshold: Tensor
    far: Tensor
    frr: Tensor


def det_curve(scores: Tensor, kinds: Tensor) -> DetCurve:
    """False acceptances against false rejections (detection error tradeoff), exact: a point for each gap of scores.

    Args:
        scores: [n], finite.
        kinds: int64 [n].

    Raises:
        UmbelError: Other shapes, scores that are not finite, or only live samples or only attacks.
    """
    scores, kinds = _known(scores, kinds)
    live = kinds == 0
    for missing, other in ((live, "attacks"), (~live, "live samples")):
        if not bool(missing.any()):
            raise UmbelError(f"only {other} ({len(scores):,}): a threshold needs both live samples and attacks")
    values, place = torch.unique(scores, return_inverse=True)
    counts = values.new_zeros(len(values), 2).index_add_(0, place, torch.stack([live, ~live], 1).to(values))
    far, frr = _rates(counts[:, 0], counts[:, 1])
    above = torch.nextafter(values[-1:], values.new_tensor(torch.inf))
    return DetCurve(torch.cat([values[:1], (values[1:] + values[:-1]) / 2, above]), far, frr)


def eer_threshold(scores: Tensor, kinds: Tensor) -> Threshold:
    """The threshold where false acceptances and false rejections are most alike.

    Of two that are equally near, the one with the smaller sum of both, then the higher one. Take it from a development
    (validation) split: on the samples that are judged it says less than an error of new ones.

    Args:
        scores: [n], finite.
        kinds: int64 [n].

    Raises:
        UmbelError: As `det_curve`.
    """
    curve = det_curve(scores, kinds)
    place = _equal(curve.far, curve.frr)
    return Threshold(float(curve.threshold[place]), float(curve.far[place] + curve.frr[place]) / 2)


def attack_errors(scores: Tensor, kinds: Tensor, threshold: float, labels: Sequence[str]) -> AttackErrors:
    """APCER by type and at most, BPCER, ACER and HTER at a threshold.

    Args:
        scores: [n], finite.
        kinds: int64 [n].
        threshold: Of the score; for a report, one that was chosen on other samples.
        labels: Names by number: "live", then the types of attack; see `Task.labels`.

    Raises:
        UmbelError: Other shapes, scores that are not finite, or a kind without a name.
    """
    scores, kinds = _known(scores, kinds)
    threshold, labels = real_number(threshold, "a threshold of scores"), names(labels, "labels of kinds")
    if len(kinds) and int(kinds.max()) >= len(labels):
        raise UmbelError(f"a kind of attack is {int(kinds.max())}; its labels name 0 to {len(labels) - 1}")
    accepted = (scores >= threshold).double()
    by_type = {
        label: float(accepted[kinds == kind].mean())
        for kind, label in enumerate(labels)
        if kind and bool((kinds == kind).any())
    }
    return AttackErrors(
        apcer_by_type=by_type,
        apcer=max(by_type.values(), default=float("nan")),
        bpcer=float(1 - accepted[kinds == 0].mean()),
        far=float(accepted[kinds > 0].mean()),
    )


def by_video(scores: Tensor, kinds: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of videos: the mean over the frames of each, in the order of their numbers.

    Args:
        scores: Of frames, [n].
        kinds: int64 [n]; frames of which nobody knows it are left out.
        videos: int64 [n], which video a frame is of; a frame with a negative number is a video of its own.

    Returns:
        Scores float64 [v] and kinds int64 [v].

    Raises:
        UmbelError: Other shapes, scores that are not finite, or a video with frames of two kinds.
    """
    tensors("by_video", scores=scores, kinds=kinds, videos=videos)
    if videos.is_floating_point() or videos.shape != kinds.shape:
        raise UmbelError(
            f"by_video: videos of shape {list(videos.shape)} for kinds of shape {list(kinds.shape)}; give whole "
            "numbers [n] of both"
        )
    known = kinds >= 0
    scores, kinds = _known(scores, kinds)
    videos = videos[known].long()
    alone = videos.max().clamp(min=0) + 1 + torch.arange(len(videos), device=videos.device) if len(videos) else videos
    numbers, place = torch.unique(torch.where(videos < 0, alone, videos), return_inverse=True)
    sums = torch.zeros(len(numbers), 2, dtype=torch.float64, device=scores.device)
    sums.index_add_(0, place, torch.stack([scores, torch.ones_like(scores)], 1))
    kind = torch.zeros(len(numbers), dtype=torch.int64, device=scores.device).index_copy_(0, place, kinds)
    if bool((mixed := kind[place] != kinds).any()):
        raise UmbelError(f"video {int(videos[mixed][0])} has frames of two kinds; a video is live or one attack")
    return sums[:, 0] / sums[:, 1], kind


class PresentationAttackErrors(RankingTable):
    """One number of how well scores tell live samples from attacks, exact over batches and processes.

    It gets raw scores, not decoded ones. NaN where it is not defined: without live samples or without attacks (BPCER
    needs live samples only, APCER attacks only), and where a score is NaN.

    Args:
        value: "AUC", the area under the ROC curve of live against all attacks; "EER", the equal error rate at the
            threshold of the very samples that are judged; "HTER", "APCER" (the greatest over the types that are there),
            "BPCER" or "ACER" at `threshold`.
        threshold: Of the score; 0 is probability 0.5 of logits.
        **settings: Of `RankingTable`.

    Raises:
        UmbelError: Another value or threshold.
    """

    higher_is_better = None  # the AUC is better when higher, errors when lower

    def __init__(self, value: Value, threshold: float = 0.0, **settings: int) -> None:
        super().__init__(**settings)
        self.value = one_of(value, "value of presentation attack errors", get_args(Value))
        self.threshold = real_number(threshold, "a threshold of scores")

    def update(self, scores: Tensor, kinds: Tensor) -> None:
        """Add samples.

        Args:
            scores: [n] or [n, 1]; greater is surer live.
            kinds: [n] or [n, 1]: 0 live, k an attack of type k; negative or NaN is missing.

        Raises:
            UmbelError: Other shapes.
        """
        tensors("presentation attacks", scores=scores, kinds=kinds)
        if scores.shape != kinds.shape or scores.ndim not in (1, 2) or scores[:1].numel() > 1:
            raise UmbelError(
                f"presentation attacks: scores of shape {list(scores.shape)} and kinds of shape {list(kinds.shape)}; "
                "give [n] of both"
            )
        known = kinds >= 0
        numbers = kinds[known].long()
        self.add(codes_of(scores[known], numbers), numbers == 0)

    def compute(self) -> Tensor:
        """The value; NaN where it is not defined."""
        kinds, keys, live, attacks = self.columns()
        undefined = torch.tensor(torch.nan, dtype=torch.float64)
        needed = {"APCER": (attacks,), "BPCER": (live,)}.get(self.value, (live, attacks))
        if nan_in(keys) or not all(float(counts.sum()) for counts in needed):
            return undefined
        if self.value in ("AUC", "EER"):
            _, place = torch.unique(keys, return_inverse=True)
            counts = live.new_zeros(int(place.max()) + 1, 2).index_add_(0, place, torch.stack([live, attacks], 1))
            if self.value == "AUC":
                return area_of_counts(counts[:, 0], counts[:, 1])
            far, frr = _rates(counts[:, 0], counts[:, 1])
            nearest = _equal(far, frr)
            return (far[nearest] + frr[nearest]) / 2
        accepted = keys >= keys_of(torch.tensor([self.threshold])).to(keys.device)
        bpcer = (live * ~accepted).sum() / live.sum()
        if self.value == "BPCER":
            return bpcer
        if self.value == "HTER":
            return ((attacks * accepted).sum() / attacks.sum() + bpcer) / 2
        types = torch.zeros(int(kinds.max()) + 1, 2, dtype=live.dtype, device=live.device)
        types.index_add_(0, kinds, torch.stack([attacks * accepted, attacks], 1))
        there = types[:, 1] > 0
        apcer = (types[there, 0] / types[there, 1]).max()
        return apcer if self.value == "APCER" else (apcer + bpcer) / 2


def _rates(live: Tensor, attacks: Tensor) -> tuple[Tensor, Tensor]:
    """Part of attacks accepted and of live samples refused at m + 1 thresholds: below each of m scores, above all."""
    below = [torch.cat([counts.new_zeros(1), counts.cumsum(0)]) / counts.sum() for counts in (live, attacks)]
    return 1 - below[1], below[0]


def _equal(far: Tensor, frr: Tensor) -> int:
    """Where both rates are most alike; then where their sum is least; then the last."""
    apart, total = ((one * 1e12).round() for one in ((far - frr).abs(), far + frr))
    nearest = apart == apart.min()
    best = nearest & (total == total[nearest].min())
    return int(best.nonzero()[-1])


def _known(scores: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Samples whose kind is known: scores in float64, checked, and kinds."""
    tensors("presentation attacks", scores=scores, kinds=kinds)
    if scores.ndim != 1 or scores.shape != kinds.shape or kinds.is_floating_point():
        raise UmbelError(
            f"presentation attacks: scores of shape {list(scores.shape)} and kinds of shape {list(kinds.shape)}; "
            "give [n] and whole numbers [n]"
        )
    known = kinds >= 0
    scores, kinds = scores[known].detach().double(), kinds[known].long()
    if not bool(torch.isfinite(scores).all()):
        raise UmbelError("presentation attacks: scores that are not finite; did the training diverge?")
    return scores, kinds
