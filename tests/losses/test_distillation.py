"""Distances between narrow and full networks: against loops written out, and what they must not depend on."""

import pytest
import torch
from torch.nn import functional as F

from umbel.errors import UmbelError
from umbel.losses import attention_distance, class_divergence, prefix_distance, relational_distance


def maps(channels, seed, samples=4):
    return torch.randn(samples, channels, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_prefix_distance_is_that_of_unit_vectors():
    narrow, full = maps(2, 0), maps(5, 1)
    for sample, distance in enumerate(prefix_distance(narrow, full)):
        one, other = narrow[sample].flatten(), full[sample, :2].flatten()
        assert distance == pytest.approx(float((one / one.norm() - other / other.norm()).square().sum()))


def test_prefix_distance_sees_direction_alone():
    full = maps(5, 1)
    assert prefix_distance(7 * full[:, :2], full).max() < 1e-12
    assert torch.allclose(prefix_distance(-full[:, :2], full), torch.tensor(4.0, dtype=torch.float64))


def test_prefix_distance_takes_the_channels_wherever_they_are():
    series = torch.randn(3, 6, 8)
    assert prefix_distance(series[..., :4], series).max() < 1e-6


@pytest.mark.parametrize("shape", [(4, 2, 3, 1), (4, 2)])
def test_features_that_are_no_prefix_are_refused(shape):
    with pytest.raises(UmbelError, match="are not a prefix of the full features"):
        prefix_distance(torch.randn(shape), torch.randn(4, 5, 3, 2))


def test_relational_distance_is_that_of_the_cosines_of_samples():
    narrow, full = maps(2, 0), maps(5, 1)
    cosines = [
        F.cosine_similarity(z.flatten(1).unsqueeze(0), z.flatten(1).unsqueeze(1), dim=-1) for z in (narrow, full)
    ]
    expected = (cosines[0] - cosines[1]).square().sum() / 16
    assert torch.allclose(relational_distance(narrow, full).mean(), expected)
    rotation = torch.linalg.qr(torch.randn(30, 30, dtype=torch.float64))[0]
    turned = (full.flatten(1) @ rotation).view_as(full)
    assert relational_distance(turned, full).max() < 1e-12


def test_attention_distance_sees_where_not_which_channel():
    full = maps(6, 1)
    assert attention_distance(full[:, torch.randperm(6)], full).max() < 1e-12
    assert attention_distance(3 * full[:, :, [1, 0, 2]], full).min() > 1e-3
    with pytest.raises(UmbelError, match="attention compares maps of one size"):
        attention_distance(torch.randn(2, 4), torch.randn(2, 8))


def test_prediction_distance_of_classes_is_the_divergence_from_the_full_one():
    one, full = torch.randn(5, 3), torch.randn(5, 3)
    expected = F.kl_div(one.log_softmax(1), full.log_softmax(1), log_target=True, reduction="none").sum(1)
    assert torch.allclose(class_divergence(one, full), expected, atol=1e-6)
    dense = torch.randn(5, 3, 2, 2)
    assert class_divergence(dense, dense + 1).abs().max() < 1e-6, "a constant changes no probability"


def test_half_precision_is_compared_in_full():
    full = torch.randn(2, 16).bfloat16()
    assert prefix_distance(full[:, :8], full).dtype == torch.float32
