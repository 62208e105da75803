import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel import tasks
from umbel.core import UmbelError
from umbel.nn import ConvHead, MapHead, VectorHead, build_head

SEGMENTATION = tasks.segmentation("kind", ["a", "b", "c"])


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.sampled_from([1, 2, 4, 8, 32]))
def test_a_map_has_the_resolution_of_the_input(height, width, downsample):
    size = (5, -(-height // downsample), -(-width // downsample))
    head = build_head(SEGMENTATION, size, (1, height, width), hidden=4)
    assert head(torch.rand(2, *size)).shape == (2, 3, height, width)


def test_a_larger_picture_gets_a_larger_map():
    head = MapHead((5, 4, 4), 2, (16, 16), hidden=4)
    assert head(torch.rand(1, 5, 6, 8)).shape == (1, 2, 24, 32)


def test_a_map_stays_in_place():
    # A feature at one place may only change the pixels around it: a wrong shuffle or axis order moves it.
    head = MapHead((3, 8, 8), 1, (32, 32), hidden=4).eval()
    features = torch.zeros(1, 3, 8, 8)
    changed = features.clone()
    changed[0, :, 1, 6] = 5.0
    rows, columns = (head(changed) - head(features))[0, 0].abs().gt(1e-6).nonzero(as_tuple=True)
    assert rows.min() >= 0 and rows.max() < 16
    assert columns.min() >= 16


def test_vector_head_pools_maps_and_takes_vectors_and_sequences():
    head = VectorHead((3, 4, 5), 2)
    maps = torch.rand(6, 3, 4, 5)
    torch.testing.assert_close(head(maps), head(maps.roll(2, dims=3)))
    assert VectorHead((3,), 2, hidden=7)(torch.rand(6, 3)).shape == (6, 2)
    assert VectorHead((3,), 2)(torch.rand(6, 9, 3)).shape == (6, 9, 2)


def test_heads_that_cannot_be_built_say_why():
    with pytest.raises(UmbelError, match="'kind' predicts a map"):
        build_head(SEGMENTATION, (16,), (3, 8, 8))
    with pytest.raises(UmbelError, match="'kind': no usual head gives output 'boxes'"):
        build_head(dataclasses.replace(SEGMENTATION, output="boxes"), (16, 4, 4), (3, 8, 8))
    with pytest.raises(UmbelError, match="feature maps"):
        MapHead((3,), 1, (8, 8))
    with pytest.raises(UmbelError, match="hidden is 0"):
        MapHead((3, 2, 2), 1, (8, 8), hidden=0)
    with pytest.raises(UmbelError, match="vector head"):
        VectorHead((3, 4), 1)


def test_a_conv_head_looks_at_neighbours_before_it_pools():
    """Two features of the same mean, arranged differently, are told apart; linear heads cannot do that."""
    task = tasks.classification("kind", ["a", "b", "c"])
    conv = build_head(task, (3, 4, 4), (1, 8, 8), hidden=8, vector_head="conv").eval()
    linear = build_head(task, (3, 4, 4), (1, 8, 8), hidden=8).eval()
    assert isinstance(conv, ConvHead)
    features = torch.rand(1, 3, 4, 4)
    shuffled = features.flatten(2)[..., torch.randperm(16, generator=torch.Generator().manual_seed(0))].view(1, 3, 4, 4)
    assert conv(features).shape == (1, 3)
    assert (conv(features) - conv(shuffled)).abs().max() > 1e-4
    assert torch.allclose(linear(features), linear(shuffled), atol=1e-6)


def test_a_conv_head_needs_maps_and_a_known_name():
    task = tasks.classification("kind", ["a", "b"])
    with pytest.raises(UmbelError, match="a conv head needs feature maps"):
        build_head(task, (3,), (8,), vector_head="conv")
    with pytest.raises(UmbelError, match="unknown vector head 'convolution'"):
        build_head(task, (3, 4, 4), (1, 8, 8), vector_head="convolution")
