"""Training pictures as another camera would have taken them."""

import pytest
import torch

from umbel.core import Batch, UmbelError
from umbel.data import CameraChanges

NEUTRAL = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.0, 0.9, 0.0]])
"""Numbers that change nothing: factors of 1, no blur, no noise."""


def batch(count: int = 2) -> Batch:
    pictures = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(pictures, {"depth": torch.rand(count, 1, 8, 8)}, torch.zeros(count, dtype=torch.int64))


def changed(of: Batch, strength: float = 1.0, **numbers: float) -> torch.Tensor:
    names = ("gain", "red", "blue", "contrast", "gamma", "blurred", "much", "noisy", "loud")
    uniform = NEUTRAL.repeat(len(of), 1)
    for name, value in numbers.items():
        uniform[:, names.index(name)] = value
    return CameraChanges(strength)(of, uniform).inputs


def test_the_middle_of_all_ranges_changes_nothing():
    of = batch()
    assert torch.allclose(changed(of), of.inputs.clamp(min=1e-4), atol=1e-6)


def test_each_number_does_what_it_says():
    of = batch()
    dark = Batch(0.2 * of.inputs)
    assert torch.allclose(changed(dark, gain=1.0), 2 * dark.inputs, atol=1e-4)
    assert torch.allclose(changed(dark, gain=0.0), dark.inputs / 2, atol=1e-4)
    red = changed(dark, red=1.0)
    assert torch.allclose(red[:, 0], 1.3 * dark.inputs[:, 0], atol=1e-4)
    assert torch.allclose(red[:, 1:], dark.inputs[:, 1:], atol=1e-4)
    assert torch.allclose(changed(of, gamma=1.0), of.inputs.clamp(min=1e-4) ** 1.5, atol=1e-5)
    assert changed(of, contrast=0.0).std() < 0.7 * of.inputs.std()
    assert changed(of, blurred=0.0, much=1.0).std() < 0.6 * of.inputs.std()
    grey = Batch(torch.full((1, 3, 64, 64), 0.5))
    assert float(changed(grey, noisy=0.0, loud=1.0).std()) == pytest.approx(0.06, rel=0.05)


def test_noise_depends_on_the_drawn_numbers_alone_and_strength_0_is_no_change():
    of, uniform = batch(4), torch.rand(4, 9, generator=torch.Generator().manual_seed(1))
    one, two = (CameraChanges()(of, uniform).inputs for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, CameraChanges()(of, uniform.flip(0)).inputs)
    assert torch.allclose(CameraChanges(0.0)(of, uniform).inputs, of.inputs.clamp(min=1e-4), atol=1e-6)


def test_what_is_predicted_stays_as_it_is():
    of = batch()
    after = CameraChanges()(of, torch.rand(2, 9))
    assert after.targets is of.targets
    assert after.domain is of.domain
    assert float(after.inputs.min()) >= 0
    assert float(after.inputs.max()) <= 1


def test_bad_arguments():
    with pytest.raises(UmbelError, match="at least 0"):
        CameraChanges(-1.0)
    with pytest.raises(UmbelError, match="three colours"):
        CameraChanges()(Batch(torch.rand(2, 1, 8, 8)), torch.rand(2, 9))
