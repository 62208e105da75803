"""A small Faster R-CNN that a CPU can train: a few convolutions with one feature map, small heads."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from umbel.core import Task, UmbelError
from umbel.nn.detection.pooling import RegionPool
from umbel.nn.detection.regions import RegionDetector
from umbel.nn.encoders import groups_of

_MADE_FOR = 160  # pixels of the longer side, which the sizes of anchors are given for


class SmallBackbone(nn.Module):
    """3x3 convolutions, each with a norm and ReLU: pictures [B, 3, H, W] -> one map [B, widths[-1], h, w].

    Args:
        widths: Channels of each.
        strides: Of each.
        norm: "batch" or "group".

    Attributes:
        out_channels: Of the map.
        stride: Pixels between two of its cells.
    """

    def __init__(self, widths: Sequence[int], strides: Sequence[int], norm: str = "batch") -> None:
        super().__init__()
        if len(widths) != len(strides) or not widths:
            raise UmbelError(
                f"small-fasterrcnn: widths {tuple(widths)} and strides {tuple(strides)}; give one of each for every "
                "convolution"
            )
        self.stride = 1
        blocks, channels = [], 3
        for width, stride in zip(widths, strides, strict=True):
            normed = nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(groups_of(width), width)
            convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
            blocks.append(nn.Sequential(convolution, normed, nn.ReLU(inplace=True)))
            channels, self.stride = width, self.stride * stride
        self.blocks = nn.Sequential(*blocks)
        self.out_channels = channels

    def forward(self, pictures: Tensor) -> Tensor:
        """Feature maps."""
        return self.blocks(pictures)


def small_fasterrcnn(
    labels: Sequence[str],
    resolution: int,
    norm: str,
    heads: Sequence[Task] = (),
    *,
    widths: Sequence[int] = (16, 32, 64, 64),
    strides: Sequence[int] = (2, 2, 1, 1),
    anchors: Sequence[float] = (16, 24, 48),
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    hidden: int = 128,
    region: int = 5,
    proposals: int = 200,
    detections: int = 60,
) -> RegionDetector:
    """A Faster R-CNN of about 0.3 million parameters, for pictures of about 160 x 120.

    Args:
        labels: Names of the classes.
        resolution: The longer side of pictures, in pixels.
        norm: Of the backbone: "batch" or "group".
        heads: Further tasks.
        widths: Channels of the backbone's convolutions.
        strides: Of the same; their product is the stride of the map that boxes are found on.
        anchors: Sides of the square anchors in a picture of 160 pixels; scaled with the resolution.
        ratios: Heights of the anchors divided by their widths.
        hidden: Width of the two layers of the box head.
        region: Side of the grid that each region's features are pooled to.
        proposals: Regions of a picture that are looked at in training; half as many otherwise.
        detections: Most boxes that a picture can have.

    Raises:
        UmbelError: Not as many widths as strides.
    """
    backbone = SmallBackbone(widths, strides, norm)
    channels = backbone.out_channels
    sizes = tuple(round(side * resolution / _MADE_FOR) for side in anchors)
    generator = AnchorGenerator((sizes,), (tuple(ratios),))
    rpn = RegionProposalNetwork(
        generator,
        RPNHead(channels, generator.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2 * proposals, "testing": 3 * proposals // 2},
        post_nms_top_n={"training": proposals, "testing": proposals // 2},
        nms_thresh=0.7,
    )
    roi_heads = RoIHeads(
        RegionPool(region),
        TwoMLPHead(channels * region**2, hidden),
        FastRCNNPredictor(hidden, len(labels) + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=64,
        positive_fraction=0.25,
        bbox_reg_weights=None,
        score_thresh=0.05,
        nms_thresh=0.5,
        detections_per_img=detections,
    )
    return RegionDetector(backbone, rpn, roi_heads, labels, resolution, backbone.stride, heads)
