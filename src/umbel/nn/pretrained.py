"""Networks of torchvision without their classifiers, as encoders."""

from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from umbel.core import UmbelError, unknown
from umbel.nn.encoders import Standardise, picture_shape

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FeatureMaps(nn.Module):
    """A network cut before its pooling and classifier, behind a standardisation.

    Attributes:
        feature_shape: (C, H, W) of the feature maps, measured with one picture.
    """

    def __init__(self, standardise: Standardise, body: nn.Module, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.standardise = standardise
        self.body = body
        with torch.no_grad():
            probe = self.eval()(torch.zeros(1, *input_shape))
        self.train()
        self.feature_shape = tuple(probe.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, *feature_shape]."""
        return self.body(self.standardise(x))


def torchvision_encoder(
    name: str, input_shape: Sequence[int], downsample: int | None = None, weights: str | None = None
) -> FeatureMaps:
    """A torchvision classification network without its classifier, keeping the feature map.

    Args:
        name: Of a network that ends in a feature map, as "resnet18" or "mobilenet_v3_small".
        input_shape: (C, H, W). Other than three channels get a new first convolution.
        downsample: Keep the feature map at 1/downsample of the picture's resolution or finer, by giving the later
            halving stages stride 1; None keeps the network's own (usually 32).
        weights: None starts from scratch. "DEFAULT" or a name that torchvision knows downloads trained weights,
            and pictures are then standardised as they were for ImageNet.

    Raises:
        UmbelError: Unknown network, one without a feature map, trained weights for pictures that are not in colour,
            or a `downsample` that cannot be had.
    """
    channels, height, width = picture_shape(input_shape)
    names = torchvision.models.list_models(torchvision.models)
    if name not in names:
        raise unknown("torchvision network", name, names)
    if weights is not None and channels != 3:
        raise UmbelError(f"trained weights of {name} need 3 channels, the pictures have {channels}; leave weights out")
    body = _trunk(name, torchvision.models.get_model(name, weights=weights))
    if channels != 3:
        _replace_first_convolution(body, channels)
    if downsample is not None:
        _limit_strides(body, downsample)
    standardise = Standardise() if weights is None else Standardise(IMAGENET_MEAN, IMAGENET_STD)
    encoder = FeatureMaps(standardise, body, (channels, height, width))
    if downsample is not None and encoder.feature_shape[1] * downsample < height:
        raise UmbelError(f"{name} cannot keep 1/{downsample} of the resolution; use a larger downsample")
    return encoder


def _trunk(name: str, network: nn.Module) -> nn.Sequential:
    """What comes before pooling and classifier, as a flat sequence of blocks."""
    if isinstance(network, torchvision.models.ResNet):
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        return nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool, *(b for s in stages for b in s))
    features = getattr(network, "features", None)
    channels_last = isinstance(network, torchvision.models.SwinTransformer)
    if not isinstance(features, nn.Sequential) or channels_last:
        raise UmbelError(
            f"{name} does not end in a feature map [B, C, H, W]; use a resnet, mobilenet, efficientnet or convnext"
        )
    return features


def _replace_first_convolution(body: nn.Module, channels: int) -> None:
    for name, module in body.named_modules():
        if isinstance(module, nn.Conv2d):
            fresh = nn.Conv2d(
                channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                bias=module.bias is not None,
            )
            body.set_submodule(name, fresh)
            return


def _limit_strides(body: nn.Sequential, downsample: int) -> None:
    """Blocks that would shrink the map beyond `downsample` get stride 1, in all their parts (shortcuts too)."""
    so_far = 1
    for part in body:
        strided = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d) and _stride(m) > 1]
        if not strided:
            continue
        factor = max(_stride(m) for m in strided)
        if so_far * factor <= downsample:
            so_far *= factor
            continue
        for module in strided:
            module.stride = (1, 1) if isinstance(module, nn.Conv2d) else 1


def _stride(module: nn.Conv2d | nn.MaxPool2d) -> int:
    return module.stride if isinstance(module.stride, int) else max(module.stride)
