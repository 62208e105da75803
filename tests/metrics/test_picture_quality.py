"""Picture metrics against other formulas: torchmetrics picture by picture, and the definition in plain loops."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from umbel.metrics import PicturePSNR, PictureSSIM, picture_psnr, picture_ssim


def pairs(count=9, shape=(3, 16, 16), seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(count, *shape, generator=generator)
    spread = torch.linspace(0.02, 0.4, count).view(-1, 1, 1, 1)
    return (target + spread * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


def fed(metric, prediction, target, parts=(slice(0, 2), slice(2, 3), slice(3, None))):
    for part in parts:
        metric.update(prediction[part], target[part])
    return metric.compute().item()


def test_the_ratio_is_the_mean_of_each_picture_s_own():
    """Not the ratio of the mean error (2 dB less here), and not a mean over batches."""
    prediction, target = pairs()
    each = [peak_signal_noise_ratio(p, t, data_range=1.0).item() for p, t in zip(prediction, target, strict=True)]
    found = fed(PicturePSNR(), prediction, target)
    assert found == pytest.approx(sum(each) / len(each), rel=1e-5)
    assert found > peak_signal_noise_ratio(prediction, target, data_range=1.0).item() + 2


def test_known_errors_are_known_decibels():
    target = torch.full((2, 1, 4, 4), 0.5)
    assert fed(PicturePSNR(), target + 0.1, target, (slice(None),)) == pytest.approx(20, abs=1e-4)
    assert fed(PicturePSNR(), target, target, (slice(None),)) == pytest.approx(100)
    assert math.isnan(fed(PicturePSNR(), target * math.nan, target, (slice(None),))), "a diverged network is not good"


def similarity(first, second, window):
    """The definition, window by window, on one channel of float64; edges mirrored."""
    sigma, half = 1.5 * (window - 1) / 10, window // 2
    line = np.exp(-((np.arange(window) - half) ** 2) / (2 * sigma**2))
    weights = np.outer(line, line) / np.outer(line, line).sum()
    x, y = (np.pad(picture, half, mode="reflect") for picture in (first, second))
    values = []
    for i in range(first.shape[0]):
        for j in range(first.shape[1]):
            a, b = x[i : i + window, j : j + window], y[i : i + window, j : j + window]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values.append(luminance * (2 * both + 9e-4) / (var_a + var_b + 9e-4))
    return np.mean(values)


@pytest.mark.parametrize(
    ("side", "window"), [((3, 3), 3), ((4, 4), 3), ((5, 9), 5), ((8, 8), 7), ((11, 12), 11), ((16, 16), 11)]
)
def test_similarity_is_its_definition_in_the_largest_window_that_fits(side, window):
    prediction, target = pairs(3, (2, *side), seed=side[1])
    wanted = np.mean(
        [similarity(p, t, window) for a, b in zip(prediction, target, strict=True) for p, t in zip(a, b, strict=True)]
    )
    assert fed(PictureSSIM(), prediction, target, (slice(0, 1), slice(1, 3))) == pytest.approx(wanted, abs=2e-4)


def test_similarity_falls_with_noise_and_sees_structure_that_the_error_does_not():
    prediction, target = pairs(9)
    each = [fed(PictureSSIM(), prediction[i : i + 1], target[i : i + 1], (slice(None),)) for i in (0, 4, 8)]
    assert each[0] > each[1] > each[2]
    brighter, noisy = target * 0.9, target + 0.05 * torch.randn(target.shape, generator=torch.Generator())
    assert fed(PictureSSIM(), brighter, target) > fed(PictureSSIM(), noisy, target)


def test_sides_below_three_pixels_count_as_nothing_known():
    assert math.isnan(fed(PictureSSIM(), torch.rand(3, 1, 2, 9), torch.rand(3, 1, 2, 9)))


def test_before_any_picture_there_is_no_number():
    for kind in (PicturePSNR, PictureSSIM):
        metric = kind()
        with pytest.warns(UserWarning, match="compute"):
            assert math.isnan(metric.compute().item())


def test_uneven_shares_of_several_processes_add_up():
    """As torchmetrics joins the states of processes: sums, not means of means."""
    prediction, target = pairs()
    for kind in (PicturePSNR, PictureSSIM):
        here, there = kind(), kind()
        here.update(prediction[:2], target[:2])
        there.update(prediction[2:], target[2:])
        here.merge_state(there)
        assert here.compute().item() == pytest.approx(fed(kind(), prediction, target), rel=1e-5)


def test_the_functions_say_of_each_picture_what_the_metrics_average_and_can_be_losses():
    target = torch.rand(3, 1, 12, 9, generator=torch.Generator().manual_seed(0))
    prediction = torch.stack([target[0], target[1] * 0.8, 1 - target[2]]).requires_grad_()
    for metric, function in ((PicturePSNR(), picture_psnr), (PictureSSIM(), picture_ssim)):
        metric.update(prediction.detach(), target)
        each = function(prediction, target)
        assert each.shape == (3,) and each[0] > each[1] > each[2]
        assert float(metric.compute()) == pytest.approx(float(each.detach().mean()), rel=1e-6)
    (slope,) = torch.autograd.grad(picture_ssim(prediction, target).sum(), prediction)
    nearer = (prediction + 1e-3 * slope).detach()
    assert (picture_ssim(nearer, target)[1:] > picture_ssim(prediction, target)[1:]).all()
