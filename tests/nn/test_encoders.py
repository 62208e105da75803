import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from umbel.core import UmbelError
from umbel.nn import (
    ConvEncoder,
    FeatureMaps,
    GRUEncoder,
    MLPEncoder,
    ResidualBlock,
    ResNetEncoder,
    Standardise,
    torchvision_encoder,
)

sides = st.integers(8, 21)


@settings(max_examples=25, deadline=None)
@given(sides, sides, st.sampled_from([1, 2, 4, 8]), st.sampled_from(["batch", "group"]))
def test_conv_features_have_the_shape_they_say(height, width, downsample, norm):
    encoder = ConvEncoder((2, height, width), (4, 6, 8), norm, downsample)
    features = encoder(torch.rand(2, 2, height, width))
    assert tuple(features.shape[1:]) == encoder.feature_shape
    assert encoder.feature_shape[1] >= height / downsample


@settings(max_examples=10, deadline=None)
@given(sides, sides, st.sampled_from([1, 2, 4]), st.sampled_from([(1, 1, 1), (2, 1)]))
def test_residual_features_have_the_shape_they_say(height, width, downsample, blocks):
    encoder = ResNetEncoder((3, height, width), 4, blocks, downsample=downsample)
    assert tuple(encoder(torch.rand(2, 3, height, width)).shape[1:]) == encoder.feature_shape


def test_default_residual_encoder_has_the_size_of_resnet18():
    # torchvision's ResNet-18 has 11,176,512 parameters without its classifier, with a 7x7 stem instead of 3x3.
    count = sum(p.numel() for p in ResNetEncoder((3, 32, 32)).parameters())
    assert count == 11_176_512 - 64 * 3 * (49 - 9)


def test_residual_block_starts_from_the_shortcut():
    block = ResidualBlock(3, 3, "group").eval()
    torch.nn.init.zeros_(block.body[-1].weight)
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("downsample", [3, 0, -4, 16])
def test_impossible_downsampling_is_refused(downsample):
    with pytest.raises(UmbelError, match="power of two from 1 to 8"):
        ConvEncoder((1, 8, 8), (4, 4, 4), downsample=downsample)


def test_bad_settings_are_refused():
    for make, words in (
        (lambda: ConvEncoder((8,)), "needs pictures"),
        (lambda: ConvEncoder((1, 8, 8), ()), "give at least one"),
        (lambda: ConvEncoder((1, 8, 8), norm="layer"), "use 'batch' or 'group'"),
        (lambda: ResNetEncoder((1, 8, 8), blocks=()), "at least 1"),
        (lambda: MLPEncoder(0), "at least 1"),
        (lambda: GRUEncoder(3, layers=0), "at least 1"),
        (lambda: Standardise(std=0.0), "positive"),
    ):
        with pytest.raises(UmbelError, match=words):
            make()


def test_standardise_is_by_channel_for_pictures_and_vectors():
    layer = Standardise((0.0, 1.0), (1.0, 2.0))
    pictures = torch.rand(3, 2, 4, 5)
    torch.testing.assert_close(layer(pictures)[:, 1], (pictures[:, 1] - 1) / 2)
    torch.testing.assert_close(layer(pictures)[:, 0], pictures[:, 0])
    torch.testing.assert_close(layer(torch.tensor([[3.0, 3.0]])), torch.tensor([[3.0, 1.0]]))
    assert set(layer.state_dict()) == {"mean", "std"}


def test_group_norm_keeps_samples_apart():
    # Per-sample gradients need this: a sample's features may not depend on its neighbours.
    encoder = ConvEncoder((1, 8, 8), (6, 10), "group", downsample=2)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(encoder(x)[:1], encoder(x[:1]))


def test_mlp_flattens_and_gru_reads_in_order():
    assert MLPEncoder(12, 5)(torch.rand(2, 3, 4)).shape == (2, 5)
    series = torch.rand(2, 7, 3)
    last, every = GRUEncoder(3, 4), GRUEncoder(3, 4, sequence=True)
    every.load_state_dict(last.state_dict())
    assert every(series).shape == (2, 7, 4)
    torch.testing.assert_close(every(series)[:, -1], last(series))
    assert not torch.allclose(last(series), last(series.flip(1)))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("downsample", [None, 4])
def test_torchvision_networks_keep_the_map_that_is_asked_for(name, downsample):
    encoder = torchvision_encoder(name, (1, 40, 32), downsample)
    assert isinstance(encoder, FeatureMaps)
    assert encoder.training
    features = encoder(torch.rand(2, 1, 40, 32))
    assert tuple(features.shape[1:]) == encoder.feature_shape
    assert encoder.feature_shape[1:] == ((10, 8) if downsample else (2, 1))


def test_torchvision_trunk_computes_what_the_whole_network_computes():
    import torchvision

    whole = torchvision.models.resnet18(weights=None).eval()
    encoder = torchvision_encoder("resnet18", (3, 32, 32)).eval()
    with torch.no_grad():
        for mine, its in zip(encoder.body.state_dict().values(), list(whole.state_dict().values())[:-2], strict=True):
            mine.copy_(its)
        x = torch.rand(2, 3, 32, 32)
        found = whole.fc(encoder(x).mean((2, 3)))
    torch.testing.assert_close(found, whole((x - 0.5) / 0.25))


def test_unusable_torchvision_networks_are_refused():
    with pytest.raises(UmbelError, match="did you mean 'resnet18'"):
        torchvision_encoder("resnet19x", (3, 32, 32))
    with pytest.raises(UmbelError, match="does not end in a feature map"):
        torchvision_encoder("swin_t", (3, 32, 32))
    with pytest.raises(UmbelError, match="need 3 channels"):
        torchvision_encoder("resnet18", (1, 32, 32), weights="DEFAULT")


@pytest.mark.parametrize(
    ("side", "widths", "left"), [(32, (4, 4, 4), 4), (16, (4, 4, 4), 2), (8, (4, 4, 4), 2), (32, (4,), 16)]
)
def test_the_usual_downsampling_follows_the_picture(side, widths, left):
    assert ConvEncoder((1, side, side), widths).feature_shape == (4, left, left)


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_a_shrinking_shortcut_is_a_strided_convolution(size):
    block = ResidualBlock(4, 6, "group", stride=2).eval()
    x = torch.randn(2, 4, *size)
    convolution, norm = block.shortcut
    strided = torch.nn.functional.conv2d(x, convolution.weight, stride=2)
    assert torch.allclose(block(x), torch.relu(block.body(x) + norm(strided)), atol=1e-6)
