"""What every detector here is: pictures -> features, computed once -> boxes, and whatever else reads the features."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList

from umbel.core import Inputs, OperatingPoint, Task, UmbelError, join_padded, sizes_of
from umbel.core.model import ByTask
from umbel.nn.heads import build_head
from umbel.nn.pretrained import IMAGENET_MEAN, IMAGENET_STD

PICTURE = "picture"
"""The input that a detector reads; `picture/size` says how large each picture is."""
_TOGETHER = 8  # pictures in one pass of `forward`, so that a large batch of an evaluation does not fill the memory


@dataclass(frozen=True)
class Seen:
    """What a detector has seen of some pictures: everything that boxes, further heads and discriminators read.

    Attributes:
        images: torchvision's list: standardised pictures [B, 3, H, W], zero behind their end, and their sizes.
        maps: Level -> feature maps [B, C, h, w], from fine to coarse, as the backbone names them.
        sizes: (height, width) of each picture as it is in the batch. Boxes are in these pixels.
    """

    images: ImageList
    maps: Mapping[str, Tensor]
    sizes: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True)
class BoxSamples:
    """What dropout makes of the same R candidates in T passes; see `Detector.box_samples`.

    Attributes:
        probabilities: [T, R, C]: of the classes; of Faster R-CNN with the background first, C = K + 1.
        deltas: [T, R, D]: how a candidate is moved and scaled, as the network emits it; of Faster R-CNN for each of the
            C classes, D = 4 C, else D = 4.
        picture: int64 [R]: whose a candidate is.
        boxes: [R, 4]: the candidates themselves, in pixels.
    """

    probabilities: Tensor
    deltas: Tensor
    picture: Tensor
    boxes: Tensor


class Detector(nn.Module, ABC):
    """A detector of torchvision with the conventions of this library.

        pictures ──► encoder (backbone) ──┬──► boxes of objects
                                          └──► mean over each picture ──► further heads

    Pictures are taken as large as they come: they are standardised and padded, never resized.

    Args:
        encoder: The backbone: pictures -> feature maps by level, with `out_channels`.
        labels: Names of the classes.
        resolution: The longer side of pictures that it is made for, in pixels.
        family: "fasterrcnn", "retinanet" or "fcos".
        stride: Pictures are padded to multiples of it.
        heads: Tasks with an answer for the whole picture (a class, a count), each with a linear head.

    Raises:
        UmbelError: A further task that wants other answers than vectors.

    Attributes:
        loss_names: Of the detector's own losses.
    """

    loss_names: tuple[str, ...]

    def __init__(
        self,
        encoder: nn.Module,
        labels: Sequence[str],
        resolution: int,
        family: str,
        stride: int,
        heads: Sequence[Task] = (),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.labels = tuple(labels)
        self.input_shape = (3, resolution, resolution)
        self.family = family
        self.stride = stride
        for task in heads:
            if task.output != "vector":
                raise UmbelError(
                    f"task {task.name!r} wants {task.output!r} of a detector, whose further heads answer with one "
                    "vector for the whole picture; leave it out"
                )
        shape = (encoder.out_channels,)
        self.head_names = tuple(task.name for task in heads)
        self.heads = ByTask({task.name: build_head(task, shape, self.input_shape) for task in heads})
        self._kept_anchors: tuple[object, Tensor, list[int]] | None = None

    def forward(self, inputs: Inputs, point: OperatingPoint | None = None) -> dict[str, Tensor]:
        """The boxes [B, D, 6] (see `tasks.boxes`) as "boxes", and the raw prediction of each further head.

        Args:
            inputs: `{"picture": [B, 3, H, W], "picture/size": int64 [B, 3]}`.
            point: The operating point; a detector has nothing to turn.
        """
        count = len(_pictures(inputs))
        parts = [
            self._answers(self.features({name: x[start : start + _TOGETHER] for name, x in inputs.items()}))
            for start in range(0, max(count, 1), _TOGETHER)
        ]
        return {name: join_padded([part[name] for part in parts], -1) for name in parts[0]}

    def _answers(self, seen: Seen) -> dict[str, Tensor]:
        return {"boxes": self.detections(seen), **self.further(seen)}

    def features(self, inputs: Inputs) -> Seen:
        """Pictures standardised and padded, and the maps of the backbone.

        Args:
            inputs: `{"picture": uint8 (0 to 255) or float (0 to 1) [B, 3, H, W], "picture/size": int64 [B, 3]}`.

        Raises:
            UmbelError: Nothing says how large the pictures are.
        """
        pictures = _pictures(inputs)
        sizes = tuple((int(height), int(width)) for height, width in sizes_of(inputs, PICTURE)[:, -2:].tolist())
        if sizes:  # not larger than the largest of these pictures: padding costs time and moves batch norms
            pictures = pictures[..., : max(high for high, _ in sizes), : max(wide for _, wide in sizes)]
        prepared = self._prepared(pictures, sizes)
        maps = self.encoder(prepared)
        return Seen(ImageList(prepared, list(sizes)), {"0": maps} if isinstance(maps, Tensor) else dict(maps), sizes)

    def _prepared(self, pictures: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Standardised as torchvision does it, zero behind the end of each, sides multiples of the stride."""
        whole = not pictures.is_floating_point()
        mean, std = (pictures.new_tensor(v, dtype=torch.float32) for v in (IMAGENET_MEAN, IMAGENET_STD))
        scale = std * 255 if whole else std
        standard = (pictures.float() - (mean * 255 if whole else mean).view(-1, 1, 1)) / scale.view(-1, 1, 1)
        height, width = (-(-side // self.stride) * self.stride for side in pictures.shape[-2:])
        padded = standard.new_zeros(len(pictures), pictures.shape[1], height, width)
        for place, picture, (high, wide) in zip(padded, standard, sizes, strict=True):
            place[:, :high, :wide] = picture[:, :high, :wide]
        channels_last = next(self.encoder.parameters()).is_contiguous(memory_format=torch.channels_last)
        return padded.contiguous(memory_format=torch.channels_last) if channels_last else padded

    def pooled(self, seen: Seen) -> Tensor:
        """The mean of the coarsest maps over the region of each picture, without what was padded: [B, C]."""
        maps = list(seen.maps.values())[-1]
        full = seen.images.tensors.shape[-2:]
        part = torch.tensor(seen.sizes, device=maps.device).view(-1, 2) / torch.tensor(full, device=maps.device)
        rows, columns = (self._inside(part[:, axis], maps.shape[2 + axis]) for axis in (0, 1))
        inside = (rows[:, :, None] & columns[:, None, :]).unsqueeze(1)
        return torch.where(inside, maps.float(), 0).sum((2, 3)) / inside.sum((2, 3))

    @staticmethod
    def _inside(part: Tensor, length: int) -> Tensor:
        """Which of `length` cells begin inside the first `part` [B] of them: bool [B, length]; one at least."""
        return torch.arange(length, device=part.device) < (part * length).clamp(min=1).unsqueeze(1)

    def further(self, seen: Seen) -> dict[str, Tensor]:
        """Raw predictions of the further heads."""
        if not self.head_names:
            return {}
        pooled = self.pooled(seen)
        return {name: self.heads[name](pooled) for name in self.head_names}

    def anchors(self, seen: Seen) -> tuple[Tensor, list[int]]:
        """The anchors [R, 4] of any picture of a batch, and how many each level has; kept for the next batch."""
        maps = list(seen.maps.values())
        shapes = (seen.images.tensors.shape[-2:], tuple(level.shape[-2:] for level in maps), maps[0].device)
        if self._kept_anchors is None or self._kept_anchors[0] != shapes:
            generator = self.anchor_generator()
            one = ImageList(seen.images.tensors[:1], list(seen.images.image_sizes[:1]))
            # in float32, whatever autocast made of the maps
            made = generator(one, [level.new_empty(level.shape, dtype=torch.float32) for level in maps])[0]
            each = [level.shape[-2] * level.shape[-1] for level in maps]
            counts = [n * cells for n, cells in zip(generator.num_anchors_per_location(), each, strict=True)]
            self._kept_anchors = (shapes, made, counts)
        return self._kept_anchors[1], self._kept_anchors[2]

    @abstractmethod
    def anchor_generator(self) -> nn.Module:
        """Torchvision's generator of the anchors."""

    def no_losses(self) -> dict[str, Tensor]:
        """The losses of a batch without pictures: 0, with a graph to all parameters."""
        nothing = torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0
        return dict.fromkeys(self.loss_names, nothing)

    @abstractmethod
    def detection_losses(self, seen: Seen, target: Tensor, ignored: Tensor | None = None) -> dict[str, Tensor]:
        """The detector's own losses: scalars, each a mean over the labelled pictures of a mean over each picture.

        So they do not depend on which pictures are in a batch together, and pieces and processes add up. Without a
        labelled picture they are 0, with a graph. It does not matter whether the detector is in training mode.

        Args:
            seen: What `features` gave.
            target: [B, N, 5]; see `tasks.boxes`.
            ignored: [B, M, 4]: boxes of which nobody knows whether they are objects; rows of -1 are nothing. A
                candidate that overlaps one of them, by an IoU of half or by half of its own area, and stands for no
                true box, is not learnt as background.
        """

    @abstractmethod
    def detections(self, seen: Seen) -> Tensor:
        """The boxes [B, D, 6] in pixels of the pictures of the batch; see `tasks.boxes`."""

    @abstractmethod
    def box_samples(self, seen: Seen, passes: int) -> BoxSamples:
        """What dropout makes of the same candidates in several passes, without gradients.

        Candidates are chosen once, without dropout. Then the heads of the boxes run `passes` times with their dropout
        switched on and everything else as in evaluation; afterwards all modes are as they were. Without any dropout
        (`insert_dropout`) all passes are the same.

        Args:
            seen: What `features` gave.
            passes: How many.
        """


def _pictures(inputs: Inputs) -> Tensor:
    if isinstance(inputs, Tensor) or PICTURE not in inputs:
        raise UmbelError(f"a detector reads inputs {PICTURE!r} and '{PICTURE}/size'; make them with core.pad_inputs")
    return inputs[PICTURE]


def padded_detections(each: Sequence[Mapping[str, Tensor]], first_class: int) -> Tensor:
    """Torchvision's lists of detections as one tensor [B, D, 6], best score first, rows of -1 behind them.

    Args:
        each: For every picture "boxes" [d, 4], "scores" [d] and "labels" [d].
        first_class: torchvision's number of class 0.
    """
    rows = [
        torch.cat([e["boxes"], e["scores"][:, None], (e["labels"] - first_class)[:, None].to(e["boxes"].dtype)], 1)
        for e in each
    ]
    if not rows:
        return torch.zeros(0, 1, 6)
    most = max([1, *map(len, rows)])
    return torch.stack([F.pad(boxes.float(), (0, 0, 0, most - len(boxes)), value=-1) for boxes in rows])


def box_targets(target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets without NaN and without rows that no picture uses, and each picture's weight [B] in a mean.

    The weight of a picture that nobody labelled is 0.
    """
    known = ~target.isnan().flatten(1).any(1)
    weight = known.float() / known.sum().clamp(min=1)
    target = torch.where(known[:, None, None], target, -1.0).float()
    used = (target[..., 4] >= 0).any(0)
    return target[:, : max(1, int((used * torch.arange(1, len(used) + 1, device=used.device)).amax()))], weight
