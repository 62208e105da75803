"""Colour textures: patterns as in an explicit loop, colours as the standard library has them, the best of three."""

import colorsys

import numpy as np
import pytest
import torch

from umbel import tasks
from umbel.core import Batch
from umbel.data import MultiTaskData, TensorSource
from umbel.recipes.physical_proxies.texture import (
    TextureClassifier,
    hsv,
    pattern_codes,
    texture_features,
    uniform_patterns,
    ycbcr,
)

CIRCLE = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Neighbours (down, right), from the one on the right against the clock: bits 0 to 7."""


def pictures(samples=3, side=9, seed=0):
    """Few grey levels, so that neighbours are often equal."""
    return torch.randint(6, (samples, 3, side, side), generator=torch.Generator().manual_seed(seed)) / 5


def codes_by_hand(channel):
    height, width = channel.shape
    codes = np.zeros((height - 2, width - 2), int)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            for bit, (down, right) in enumerate(CIRCLE):
                if channel[row + down, column + right] >= channel[row, column]:
                    codes[row - 1, column - 1] += 2**bit
    return codes


def test_codes_are_those_of_an_explicit_loop():
    channels = pictures(side=7)
    codes = pattern_codes(channels)
    assert codes.shape == (3, 3, 5, 5)
    for sample, channel in np.ndindex(3, 3):
        assert (codes[sample, channel].numpy() == codes_by_hand(channels[sample, channel].numpy())).all()
    assert len(codes.unique()) > 40


def test_uniform_patterns_are_58_and_all_others_one():
    table = uniform_patterns()
    assert sorted(set(table.tolist())) == list(range(59))
    changes = [sum((code >> k & 1) != (code >> (k + 1) % 8 & 1) for k in range(8)) for code in range(256)]
    assert [code for code in range(256) if table[code] == 58] == [code for code in range(256) if changes[code] > 2]


def test_features_are_histograms_of_six_channels():
    batch = pictures()
    features = texture_features(batch)
    assert features.shape == (3, 6 * 59) and features.dtype == np.float32
    assert features.reshape(3, 6, 59).sum(2) == pytest.approx(np.ones((3, 6)))
    value = batch.amax(1)[1].numpy()  # the V of HSV, third of the six
    expected = np.bincount(uniform_patterns()[torch.from_numpy(codes_by_hand(value))].flatten(), minlength=59)
    assert features[1].reshape(6, 59)[2] == pytest.approx(expected / 49)


def test_colours_are_those_of_the_standard_library_and_of_jpeg():
    colours = torch.cat(
        [torch.rand(200, 3, generator=torch.Generator().manual_seed(1)), torch.eye(3), torch.zeros(1, 3)]
    )
    seen = hsv(colours[:, :, None, None])[:, :, 0, 0]
    assert seen.numpy() == pytest.approx(np.array([colorsys.rgb_to_hsv(*one) for one in colours.tolist()]), abs=1e-5)
    known = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])[:, :, None, None]
    expected = [[1, 0.5, 0.5], [0, 0.5, 0.5], [0.299, 0.331264, 1.0], [0.114, 1.0, 0.418688]]  # JFIF, with 128 as 0.5
    assert ycbcr(known)[:, :, 0, 0].numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_what_is_printed_in_stripes_is_told_from_what_is_smooth():
    """Kinds differ by texture alone; the scores of live pictures are the greater ones."""

    def split(seed, samples=24):
        random = torch.Generator().manual_seed(seed)
        live = torch.arange(samples) % 2 == 0
        inputs = torch.rand(samples, 3, 1, 1, generator=random).expand(-1, -1, 12, 12) * 0.6
        inputs = inputs + 0.05 * torch.rand(samples, 3, 12, 12, generator=random)
        inputs[~live, :, ::2] += 0.3
        return TensorSource(Batch(inputs, {"liveness": (~live).long()}))

    data = MultiTaskData("toy", "Toy", (tasks.liveness(),), split(0), split(1), split(2), (3, 12, 12))
    fitted = TextureClassifier.fitted(data)
    test = data.test.samples
    scores = fitted.scores(test.inputs)
    assert fitted.name in ("logistic", "support vectors", "boosted trees") and scores.dtype == torch.float32
    live = test.targets["liveness"] == 0
    assert scores[live].min() > scores[~live].max()
