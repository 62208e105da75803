"""Faster R-CNN: proposals of a first network, classified and refined by a second; torchvision's parts, our forward."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import boxes as box_ops

from umbel.core import Task
from umbel.nn.detection.detector import BoxSamples, Detector, Seen, box_targets, padded_detections
from umbel.nn.detection.dropout import dropout_alone
from umbel.nn.detection.matching import Sample, balanced_sample, match

_BETA = 1 / 9  # where the smooth L1 loss of the offsets becomes linear: torchvision's, Detectron's


class RegionDetector(Detector):
    """Faster R-CNN (Ren et al., NeurIPS 2015), with or without a feature pyramid.

    Differs from torchvision's: matching and sampling are done for all pictures at once; a loss is the mean over
    pictures of the mean over each picture's sample (torchvision's is the mean over all samples; the same where all
    pictures have as many); a true box that no anchor overlaps makes no anchor an object.

    Args:
        encoder: The backbone, with `out_channels`.
        rpn: torchvision's network that proposes regions.
        roi_heads: torchvision's heads that classify them.
        labels: Names of the classes; torchvision's class 0, the background, is not among them.
        resolution: The longer side of pictures, in pixels.
        stride: Pictures are padded to multiples of it.
        heads: Further tasks; see `Detector`.
    """

    loss_names = ("objectness", "rpn_box", "class", "box")

    def __init__(
        self,
        encoder: nn.Module,
        rpn: RegionProposalNetwork,
        roi_heads: RoIHeads,
        labels: Sequence[str],
        resolution: int,
        stride: int = 32,
        heads: Sequence[Task] = (),
    ) -> None:
        super().__init__(encoder, labels, resolution, "fasterrcnn", stride, heads)
        self.rpn = rpn
        self.roi_heads = roi_heads

    def anchor_generator(self) -> nn.Module:
        """Torchvision's generator of the anchors."""
        return self.rpn.anchor_generator

    def detection_losses(self, seen: Seen, target: Tensor, ignored: Tensor | None = None) -> dict[str, Tensor]:
        """Of the proposals "objectness" and "rpn_box", of the boxes "class" and "box"; see `Detector`."""
        if not len(seen):
            return self.no_losses()
        target, weight = box_targets(target)
        objectness, deltas = self._proposing(seen)
        proposals = self._proposals(seen, objectness.detach(), deltas.detach(), "training")
        with torch.autocast(objectness.device.type, enabled=False):
            first = self._proposal_losses(seen, objectness, deltas, target, weight, ignored)
            sample, candidates, box = self._drawn(proposals, target, weight, ignored)
        regions = candidates[sample.picture, sample.candidate]
        counts = sample.picture.bincount(minlength=len(seen)).tolist()
        logits, moves = self._classified(self._pooled_regions(seen, list(regions.split(counts))))
        with torch.autocast(objectness.device.type, enabled=False):
            return {**first, **self._box_losses(sample, regions, box, target, weight, logits, moves)}

    def _proposing(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """The proposal network's logits [B, R] and offsets [B, R, 4] for every anchor, in float32."""
        objectness, deltas = self.rpn.head(list(seen.maps.values()))
        return _by_anchor(objectness, 1).squeeze(2), _by_anchor(deltas, 4)

    def _proposals(self, seen: Seen, objectness: Tensor, deltas: Tensor, use: str) -> list[Tensor]:
        """The regions [p, 4] of each picture that are worth a second look; `use` is "training" or "testing"."""
        anchors, counts = self.anchors(seen)
        most, kept, first, places, levels = self.rpn._pre_nms_top_n[use], self.rpn._post_nms_top_n[use], 0, [], []
        for level, count in enumerate(counts):
            best = objectness[:, first : first + count].topk(min(most, count), 1).indices
            places.append(best + first)
            levels += [level] * best.shape[1]
            first += count
        place = torch.cat(places, 1)
        scores = objectness.gather(1, place)
        offsets = deltas.gather(1, place.unsqueeze(2).expand(-1, -1, 4))
        boxes = self.rpn.box_coder.decode_single(offsets.reshape(-1, 4), anchors[place].reshape(-1, 4))
        level = torch.tensor(levels, device=place.device)
        pictures = zip(boxes.view(*place.shape, 4), scores, seen.images.image_sizes, strict=True)
        return [self._separate(b, s, level, len(counts), size)[:kept] for b, s, size in pictures]

    def _separate(self, boxes: Tensor, scores: Tensor, level: Tensor, levels: int, size: tuple[int, int]) -> Tensor:
        """The boxes of one picture, clipped, without those that overlap a better one of their level; best first."""
        boxes = box_ops.clip_boxes_to_image(boxes, size)
        keep = box_ops.remove_small_boxes(boxes, self.rpn.min_size)
        boxes, scores = boxes[keep], scores[keep]
        if levels == 1:
            return boxes[box_ops.nms(boxes, scores, self.rpn.nms_thresh)]
        return boxes[box_ops.batched_nms(boxes, scores, level[keep], self.rpn.nms_thresh)]

    def _proposal_losses(
        self, seen: Seen, objectness: Tensor, deltas: Tensor, target: Tensor, weight: Tensor, ignored: Tensor | None
    ) -> dict[str, Tensor]:
        anchors, _ = self.anchors(seen)
        matcher, sampler = self.rpn.proposal_matcher, self.rpn.fg_bg_sampler
        matches = match(target, anchors[None], matcher.high_threshold, matcher.low_threshold, True, ignored)
        sample = balanced_sample(
            matches.among((weight > 0).unsqueeze(1)), sampler.batch_size_per_image, sampler.positive_fraction
        )
        share = sample.weight * weight[sample.picture]
        said = objectness[sample.picture, sample.candidate]
        right = F.binary_cross_entropy_with_logits(said, sample.object.float(), reduction="none")
        picture, place = sample.picture[sample.object], sample.candidate[sample.object]
        goal = self.rpn.box_coder.encode_single(target[picture, matches.box[picture, place], :4], anchors[place])
        return {
            "objectness": (right * share).sum(),
            "rpn_box": (_offset_loss(deltas[picture, place], goal) * share[sample.object]).sum(),
        }

    def _drawn(
        self, proposals: Sequence[Tensor], target: Tensor, weight: Tensor, ignored: Tensor | None
    ) -> tuple[Sample, Tensor, Tensor]:
        """Which regions are learnt from, all regions [B, R, 4] (true boxes among them), their true boxes [B, R]."""
        regions = nn.utils.rnn.pad_sequence(list(proposals), batch_first=True)
        lengths = torch.tensor([len(p) for p in proposals], device=target.device)
        real = torch.arange(regions.shape[1], device=target.device) < lengths.unsqueeze(1)
        candidates = torch.cat([regions, target[..., :4]], 1)
        usable = torch.cat([real, target[..., 4] >= 0], 1) & (weight > 0).unsqueeze(1)
        matcher, sampler = self.roi_heads.proposal_matcher, self.roi_heads.fg_bg_sampler
        matches = match(target, candidates, matcher.high_threshold, matcher.low_threshold, False, ignored)
        sample = balanced_sample(matches.among(usable), sampler.batch_size_per_image, sampler.positive_fraction)
        return sample, candidates, matches.box

    def _pooled_regions(self, seen: Seen, regions: list[Tensor]) -> Tensor:
        """The features under each region [S, C, r, r], in float32."""
        maps = {name: level.float() for name, level in seen.maps.items()}
        # The pooling infers the levels' scales from the size: that of the padded pictures gives them exactly.
        size = tuple(seen.images.tensors.shape[-2:])
        return self.roi_heads.box_roi_pool(maps, regions, [size] * len(regions))

    def _classified(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [S, K + 1] with the background first, and offsets [S, 4 (K + 1)], in float32."""
        logits, moves = self.roi_heads.box_predictor(self.roi_heads.box_head(pooled))
        return logits.float(), moves.float()

    def _box_losses(
        self,
        sample: Sample,
        regions: Tensor,
        box: Tensor,
        target: Tensor,
        weight: Tensor,
        logits: Tensor,
        moves: Tensor,
    ) -> dict[str, Tensor]:
        share = sample.weight * weight[sample.picture]
        true = target[sample.picture, box[sample.picture, sample.candidate]]
        kind = torch.where(sample.object, true[:, 4].long() + 1, 0)
        wrong = F.cross_entropy(logits, kind, reduction="none")
        on = sample.object
        goal = self.roi_heads.box_coder.encode_single(true[on, :4], regions[on])
        moved = moves.view(len(moves), len(self.labels) + 1, 4)[on, kind[on]]
        return {"class": (wrong * share).sum(), "box": (_offset_loss(moved, goal) * share[on]).sum()}

    @torch.no_grad()
    def detections(self, seen: Seen) -> Tensor:
        """The boxes [B, D, 6] in pixels of the pictures of the batch."""
        if not len(seen):
            return padded_detections([], first_class=1)
        regions = self._proposals(seen, *self._proposing(seen), "testing")
        logits, moves = self._classified(self._pooled_regions(seen, regions))
        with torch.autocast(logits.device.type, enabled=False):
            boxes, scores, labels = self.roi_heads.postprocess_detections(
                logits, moves, regions, seen.images.image_sizes
            )
        each = [{"boxes": b, "scores": s, "labels": k} for b, s, k in zip(boxes, scores, labels, strict=True)]
        return padded_detections(each, first_class=1)

    @torch.no_grad()
    def box_samples(self, seen: Seen, passes: int) -> BoxSamples:
        """See `Detector.box_samples`: candidates are the proposals, classes have the background first."""
        regions = self._proposals(seen, *self._proposing(seen), "testing")
        pooled = self._pooled_regions(seen, regions)
        with dropout_alone(self.roi_heads):
            logits, moves = zip(*(self._classified(pooled) for _ in range(passes)), strict=True)
        lengths = torch.tensor([len(r) for r in regions], device=pooled.device)
        picture = torch.arange(len(regions), device=pooled.device).repeat_interleave(lengths)
        return BoxSamples(torch.stack(logits).softmax(-1), torch.stack(moves), picture, torch.cat(regions))


def _by_anchor(levels: Sequence[Tensor], numbers: int) -> Tensor:
    """[B, A * numbers, h, w] of each level as [B, R, numbers], in torchvision's order of anchors and in float32."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, numbers) for x in levels], 1).float()


def _offset_loss(said: Tensor, goal: Tensor) -> Tensor:
    return F.smooth_l1_loss(said, goal, beta=_BETA, reduction="none").sum(1)
