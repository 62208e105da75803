"""Which inputs a run learnt from, in eight bytes each: to tell it when new rows are old ones."""

import base64
import binascii

import numpy as np
import torch
from torch import Tensor

from umbel.data.source import Source, TensorSource, as_float

MOST_ROWS = 100_000
"""Of a larger training split nothing is kept: it would be more than a megabyte in every checkpoint."""

_PIECE = 4096


def row_marks(inputs: Tensor) -> np.ndarray:
    """A number for each sample that equal inputs share and others, but for one in 2^64 pairs, do not.

    Args:
        inputs: [n, ...], bytes (as pictures) or floats; the same values give the same number either way.

    Returns:
        uint64 [n].
    """
    sizes = inputs[:1].numel()
    factors = np.random.default_rng(17).integers(0, 2**64, size=sizes, dtype=np.uint64) | np.uint64(1)
    pieces = [_marks(as_float(piece), factors) for piece in inputs.split(_PIECE)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.uint64)


def _marks(inputs: Tensor, factors: np.ndarray) -> np.ndarray:
    values = (inputs.detach().cpu().to(torch.float32) + 0.0).reshape(len(inputs), -1).contiguous()  # 0 for -0
    bits = values.numpy().view(np.uint32).astype(np.uint64)
    bits = (bits ^ (bits >> np.uint64(15))) * np.uint64(0x9E3779B97F4A7C15)
    return ((bits ^ (bits >> np.uint64(31))) * factors).sum(1, dtype=np.uint64)


def marks_text(source: Source) -> str:
    """The marks of a training split as text; empty where it is not in memory, is too large or has several inputs."""
    if not isinstance(source, TensorSource) or len(source) > MOST_ROWS:
        return ""
    inputs = source.samples.inputs
    if not isinstance(inputs, Tensor):
        return ""
    return base64.b64encode(np.unique(row_marks(inputs)).astype("<u8").tobytes()).decode()


def marks_of(text: str) -> np.ndarray:
    """What `marks_text` wrote, uint64, rising.

    Raises:
        ValueError: It is something else.
    """
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)
    except binascii.Error as error:
        raise ValueError(f"marks of rows: {error}") from None
