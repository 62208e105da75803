"""Quality of pictures, measured for each picture and averaged: peak signal-to-noise ratio and structural similarity."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.metrics.sample_mean import SampleMean

_WINDOW = 11  # pixels; of the usual Gaussian window with standard deviation 1.5
_LEAST_ERROR = 1e-10  # 100 dB: a picture without any error counts so much


class PicturePSNR(SampleMean):
    """Peak signal-to-noise ratio in dB: the mean over pictures of 10 log10(1 / mean squared error).

    For values in 0 to 1. This mean over pictures is what papers on image communication report; it is larger than the
    ratio of the mean error. A picture without error counts 100 dB.
    """

    def update(self, prediction: Float[Tensor, "n c h w"], target: Float[Tensor, "n c h w"]) -> None:
        """Add pictures."""
        self.add(picture_psnr(prediction, target))


class PictureSSIM(SampleMean):
    """Structural similarity, averaged over pictures (Wang et al., IEEE Transactions on Image Processing, 2004).

    Gaussian window of 11 pixels and standard deviation 1.5. A picture with a shorter side has the largest odd window
    that fits, with the standard deviation scaled likewise; sides below 3 pixels have no structure and count NaN.
    """

    def update(self, prediction: Float[Tensor, "n c h w"], target: Float[Tensor, "n c h w"]) -> None:
        """Add pictures."""
        self.add(picture_ssim(prediction, target))


def picture_psnr(prediction: Float[Tensor, "n c h w"], target: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """What `PicturePSNR` averages: for each picture its ratio in dB, in float64."""
    error = (prediction.double() - target.double()).square().mean((1, 2, 3))
    return -10 * error.clamp(min=_LEAST_ERROR).log10()


def picture_ssim(prediction: Float[Tensor, "n c h w"], target: Float[Tensor, "n c h w"]) -> Float[Tensor, "n"]:
    """What `PictureSSIM` averages: each picture's similarity, at most 1. It can be a loss: it has gradients."""
    side = min(target.shape[-2:])
    if side < 3:
        return torch.full((len(target),), torch.nan)
    return _similarity(prediction.float(), target.float(), min(_WINDOW, side - 1 + side % 2))


_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # constants of the definition, for values in 0 to 1


def _similarity(first: Tensor, second: Tensor, window: int) -> Tensor:
    """SSIM of each pair of pictures: the mean over all windows, the pictures mirrored at their edges.

    The Gaussian window is separable, so local means are two small matrix products instead of a convolution; the
    numbers are torchmetrics', about ten times sooner.
    """
    rows, columns = (_blur(side, window).to(first.device) for side in first.shape[-2:])
    parts = torch.stack([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = rows @ parts @ columns.T
    variance = (square_1 - mean_1**2).clamp(min=0) + (square_2 - mean_2**2).clamp(min=0)
    covariance = product - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _LUMINANCE) / (mean_1**2 + mean_2**2 + _LUMINANCE)
    return (luminance * (2 * covariance + _CONTRAST) / (variance + _CONTRAST)).mean((1, 2, 3))


def _blur(side: int, window: int) -> Tensor:
    """The matrix [side, side] of Gaussian means along an axis that is mirrored at its ends."""
    sigma = 1.5 * (window - 1) / (_WINDOW - 1)
    places = torch.arange(window) - window // 2
    weights = torch.exp(-((places / sigma) ** 2) / 2)
    mirrored = F.pad(torch.eye(side)[None, None], (0, 0, window // 2, window // 2), mode="reflect")[0, 0]
    return torch.einsum("k,ikj->ij", weights / weights.sum(), mirrored.unfold(0, window, 1).movedim(-1, 1))
