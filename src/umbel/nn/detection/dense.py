"""RetinaNet and FCOS: every anchor of every level says at once what it is and where; torchvision's heads and losses."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.ops import boxes as box_ops

from umbel.core import Task
from umbel.core.modes import modes_kept
from umbel.nn.detection.detector import BoxSamples, Detector, Seen, box_targets, padded_detections
from umbel.nn.detection.dropout import dropout_alone
from umbel.nn.detection.matching import match, overlapping

_SAMPLED = 100  # anchors of a picture, the best, that `box_samples` looks at
_NAMES = {"class": "classification", "box": "bbox_regression", "centre": "bbox_ctrness"}  # torchvision's


class DenseDetector(Detector):
    """What RetinaNet and FCOS share. Losses are torchvision's of each picture, averaged over pictures.

    Args:
        model: torchvision's, whose parts are taken over.
        labels: Names of the classes; torchvision's numbers are ours.
        resolution: The longer side of pictures, in pixels.
        stride: Pictures are padded to multiples of it.
        heads: Further tasks; see `Detector`.
    """

    family_name: str
    loss_names = ("class", "box")

    def __init__(
        self,
        model: RetinaNet | FCOS,
        labels: Sequence[str],
        resolution: int,
        stride: int = 32,
        heads: Sequence[Task] = (),
    ) -> None:
        super().__init__(model.backbone, labels, resolution, self.family_name, stride, heads)
        self.head = model.head
        self.generator = model.anchor_generator
        self.box_coder = model.box_coder
        self.score_thresh = model.score_thresh
        self.nms_thresh = model.nms_thresh
        self.detections_per_img = model.detections_per_img
        self.topk_candidates = model.topk_candidates

    def anchor_generator(self) -> nn.Module:
        """Torchvision's generator of the anchors."""
        return self.generator

    @abstractmethod
    def scores(self, said: dict[str, Tensor]) -> Tensor:
        """How sure each anchor is of each class, 0 to 1: [B, R, K]."""

    @abstractmethod
    def moved(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """The boxes [n, 4] that offsets [n, 4] make of anchors [n, 4]."""

    @abstractmethod
    def matched(self, target: Tensor, anchors: Tensor, counts: Sequence[int]) -> Tensor:
        """The true box of each anchor in torchvision's way, -1 background, -2 nothing: int64 [B, R]."""

    def said(self, seen: Seen) -> dict[str, Tensor]:
        """What the heads say of every anchor, in float32: "cls_logits" [B, R, K], "bbox_regression" [B, R, 4], ..."""
        return {name: value.float() for name, value in self.head(list(seen.maps.values())).items()}

    def detection_losses(self, seen: Seen, target: Tensor, ignored: Tensor | None = None) -> dict[str, Tensor]:
        """The losses "class" and "box", of FCOS also "centre"; see `Detector`."""
        if not len(seen):
            return self.no_losses()
        target, weight = box_targets(target)
        said = self.said(seen)
        anchors, counts = self.anchors(seen)
        with torch.autocast(weight.device.type, enabled=False):
            matched = self.matched(target, anchors, counts)
            usable = torch.ones_like(matched, dtype=torch.bool)
            if ignored is not None:
                usable = (matched >= 0) | ~overlapping(ignored, anchors[None])
            # nothing of a batch without labels is learnt, but a graph is there
            nothing = torch.stack([value.sum() for value in said.values()]).sum() * 0
            sums = dict.fromkeys(self.loss_names, nothing)
            for place in weight.nonzero()[:, 0].tolist():
                losses = self._of_picture(place, said, target[place], anchors, matched[place], usable[place])
                sums = {name: sums[name] + losses[_NAMES[name]] * weight[place] for name in self.loss_names}
        return sums

    def _of_picture(
        self, place: int, said: dict[str, Tensor], target: Tensor, anchors: Tensor, matched: Tensor, usable: Tensor
    ) -> dict[str, Tensor]:
        """Torchvision's losses of one picture, from the usable anchors alone."""
        real = target[target[:, 4] >= 0]
        truth = [{"boxes": real[:, :4], "labels": real[:, 4].long()}]
        heard = {name: value[place][usable][None] for name, value in said.items()}
        return self.head.compute_loss(truth, heard, [anchors[usable]], [matched[usable]])

    @torch.no_grad()
    def detections(self, seen: Seen) -> Tensor:
        """The boxes [B, D, 6] in pixels of the pictures of the batch."""
        if not len(seen):
            return padded_detections([], 0)
        said = self.said(seen)
        anchors, counts = self.anchors(seen)
        with torch.autocast(anchors.device.type, enabled=False):
            scores = self.scores(said)
            pictures = zip(scores, said["bbox_regression"], seen.images.image_sizes, strict=True)
            return padded_detections([self._kept(s, d, anchors, counts, size) for s, d, size in pictures], 0)

    def _kept(
        self, scores: Tensor, deltas: Tensor, anchors: Tensor, counts: Sequence[int], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """The detections of one picture: of each level the best, then none that overlaps a better one of its class."""
        kinds, places, values = scores.shape[1], [], []
        for level, offset in zip(scores.split(list(counts)), _starts(counts), strict=True):
            flat = level.flatten()
            best, place = flat.topk(min(self.topk_candidates, len(flat)))
            sure = best > self.score_thresh
            values.append(best[sure])
            places.append(place[sure] + offset * kinds)
        score, place = torch.cat(values), torch.cat(places)
        anchor, kind = place // kinds, place % kinds
        boxes = box_ops.clip_boxes_to_image(self.moved(deltas[anchor], anchors[anchor]), size)
        keep = box_ops.batched_nms(boxes, score, kind, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": boxes[keep], "scores": score[keep], "labels": kind[keep]}

    @torch.no_grad()
    def box_samples(self, seen: Seen, passes: int) -> BoxSamples:
        """See `Detector.box_samples`: candidates are the 100 anchors of each picture that are surest of a class."""
        anchors, _ = self.anchors(seen)
        with modes_kept(self.head):
            self.head.eval()
            sure = self.scores(self.said(seen)).amax(2)
        best = sure.topk(min(_SAMPLED, sure.shape[1]), 1).indices
        probabilities, deltas = [], []
        with dropout_alone(self.head):
            for _ in range(passes):
                said = self.said(seen)
                each = [value.gather(1, best.unsqueeze(2).expand(-1, -1, value.shape[2])) for value in said.values()]
                heard = dict(zip(said, each, strict=True))
                probabilities.append(heard["cls_logits"].sigmoid().flatten(0, 1))
                deltas.append(heard["bbox_regression"].flatten(0, 1))
        picture = torch.arange(len(seen), device=best.device).repeat_interleave(best.shape[1])
        return BoxSamples(torch.stack(probabilities), torch.stack(deltas), picture, anchors[best].flatten(0, 1))


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:place]) for place in range(len(counts))]


class RetinaNetDetector(DenseDetector):
    """RetinaNet (Lin et al., ICCV 2017): focal loss on anchors of several sizes and shapes."""

    family_name = "retinanet"

    def __init__(
        self, model: RetinaNet, labels: Sequence[str], resolution: int, stride: int = 32, heads: Sequence[Task] = ()
    ) -> None:
        super().__init__(model, labels, resolution, stride, heads)
        self.proposal_matcher = model.proposal_matcher

    def scores(self, said: dict[str, Tensor]) -> Tensor:
        """How sure each anchor is of each class: [B, R, K]."""
        return said["cls_logits"].sigmoid()

    def moved(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """The boxes [n, 4] that offsets [n, 4] make of anchors [n, 4]."""
        return self.box_coder.decode_single(deltas, anchors)

    def matched(self, target: Tensor, anchors: Tensor, counts: Sequence[int]) -> Tensor:
        """By overlap; the best anchors of each true box are always its."""
        matcher = self.proposal_matcher
        matches = match(target, anchors[None], matcher.high_threshold, matcher.low_threshold, keep_best=True)
        number = _rank_of_real(target).gather(1, matches.box)
        return torch.where(matches.object, number, torch.where(matches.background, -1, -2))


class FCOSDetector(DenseDetector):
    """FCOS (Tian et al., ICCV 2019): each place near the middle of an object says how far its sides are."""

    family_name = "fcos"
    loss_names = ("class", "box", "centre")

    def __init__(
        self, model: FCOS, labels: Sequence[str], resolution: int, stride: int = 32, heads: Sequence[Task] = ()
    ) -> None:
        super().__init__(model, labels, resolution, stride, heads)
        self.center_sampling_radius = model.center_sampling_radius

    def scores(self, said: dict[str, Tensor]) -> Tensor:
        """How sure each place is of each class and of being near the middle: [B, R, K]."""
        return (said["cls_logits"].sigmoid() * said["bbox_ctrness"].sigmoid()).sqrt()

    def moved(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """The boxes [n, 4] that distances [n, 4] make around the middles of anchors [n, 4]."""
        return self.box_coder.decode(deltas, anchors)

    def matched(self, target: Tensor, anchors: Tensor, counts: Sequence[int]) -> Tensor:
        """The smallest true box in whose middle a place lies, and which has a size that its level is for."""
        middle, side = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2] - anchors[:, 0]
        box = target[:, None, :, :4]
        off = (middle[None, :, None] - (box[..., :2] + box[..., 2:]) / 2).abs().amax(3)
        distance = torch.cat([middle[None, :, None] - box[..., :2], box[..., 2:] - middle[None, :, None]], 3)
        farthest, least, most = distance.amax(3), side * 4, side * 8
        least = least.index_fill(0, torch.arange(counts[0], device=side.device), 0)
        most = most.index_fill(0, torch.arange(len(side) - counts[-1], len(side), device=side.device), torch.inf)
        fits = (off < self.center_sampling_radius * side[:, None]) & (distance.amin(3) > 0)
        fits = fits & (farthest > least[:, None]) & (farthest < most[:, None]) & (target[:, None, :, 4] >= 0)
        area = (box[..., 2:] - box[..., :2]).prod(3).masked_fill(~fits, torch.inf)
        number = _rank_of_real(target).gather(1, area.argmin(2))
        return torch.where(fits.any(2), number, -1)


def _rank_of_real(target: Tensor) -> Tensor:
    """The number that each true box has when rows without a box are left out: int64 [B, N]."""
    return ((target[..., 4] >= 0).cumsum(1) - 1).clamp(min=0)
