import itertools

import pytest
import torch
from torch import nn

from umbel.core import UmbelError
from umbel.nn import PictureHead, PixelEncoder, PooledHead, SmoothBlock, build_encoder


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "downsample"),
    [*itertools.product([(8, 8), (9, 5), (32, 28)], [1, 2, 3, 4, 8]), ((3, 3), 1), ((3, 3), 2), ((3, 3), 3)],
)
def test_the_encoder_s_shape_is_what_it_says(size, downsample):
    encoder = PixelEncoder((3, *size), 8, 1, downsample)
    assert encoder.feature_shape == (8, -(-size[0] // downsample), -(-size[1] // downsample))
    assert encoder(rand(2, 3, *size)).shape == (2, *encoder.feature_shape)


def test_nothing_is_lost_before_the_first_layer():
    """Every pixel reaches the stem once: an unshuffle, not a pooling or a stride that skips."""
    encoder, seen = PixelEncoder((1, 8, 8), 4, 0, 4, mean=0.0, std=1.0), []
    encoder.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.arange(64.0).view(1, 1, 8, 8) / 64
    encoder(x)
    assert sorted(seen[0].flatten().tolist()) == x.flatten().tolist()


def test_a_border_is_repeated_and_not_made_black():
    encoder, seen = PixelEncoder((1, 5, 6), 4, 0, 4, mean=0.0, std=1.0), []
    encoder.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(torch.ones(1, 1, 5, 6))
    assert torch.equal(seen[0], torch.ones(1, 16, 2, 2))


def test_a_picture_s_features_do_not_depend_on_its_neighbours():
    encoder = PixelEncoder((1, 8, 8), 8, 2).train()
    x = rand(6, 1, 8, 8)
    torch.testing.assert_close(encoder(x)[:2], encoder(x[:2]))


def test_the_encoder_is_there_by_name_with_its_options():
    encoder = build_encoder("pixel", (3, 16, 16), width=12, blocks=1, downsample=2)
    assert isinstance(encoder, PixelEncoder) and encoder.feature_shape == (12, 8, 8)


@pytest.mark.parametrize("options", [{"width": 0}, {"downsample": 0}, {"downsample": 9}, {"blocks": -1}])
def test_sizes_that_cannot_be_are_refused(options):
    with pytest.raises(UmbelError, match="pixel encoder"):
        PixelEncoder((1, 8, 8), **options)


def test_a_residual_block_passes_its_input_on():
    block = SmoothBlock(6)
    nn.init.zeros_(block.body[-1].weight)
    nn.init.zeros_(block.body[-1].bias)
    x = rand(2, 6, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("features", "size"),
    [((6, 2, 2), (8, 8)), ((6, 3, 2), (9, 7)), ((6, 8, 8), (4, 4)), ((6, 1, 1), (5, 5)), ((6, 8, 8), (8, 3))],
)
def test_a_picture_comes_out_in_its_size(features, size):
    head = PictureHead(features, 3, size)
    assert head(rand(2, *features)).shape == (2, 3, *size)


def test_each_cell_draws_its_own_pixels():
    """The gradient of a pixel deep inside a cell reaches that cell and its neighbours only."""
    head = PictureHead((4, 6, 6), 1, (24, 24))
    features = rand(1, 4, 6, 6).requires_grad_()
    head(features)[0, 0, 2, 21].backward()
    touched = features.grad.abs().sum((0, 1)) > 0
    assert touched[0, 5] and not touched[2:].any() and not touched[:, :4].any()


def test_an_untaught_head_draws_grey():
    head = PictureHead((4, 2, 2), 1, (8, 8))
    assert torch.equal(head(torch.zeros(1, 4, 2, 2)), torch.full((1, 1, 8, 8), 0.5))


def test_heads_refuse_what_is_no_map_or_no_picture():
    with pytest.raises(UmbelError, match="cannot give a picture"):
        PictureHead((7,), 1, (8, 8))
    with pytest.raises(UmbelError, match="cannot give a picture"):
        PictureHead((7, 2, 2), 1, (0, 8))


def test_the_pooled_head_sees_how_cells_lie_to_each_other():
    """Two maps with the same cells in another order have the same mean; a class must still tell them apart."""
    head = PooledHead((3, 4, 4), 5)
    x = rand(1, 3, 4, 4)
    assert head(x).shape == (1, 5)
    shuffled = x.flatten(2)[..., torch.randperm(16, generator=torch.Generator().manual_seed(1))].view_as(x)
    assert not torch.allclose(head(x), head(shuffled))
