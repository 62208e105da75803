"""A surrogate as one file of tensors (safetensors): its grid, the network laid out for speed, and facts of both."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from umbel.errors import UmbelError
from umbel.files import reading, write_atomically
from umbel.grids import Branches, Grid
from umbel.grids.grid import Reals
from umbel.methods.power_flow_predictor import PowerFlowPredictor

_FORMAT = 1
_REMEDY = "give a file that PowerFlowSurrogate.save wrote"


@dataclass(frozen=True, eq=False)
class Kept:
    """What a file holds; see `PowerFlowSurrogate`."""

    predictor: PowerFlowPredictor
    facts: dict[str, Any]
    constant: tuple[Reals, Reals]
    constant_checksum: str


def save_surrogate(
    path: Path,
    predictor: PowerFlowPredictor,
    facts: dict[str, Any],
    constant: tuple[Reals, Reals],
    constant_checksum: str,
) -> Path:
    """Write a surrogate's file.

    Args:
        path: Of the file.
        predictor: With its grid.
        facts: As JSON can hold them.
        constant: MW and MVAr that elements inject which a run does not read anew, each [n].
        constant_checksum: Of these elements.

    Raises:
        UmbelError: The file cannot be written.
    """
    grid = predictor.grid
    tensors = {f"network.{name}": value for name, value in predictor.tensors().items()}
    tensors |= {f"grid.{name}": value for name, value in _arrays(grid).items()}
    tensors |= {f"branches.{name}": value for name, value in _arrays(grid.branches).items()}
    tensors["chord_state"] = _tensor(predictor.chord_state)
    tensors["constant"] = torch.from_numpy(np.stack(constant))
    words = {
        "format": _FORMAT,
        "grid": {"name": grid.name, "base_mva": grid.base_mva, "slack": grid.slack, "bus_names": grid.bus_names},
        "branches": {"kinds": grid.branches.kinds, "names": grid.branches.names},
        "fingerprint": grid.fingerprint,
        "corrections": predictor.corrections,
        "facts": facts,
        "constant_checksum": constant_checksum,
    }
    content = {name: value.contiguous() for name, value in tensors.items()}
    return write_atomically(path, save(content, {"surrogate": json.dumps(words)}))


def load_surrogate(path: Path) -> Kept:
    """Read a surrogate's file.

    Raises:
        UmbelError: It is missing, damaged, or something else.
    """
    with reading(path, _REMEDY):
        path.stat()
        try:
            with safe_open(path, "pt") as file:
                words = json.loads((file.metadata() or {}).get("surrogate", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except SafetensorError as error:
            raise UmbelError(f"{path} is no surrogate ({error}); {_REMEDY}") from error
    if words.get("format") != _FORMAT:
        raise UmbelError(f"{path} holds no surrogate of format {_FORMAT}; {_REMEDY}")
    texts: dict[str, Any] = {name: tuple(given) for name, given in words["branches"].items()}
    branches = Branches(**_numbers(tensors, "branches."), **texts)
    about = {**words["grid"], "bus_names": tuple(words["grid"]["bus_names"])}
    grid = Grid(**_numbers(tensors, "grid."), **about, branches=branches)
    if grid.fingerprint != words["fingerprint"]:
        raise UmbelError(f"{path} is damaged: its grid is not the one that it names; {_REMEDY}")
    network = {name.removeprefix("network."): v for name, v in tensors.items() if name.startswith("network.")}
    state = torch.view_as_complex(tensors["chord_state"]).numpy()
    predictor = PowerFlowPredictor.of_tensors(grid, state, network, words["corrections"])
    p_mw, q_mvar = tensors["constant"].numpy()
    return Kept(predictor, words["facts"], (p_mw, q_mvar), words["constant_checksum"])


def _arrays(part: Grid | Branches) -> dict[str, Tensor]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {name: _tensor(value) for name, value in values.items() if isinstance(value, np.ndarray)}


def _tensor(value: np.ndarray) -> Tensor:
    """Complex numbers as pairs, which the file's format wants."""
    tensor = torch.from_numpy(np.ascontiguousarray(value))
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


_COMPLEX = ("ff", "ft", "tf", "tt", "shunts", "base_voltages")


def _numbers(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    mine = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return {name: (torch.view_as_complex(v) if name in _COMPLEX else v).numpy() for name, v in mine.items()}
