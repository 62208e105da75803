"""A picture from the body of a request."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from umbel.data.picture_files import PICTURE_FORMATS
from umbel.serving.refusal import Refusal

_AS_THEY_ARE = ("L", "RGB", "I", "F")


def picture_of(body: bytes, most_pixels: int) -> Image.Image:
    """The picture in a body, upright, decoded whole and without what else was in the file.

    Args:
        body: A file in one of `umbel.data.picture_files.PICTURE_FORMATS`.
        most_pixels: A picture with more is refused before it is decoded.

    Raises:
        Refusal: It is no such picture, damaged or too large.
    """
    formats = ", ".join(PICTURE_FORMATS)
    try:
        picture = Image.open(io.BytesIO(body), formats=PICTURE_FORMATS)
    except UnidentifiedImageError:
        raise Refusal(422, f"the request cannot be read as a picture; send one of {formats}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(413, f"the picture has more than {most_pixels:,} pixels; send a smaller one") from None
    except Exception as error:  # decoders meet damage with errors of every kind
        raise _damaged(error) from None
    if picture.width * picture.height > most_pixels:
        raise Refusal(413, f"the picture has more than {most_pixels:,} pixels; send a smaller one")
    try:
        upright = ImageOps.exif_transpose(picture)
        plain = upright if upright.mode in _AS_THEY_ARE or upright.mode.startswith("I;16") else upright.convert("RGB")
        return Image.fromarray(np.asarray(plain))
    except Exception as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> Refusal:
    return Refusal(422, f"the picture of the request is damaged ({type(error).__name__}); send it again, or another")
