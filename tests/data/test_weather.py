"""Fog, blur and illumination of known strength."""

import pytest
import torch

from umbel.core import UmbelError
from umbel.data.weather import AIRLIGHT, blur, fog, illumination, smooth_fields


def random_pictures(count=3, size=(20, 24)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def test_fog_is_koschmieders_law_for_each_picture_by_itself():
    pictures, distance = random_pictures(), 0.5 + smooth_fields(3, (20, 24), torch.Generator().manual_seed(2))
    beta = torch.tensor([0.0, 0.7, 50.0])
    foggy = fog(pictures, beta, distance)
    assert torch.equal(foggy[0], pictures[0])
    passed = (-0.7 * distance[1, 0, 3, 5]).exp()
    assert torch.allclose(foggy[1, :, 3, 5], pictures[1, :, 3, 5] * passed + AIRLIGHT * (1 - passed))
    assert torch.allclose(foggy[2], torch.full_like(foggy[2], AIRLIGHT), atol=1e-6)


def test_blur_keeps_what_is_even_and_spreads_a_point_as_a_gaussian():
    even = torch.full((2, 3, 15, 15), 0.3)
    assert torch.allclose(blur(even, torch.tensor([1.0, 3.0])), even, atol=1e-6)
    point = torch.zeros(2, 3, 31, 31)
    point[:, :, 15, 15] = 1
    spread = blur(point, torch.tensor([0.0, 2.0]))
    assert torch.allclose(spread[0], point[0], atol=1e-6)
    places = torch.arange(31.0) - 15
    assert float((spread[1, 0] * places[:, None] ** 2).sum()) == pytest.approx(4, rel=0.05)  # variance down
    assert float((spread[1, 0] * places**2).sum()) == pytest.approx(4, rel=0.05)  # and across
    assert float(spread[1, 0].sum()) == pytest.approx(1, abs=1e-4)


def test_illumination_is_a_power_and_a_gain_of_each_channel():
    pictures = random_pictures()
    same = illumination(pictures, torch.ones(3), torch.ones(3, 3))
    assert torch.allclose(same, pictures)
    gains = torch.tensor([[1.0, 0.5, 2.0]] * 3)
    lit = illumination(pictures, torch.tensor([2.0, 1.0, 0.5]), gains)
    assert torch.allclose(lit[0, 1], 0.5 * pictures[0, 1] ** 2)
    assert float(lit[1, 2].max()) == 1
    assert float(lit.min()) >= 0


def test_fields_are_smooth_and_from_0_to_1():
    fields = smooth_fields(4, (40, 50), torch.Generator().manual_seed(0))
    assert torch.allclose(fields.amin((1, 2, 3)), torch.zeros(4))
    assert torch.allclose(fields.amax((1, 2, 3)), torch.ones(4))
    assert float((fields[..., 1:] - fields[..., :-1]).abs().max()) < 0.15
    assert not torch.allclose(fields[0], fields[1])
    with pytest.raises(UmbelError, match="give at least 2"):
        smooth_fields(1, (4, 4), torch.Generator(), cells=1)
