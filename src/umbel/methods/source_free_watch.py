"""What can be seen of a detector on pictures without labels: signals that choose a checkpoint and sound an alarm."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from umbel.core import Inputs, UmbelError, sizes_of
from umbel.core.modes import modes_kept
from umbel.core.seeding import own_randomness
from umbel.data.views import strong_view
from umbel.nn.detection import PICTURE, Detector

_CERTAIN = 1e-6


@dataclass(frozen=True)
class Signals:
    """What is seen of a detector at one moment.

    Attributes:
        boxes: Boxes above the threshold, in a picture on average.
        certainty: Their mean score; 0 without any.
        entropy: Mean binary entropy of the scores of all boxes, in bits; 0 without any.
        stability: How well the boxes of a picture and of a strongly changed view of it agree, 0 to 1; see `agreement`.
        drift: |θ - θ_0| / |θ_0|: how far the weights are from those at the start.
    """

    boxes: float
    certainty: float
    entropy: float
    stability: float
    drift: float = 0.0


def agreement(one: Tensor, other: Tensor) -> float:
    """How well two sets of boxes of the same picture agree: an F score in which pairs count by overlap and score.

        A = 2 Σ over pairs IoU min(s, s')  /  (Σ s + Σ s'),     0 where neither has a box

    A pair is a box of each set, of one class, of which each is the other's best overlap.

    Args:
        one: [D, 6]; see `tasks.boxes`; rows of -1 are nothing.
        other: [E, 6].
    """
    one, other = (boxes[boxes[:, 5] >= 0] for boxes in (one, other))
    total = float(one[:, 4].sum() + other[:, 4].sum())
    if not len(one) or not len(other):
        return 0.0
    overlap = box_iou(one[:, :4], other[:, :4]) * (one[:, 5:6] == other[None, :, 5])
    best, partner = overlap.max(1)
    mutual = overlap.argmax(0)[partner] == torch.arange(len(one), device=one.device)
    least = torch.minimum(one[:, 4], other[partner, 4])
    return 2 * float((best * least)[mutual & (best > 0)].sum()) / max(total, _CERTAIN)


def _entropy(scores: Tensor) -> Tensor:
    p = scores.clamp(_CERTAIN, 1 - _CERTAIN)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())


class Watch:
    """Looks at a detector through unlabelled pictures, always the same ones and through the same views.

    Args:
        pictures: Batches of pictures.
        thresholds: From which score on a box counts, for each class.
        seed: Of the views.

    Raises:
        UmbelError: No picture.
    """

    def __init__(self, pictures: Sequence[Inputs], thresholds: Sequence[float], seed: int = 0) -> None:
        if not pictures:
            raise UmbelError("no picture to watch a detector by; give at least one batch")
        self.pictures = tuple(pictures)
        self.thresholds = torch.tensor(tuple(thresholds))
        self.seed = seed

    @torch.no_grad()
    def look(self, detector: Detector) -> Signals:
        """What is seen of a detector now; its mode and torch's generator stay as they were."""
        device = next(detector.parameters()).device
        counts, scores, agreements = 0, [], []
        with modes_kept(detector), own_randomness(self.seed, device):
            detector.eval()
            for batch in self.pictures:
                inputs = {name: value.to(device) for name, value in batch.items()}
                plain = detector(inputs)["boxes"].float()
                sizes = [tuple(size) for size in sizes_of(inputs, PICTURE)[:, -2:].tolist()]
                changed = {**inputs, PICTURE: strong_view(inputs[PICTURE], sizes)}
                other = detector(changed)["boxes"].float()
                counts += len(plain)
                scores.append(plain[plain[..., 5] >= 0][:, 4:])
                agreements += [agreement(a, b) for a, b in zip(plain, other, strict=True)]
        return self._signals(torch.cat(scores).cpu(), counts, agreements)

    def _signals(self, scored: Tensor, pictures: int, agreements: Sequence[float]) -> Signals:
        score, kind = scored[:, 0], scored[:, 1].long()
        sure = score[score >= self.thresholds[kind]]
        return Signals(
            boxes=len(sure) / pictures,
            certainty=float(sure.mean()) if len(sure) else 0.0,
            entropy=float(_entropy(score).mean()) if len(score) else 0.0,
            stability=sum(agreements) / len(agreements),
        )


@dataclass(frozen=True)
class Alarm:
    """When an adaptation counts as collapsed, by what is seen without labels.

    Attributes:
        fewest: Boxes above the threshold, as a part of those at the start: fewer is a collapse.
        most: Likewise: more is one, since everything has become an object.
        stability: What is left of the stability at the start, at least.
    """

    fewest: float = 0.4
    most: float = 4.0
    stability: float = 0.7

    def sounds(self, start: Signals, now: Signals) -> str:
        """Why it sounds, in a few words; empty while all is well."""
        if now.boxes < self.fewest * start.boxes:
            return f"{now.boxes:.2f} boxes a picture are left of {start.boxes:.2f}"
        if now.boxes > self.most * max(start.boxes, 1.0):
            return f"boxes have grown from {start.boxes:.2f} to {now.boxes:.2f} a picture"
        if now.stability < self.stability * start.stability:
            return f"boxes of two views of a picture agree by {now.stability:.2f}, at the start {start.stability:.2f}"
        return ""


def drift(start: dict[str, Tensor], now: Detector) -> float:
    """|θ - θ_0| / |θ_0| over all parameters.

    Args:
        start: θ_0, by name.
        now: Has θ.
    """
    moved = sum(float((value.detach().cpu() - start[n]).square().sum()) for n, value in now.named_parameters())
    whole = sum(float(value.square().sum()) for value in start.values())
    return (moved / max(whole, _CERTAIN)) ** 0.5


def with_drift(signals: Signals, start: dict[str, Tensor], now: Detector) -> Signals:
    """The signals with how far the weights have moved."""
    return dataclasses.replace(signals, drift=drift(start, now))
