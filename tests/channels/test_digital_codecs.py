import sys

import numpy as np
import pytest

from umbel.channels.digital import CODECS, LOSSLESS, Codec, find_codec, floor_bytes, why_unusable
from umbel.errors import UmbelError


def picture(side: int = 24, channels: int = 3) -> np.ndarray:
    """A soft blob on a slope."""
    y, x = np.mgrid[:side, :side] / side
    tints = np.array([[0.9, 0.3, 0.2], [0.1, 0.5, 0.8]])[:, :channels]
    values = x[..., None] * tints[0] + np.exp(-((x - 0.4) ** 2 + (y - 0.6) ** 2) * 9)[..., None] * tints[1]
    return (255 * values / values.max()).round().astype(np.uint8)


def needed(name: str) -> Codec:
    codec = CODECS[name]
    if codec.needs:
        pytest.importorskip(codec.needs, reason=f"codec {name} needs the [comms] extra")
    return codec


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CODECS)
def test_a_picture_comes_back_better_at_better_quality(name, channels):
    codec, image = needed(name), picture(channels=channels)
    back = [codec.decode(codec.encode(image, q), channels) for q in (codec.qualities[0], codec.qualities[-2])]
    assert all(shown.shape == image.shape and shown.dtype == np.uint8 for shown in back)
    worst, best = (((shown - image.astype(float)) ** 2).mean() for shown in back)
    assert best < worst
    assert best < 30  # above 33 dB: swapped channels or a shifted range would not pass


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if LOSSLESS in codec.qualities])
def test_lossless_is_lossless(name, channels):
    codec, image = needed(name), picture(channels=channels)
    assert (codec.decode(codec.encode(image, LOSSLESS), channels) == image).all()


def test_ladders_are_ordered_and_names_agree():
    assert all(list(codec.qualities) == sorted(set(codec.qualities)) for codec in CODECS.values())
    assert all(codec.name == name == find_codec(codec).name for name, codec in CODECS.items())


def test_floors_of_small_pictures():
    # WebP is the usable one at 32x32; 512 uses at 10 dB carry 221 bytes, so JPEG never fits whole.
    assert 30 <= floor_bytes("webp", (32, 32, 3)) <= 80
    assert floor_bytes("jpeg", (32, 32, 3)) > 221


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UmbelError, match=r'jxl needs the package imagecodecs; pip install "umbel\[comms\]"'):
        CODECS["jxl"].encode(picture(), 52)
    CODECS["webp"].encode(picture(), 52)
    assert 'pip install "umbel[comms]"' in why_unusable("jxl") and why_unusable("webp") == ""
    with pytest.raises(UmbelError, match="gif"):
        why_unusable("gif")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: find_codec("wepb"),
        lambda: CODECS["webp"].encode(picture().astype(np.float32), 52),
        lambda: CODECS["webp"].encode(picture()[..., :2], 52),
        lambda: CODECS["webp"].encode(picture(), 51),
        lambda: CODECS["webp"].decode(b"RIFF no picture"),
    ],
)
def test_wrong_pictures_and_names_are_refused(wrong):
    with pytest.raises(UmbelError):
        wrong()


def test_a_damaged_file_is_one_clear_error():
    pytest.importorskip("imagecodecs", reason="codec jxl needs the [comms] extra")
    for name in CODECS:
        data = bytearray(CODECS[name].encode(picture(), CODECS[name].qualities[5]))
        with pytest.raises(UmbelError, match="cannot be read"):
            CODECS[name].decode(bytes(data[: len(data) // 3]))
