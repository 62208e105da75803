"""Picture codecs: a picture and a quality become a file, and a file becomes a picture again."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, features

from umbel.channels.digital.extra import from_extra
from umbel.errors import UmbelError, unknown

LOSSLESS = 101
"""The quality that stands for no loss at all, where a codec has it."""


@dataclass(frozen=True)
class Codec:
    """One way to write pictures as files.

    Attributes:
        name: As in `CODECS`.
        title: For tables.
        qualities: The ladder that is searched, worst first; what the numbers mean is up to the codec.
        needs: Package beyond the core that writes and reads it; empty when none.
        write: (uint8 [H, W, C], quality) -> file. Use `encode`.
        read: (file, channels) -> uint8 [H, W, C]. Use `decode`.
    """

    name: str
    title: str
    qualities: tuple[int, ...]
    needs: str
    write: Callable[[np.ndarray, int], bytes]
    read: Callable[[bytes, int], np.ndarray]

    def encode(self, image: np.ndarray, quality: int) -> bytes:
        """The file of one picture.

        Args:
            image: uint8, [H, W, 3] or [H, W, 1].
            quality: One of `qualities`.

        Raises:
            UmbelError: Another type or shape, another quality, or the package is missing.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
            raise UmbelError(
                f"codec {self.name}: a picture of {image.dtype} {tuple(image.shape)}; uint8 [H, W, 3] or [H, W, 1] "
                "is needed"
            )
        if quality not in self.qualities:
            raise UmbelError(f"codec {self.name}: no quality {quality}; known: {', '.join(map(str, self.qualities))}")
        return self.write(np.ascontiguousarray(image), quality)

    def decode(self, data: bytes, channels: int = 3) -> np.ndarray:
        """The picture of a file: uint8, [H, W, channels].

        Raises:
            UmbelError: The file cannot be read, as after an error that the check missed.
        """
        try:
            return self.read(data, channels)
        except (OSError, ValueError, RuntimeError, SyntaxError) as error:
            raise UmbelError(f"codec {self.name}: a file of {len(data)} bytes cannot be read ({error})") from error


def _pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _with_pillow(image: Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def _read_pillow(data: bytes, channels: int) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("WEBP", "JPEG")) as opened:
        return np.asarray(opened.convert("L" if channels == 1 else "RGB")).reshape(*opened.size[::-1], channels)


def _write_webp(image: np.ndarray, quality: int) -> bytes:
    if not features.check("webp"):
        raise UmbelError("this build of Pillow has no WebP; pip install --force-reinstall pillow")
    picture = _pillow(image).convert("RGB")  # WebP has no grey; equal channels cost next to nothing
    if quality == LOSSLESS:
        return _with_pillow(picture, "WEBP", lossless=True, quality=20, method=2)  # as small as with more effort
    return _with_pillow(picture, "WEBP", quality=quality, method=4)


def _write_jpeg(image: np.ndarray, quality: int) -> bytes:
    return _with_pillow(_pillow(image), "JPEG", quality=quality, optimize=True)


def _distance(quality: int) -> float:
    """JPEG XL's Butteraugli distance for a quality of 0 to 100, as libjxl's own tools translate it."""
    if quality >= 100:
        return 0.01
    return 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def _write_jxl(image: np.ndarray, quality: int) -> bytes:
    jxl = from_extra("imagecodecs", "codec jxl")
    how = {"lossless": True} if quality == LOSSLESS else {"distance": _distance(quality)}
    return bytes(jxl.jpegxl_encode(_squeezed(image), numthreads=1, **how))


def _read_jxl(data: bytes, channels: int) -> np.ndarray:
    return _shaped(from_extra("imagecodecs", "codec jxl").jpegxl_decode(data, numthreads=1), channels)


def _write_jpeg2000(image: np.ndarray, quality: int) -> bytes:
    j2k = from_extra("imagecodecs", "codec jpeg2000")
    how = {"level": 0, "reversible": True} if quality == LOSSLESS else {"level": quality}
    return bytes(j2k.jpeg2k_encode(_squeezed(image), codecformat="J2K", **how))


def _read_jpeg2000(data: bytes, channels: int) -> np.ndarray:
    return _shaped(from_extra("imagecodecs", "codec jpeg2000").jpeg2k_decode(data), channels)


def _squeezed(image: np.ndarray) -> np.ndarray:
    return image[:, :, 0].copy() if image.shape[2] == 1 else image


def _shaped(image: np.ndarray, channels: int) -> np.ndarray:
    return np.asarray(image, np.uint8).reshape(*image.shape[:2], channels)


_LADDER = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 35, 40, 46, 52, 58, 65, 72, 79, 86, 93, 100)

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec("webp", "WebP", (*_LADDER, LOSSLESS), "", _write_webp, _read_pillow),
        Codec("jxl", "JPEG XL", (*_LADDER[::2], 100, LOSSLESS), "imagecodecs", _write_jxl, _read_jxl),
        Codec(
            "jpeg2000",
            "JPEG 2000 (raw codestream)",
            (*range(14, 42, 2), 45, 50, LOSSLESS),  # the target PSNR in dB
            "imagecodecs",
            _write_jpeg2000,
            _read_jpeg2000,
        ),
        Codec("jpeg", "JPEG", (1, *_LADDER[5:]), "", _write_jpeg, _read_pillow),
    )
}
"""Name -> codec. WebP is the strongest on small pictures; JPEG's header alone exceeds what 512 uses carry at 10 dB."""


def find_codec(codec: str | Codec) -> Codec:
    """The codec of that name (or itself).

    Raises:
        UmbelError: No such codec.
    """
    if isinstance(codec, Codec):
        return codec
    if codec not in CODECS:
        raise unknown("codec", codec, CODECS)
    return CODECS[codec]


def why_unusable(codec: str | Codec) -> str:
    """Why a codec cannot be used on this machine; empty where it can.

    Raises:
        UmbelError: No codec of that name.
    """
    chosen = find_codec(codec)
    try:
        chosen.encode(np.zeros((8, 8, 3), np.uint8), chosen.qualities[0])
    except UmbelError as error:
        return str(error)
    return ""


@cache
def floor_bytes(codec: str | Codec, shape: tuple[int, int, int]) -> int:
    """What a file costs before it says anything: that of a flat grey picture at the worst quality.

    Subtracting it from every file is the header-free count of bits. It favours the digital chain: a receiver that
    knew all headers in advance.

    Args:
        codec: A name of `CODECS` or a codec.
        shape: (H, W, C) of the pictures.
    """
    codec = find_codec(codec)
    return len(codec.encode(np.full(shape, 128, np.uint8), codec.qualities[0]))
