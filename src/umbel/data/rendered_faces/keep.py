"""Rendered chunks that are kept: in memory for this process, and in files for the next."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import astuple
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from umbel.data.find import cache_folder
from umbel.data.rendered_faces.photographs import skin_photographs
from umbel.data.rendered_faces.samples import Cell, chunk
from umbel.errors import UmbelError
from umbel.files import write_atomically

_IN_MEMORY = 256
_DAMAGED = (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile)


@cache
def _rendered_by() -> str:
    """What renders: another version of these files, or of torch, gives other pictures and hence other names."""
    digest = hashlib.sha256(torch.__version__.encode())
    own = sorted(Path(__file__).parent.glob("*.py"))
    for file in (*own, Path(__file__).parents[1] / "draws.py", Path(__file__).parents[1] / "source.py"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


@cache
def _skin(seed: int, split: str) -> str:
    return hashlib.sha256(skin_photographs(seed, split).numpy().tobytes()).hexdigest()


def kept_file(cell: Cell, number: int) -> Path:
    """Where a chunk is kept: the name is a digest of all that decides its content.

    Args:
        cell: Which samples.
        number: Of the chunk.
    """
    skin = _skin(cell.seed, cell.split) if cell.textures == "lfw" else ""
    said = repr((_rendered_by(), skin, astuple(cell), number))
    return cache_folder() / "rendered-faces" / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.npz"


def _read(file: Path) -> dict[str, Tensor] | None:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except _DAMAGED:  # not there yet, or damaged: it is made anew
        return None


def _write(file: Path, made: Mapping[str, Tensor]) -> None:
    content = io.BytesIO()
    np.savez(content, **{name: tensor.numpy() for name, tensor in made.items()})
    try:
        write_atomically(file, content.getvalue())
    except UmbelError:  # a full disk, or a folder that cannot be written to: the set works without being kept
        return


@lru_cache(maxsize=_IN_MEMORY)
def kept_chunk(cell: Cell, number: int) -> dict[str, Tensor]:
    """A chunk as `chunk` renders it, from memory or a file where it was rendered before.

    Args:
        cell: Which samples.
        number: Of the chunk.
    """
    file = kept_file(cell, number)
    made = _read(file)
    if made is None:
        made = chunk(cell, number)
        _write(file, made)
    return made
