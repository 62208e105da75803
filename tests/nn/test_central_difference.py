"""Central difference convolutions against the definition, pixel by pixel."""

import pytest
import torch
from torch.nn import functional as F

from umbel.core import UmbelError
from umbel.nn import CentralDifferenceConv2d, CentralDifferenceEncoder, ConvEncoder, build_encoder, seeded_start


def by_hand(layer, x):
    """Σ over offsets of w(o) (x(p + o) - theta x(p)), with zeros outside of the picture."""
    middle, stride = layer.padding[0], layer.stride[0]
    padded = F.pad(x, [middle] * 4)
    rows, columns = (range(0, size, stride) for size in x.shape[2:])
    result = torch.zeros(len(x), len(layer.weight), len(rows), len(columns))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            size = layer.weight.shape[2]
            seen = padded[:, :, row : row + size, column : column + size]
            differences = seen - layer.theta * x[:, :, row : row + 1, column : column + 1]
            result[:, :, i, j] = torch.einsum("bcij,ocij->bo", differences, layer.weight)
    return result if layer.bias is None else result + layer.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize(
    ("size", "stride", "theta", "bias"), [(3, 1, 0.7, False), (5, 2, 0.4, True), (1, 1, 0.3, False)]
)
def test_it_is_what_its_definition_says(size, stride, theta, bias):
    layer, x = CentralDifferenceConv2d(2, 3, size, stride, bias, theta), torch.randn(2, 2, 6, 5)
    torch.testing.assert_close(layer(x), by_hand(layer, x), atol=1e-5, rtol=1e-5)


def test_theta_0_is_an_ordinary_convolution_and_theta_1_sees_no_level():
    x = torch.randn(2, 2, 6, 6)
    layer = CentralDifferenceConv2d(2, 3, theta=0.0)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, padding=1))
    layer = CentralDifferenceConv2d(2, 3, theta=1.0)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(layer(x)[inner], layer(x + 5)[inner], atol=1e-4, rtol=1e-4)


def test_the_encoder_starts_as_the_ordinary_one_and_is_it_at_theta_0():
    shape = (3, 16, 12)
    with seeded_start(0, ""):
        plain = ConvEncoder(shape, (4, 8))
    with seeded_start(0, ""):
        central = build_encoder("central-difference", shape, widths=(4, 8), theta=0.0)
    assert isinstance(central, CentralDifferenceEncoder)
    assert central.feature_shape == plain.feature_shape
    assert list(central.state_dict()) == list(plain.state_dict())
    x = torch.rand(2, *shape)
    torch.testing.assert_close(central(x), plain(x))
    with seeded_start(0, ""):
        other = CentralDifferenceEncoder(shape, (4, 8))
    assert not torch.allclose(other(x), plain(x))
    assert other(x).shape[1:] == plain.feature_shape


def test_what_cannot_be_is_refused():
    for arguments, message in (
        ({"kernel_size": 2}, "is 2; an even one has no middle"),
        ({"theta": 1.5}, "is 1.5; give a number from 0 to 1"),
        ({"theta": "much"}, "theta of a central difference convolution is 'much'"),
    ):
        with pytest.raises(UmbelError, match=message):
            CentralDifferenceConv2d(2, 3, **arguments)
