"""Picture metrics against torchmetrics and closed forms; mean confidence."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from umbel.metrics import MeanConfidence, PicturePSNR, PictureSSIM


def _pictures(height, width, channels=3):
    generator = torch.Generator().manual_seed(height)
    first = torch.rand(5, channels, height, width, generator=generator)
    return first, (first + 0.2 * torch.randn(first.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize(("height", "width", "window"), [(32, 32, 11), (16, 24, 11), (8, 8, 7), (28, 11, 11)])
def test_structural_similarity_is_that_of_torchmetrics(height, width, window):
    first, second = _pictures(height, width)
    metric = PictureSSIM()
    metric.update(first, second)
    sigma = 1.5 * (window - 1) / 10
    expected = structural_similarity_index_measure(first, second, sigma=sigma, kernel_size=window, data_range=1.0)
    torch.testing.assert_close(metric.compute(), expected, atol=1e-4, rtol=1e-4)


def test_a_picture_is_like_itself_and_has_no_structure_below_three_pixels():
    first, _ = _pictures(16, 16)
    metric = PictureSSIM()
    metric.update(first, first)
    assert metric.compute() == pytest.approx(1.0, abs=1e-5)
    metric.update(first[..., :2], first[..., :2])
    assert metric.compute().isnan()


def test_signal_to_noise_ratio_is_a_mean_over_pictures():
    target = torch.zeros(2, 1, 4, 4)
    prediction = torch.stack([torch.full((1, 4, 4), 0.1), torch.full((1, 4, 4), 0.01)])
    metric = PicturePSNR()
    metric.update(prediction, target)
    assert metric.compute() == pytest.approx((20 + 40) / 2, abs=1e-3)


def test_confidence_is_the_mean_of_the_largest_probability():
    metric = MeanConfidence()
    metric.update(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([1, 1]))
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    assert metric.compute() == pytest.approx((0.9 + 0.6 + 1.0) / 3)
